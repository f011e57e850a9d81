// A question is drawn and held here until the server has it: sent again after a break, and put back into the composer
// when the server would not take it. What is sent while an answer comes goes on standing there, with the reason.
(() => {
  "use strict";
  const KEY = "vqa-held";
  const $ = (selector) => document.querySelector(selector);
  const keep = (value) => {
    try { if (value) sessionStorage.setItem(KEY, JSON.stringify(value)); else sessionStorage.removeItem(KEY); } catch (_) { /* kept in memory alone */ }
  };
  const kept = () => { try { return JSON.parse(sessionStorage.getItem(KEY)); } catch (_) { return null; } };
  let held = null; // the question that the server has not taken yet: {id, text, files}
  let flying = 0; // events with it under way
  let drawn = null;
  let rows = 0; // how many questions of the server's drawing were there before it
  const served = () => document.querySelectorAll("#vqa-chat .message-row.user-row").length;

  const answering = () => Boolean($("#vqa-composer .stop-button")?.offsetParent);
  // Between the server's taking a question and the button that stops its answer, nothing on the page shows that one comes.
  let soon = 0;
  const waiting = () => held !== null || answering() || (flying > 0 && Date.now() < soon);
  // Gradio puts the focus there whenever the composer changes, and a browser scrolls to it: the page would jump away from
  // the answer.
  const focus = HTMLElement.prototype.focus;
  HTMLElement.prototype.focus = function (options) {
    return focus.call(this, this.closest("#vqa-composer") ? { preventScroll: true, ...options } : options);
  };
  const note = (on) => {
    const line = $("#vqa-too-early [data-note]");
    if (line) line.textContent = on ? line.dataset.note : "";
  };
  const unused = () => ({ __type__: "update" });

  const draw = ({ text, files }) => {
    erase();
    const chat = $("#vqa-chat .bubble-wrap") || $("#vqa-chat");
    if (!chat) return;
    drawn = document.createElement("div");
    drawn.className = "vqa-pending";
    for (const file of files) {
      if (!file.url || !/^image\//.test(file.mime_type || "image/")) continue;
      drawn.append(Object.assign(document.createElement("img"), { src: file.url, alt: file.orig_name || "" }));
    }
    if (text) drawn.append(Object.assign(document.createElement("p"), { textContent: text }));
    chat.append(drawn);
    chat.scrollTop = chat.scrollHeight;
  };
  const erase = () => { drawn?.remove(); drawn = null; };

  // Wherever on the page somebody sent it from: chat and composer are what they want to see now.
  const inSight = () => {
    const box = $("#vqa-composer")?.getBoundingClientRect(), chat = $("#vqa-chat")?.getBoundingClientRect();
    if (box && chat && (chat.bottom < 80 || box.top < 0 || box.bottom > innerHeight)) $("#vqa-composer").scrollIntoView({ block: "end" });
  };

  const settled = () => {
    held = null;
    soon = Date.now() + 5000;
    keep(null);
    const old = drawn; // the server's own one is drawn with this very update
    requestAnimationFrame(() => requestAnimationFrame(() => { old?.remove(); if (drawn === old) drawn = null; }));
  };

  window.vqaSending = {
    // Draws a question with the press itself, before Gradio hands it to `take`; what is not taken goes again. Returns
    // whether it was drawn.
    ahead(question, long) {
      if (waiting()) return false;
      draw(question);
      const mine = drawn;
      rows = served();
      setTimeout(() => { if (drawn === mine && !held) erase(); }, long);
      return true;
    },
    take(written) {
      const { text = "", files = [] } = written || {};
      if (!text.trim() && !files.length) { erase(); return [unused(), written]; }
      if (waiting()) { note(true); return [unused(), unused()]; }
      note(false);
      const id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      held = { id, text, files };
      keep(held);
      if (!drawn) draw(held);
      inSight();
      return [{ text: "", files: [] }, written];
    },
    named(given) {
      flying += 1;
      return [...given.slice(0, -1), held?.id || ""];
    },
    ended(written) {
      flying = Math.max(0, flying - 1);
      if (!held || flying) return unused();
      const { text = "", files = [] } = written || {}, mine = held;
      held = null;
      keep(null);
      erase();
      const again = new Set(mine.files.map((file) => file.path));
      return {
        text: [mine.text, text].filter(Boolean).join("\n"), files: [...mine.files, ...files.filter((file) => !again.has(file.path))],
      };
    },
    press() {
      if ($("#vqa-composer textarea")?.value) $("#vqa-composer .submit-button")?.click();
    },
    resume() {
      held = kept();
      if (held) draw(held);
      return held ? { text: held.text, files: held.files } : null;
    },
  };

  // Pressed while an answer comes, Enter and Send do nothing but say so; what is written stays where it is.
  const early = (event) => {
    if (!waiting()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    note(true);
  };
  const pressed = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.matches?.("#vqa-composer textarea")) early(event);
  };
  for (const kind of ["keydown", "keypress"]) addEventListener(kind, pressed, true);
  addEventListener("click", (event) => { if (held && event.target.closest?.("#vqa-composer .submit-button")) early(event); }, true);

  // In the box in which a question is edited Enter sends as well, and Escape leaves the question as it was.
  addEventListener("keydown", (event) => {
    const box = event.target.closest?.("#vqa-chat .message-row textarea");
    const place = event.key === "Enter" && !event.shiftKey && !event.isComposing ? 0 : event.key === "Escape" ? 1 : -1;
    if (!box || place < 0) return;
    let part = box.closest(".message-row");
    while (part && !part.matches(".message-buttons")) part = part.nextElementSibling;
    const button = part?.querySelectorAll("button")[place];
    if (!button) return;
    event.preventDefault();
    event.stopPropagation();
    button.click();
  }, true);

  // An answer's links, which take its question to another tab and start it there; a picture, seen large.
  const until = async (find) => {
    for (let tries = 200; tries; tries -= 1) {
      const found = find();
      if (found) return found;
      await new Promise((go) => setTimeout(go, 50));
    }
    return null;
  };
  addEventListener("click", async (event) => {
    const found = event.target.closest?.("#vqa-chat a.vqa-act")?.getAttribute("href").match(/#vqa-(repeat|diagnose)-(\d+)$/);
    if (found) {
      event.preventDefault();
      event.stopPropagation();
      window.vqaAsked = found[2];
      $(`#tab-${found[1]}-button`)?.click();
      (await until(() => $(`#${found[1]}-from-answer`)))?.click();
      scrollTo({ top: 0 });
      window.vqaResult(found[1]);
      return;
    }
    if (event.target.closest?.("#vqa-gallery button.thumbnail-item")) $("#vqa-composer").scrollIntoView({ block: "end" });
    const picture = event.target.matches?.("#vqa-chat .message img") ? event.target : null;
    if (picture) {
      event.preventDefault();
      event.stopPropagation();
      const large = document.createElement("dialog");
      large.className = "vqa-large";
      large.append(Object.assign(document.createElement("img"), { src: picture.src, alt: picture.alt }));
      large.addEventListener("click", () => large.close());
      large.addEventListener("close", () => large.remove());
      document.querySelector(".gradio-container").append(large);
      large.showModal();
    }
  }, true);

  const start = () => {
    new MutationObserver(() => {
      const taken = $("#vqa-taken [data-ticket]");
      if (held && taken?.dataset.ticket === held.id) settled();
      if (drawn && !held && served() > rows) erase(); // where nothing is held: a public demo's queue
      if (answering()) soon = 0;
      const line = $("#vqa-too-early [data-note]");
      if (line?.textContent && !waiting()) note(false);
    }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-ticket", "class", "style"] });
    // After a break Gradio loads the page anew: what was held goes once more, into the conversation that it was for.
    if (!kept()) return;
    const chat = new URLSearchParams(location.search).get("chat");
    const since = Date.now();
    const timer = setInterval(() => {
      const button = $("#vqa-send-again");
      const opened = !chat || $(`[data-chat="${CSS.escape(chat)}"]`) || Date.now() - since > 10000;
      if (!button || !opened || !$(".vqa-strip")) return;
      clearInterval(timer);
      if (kept()) button.click();
    }, 100);
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
