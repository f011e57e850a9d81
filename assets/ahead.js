// What a press brings about is drawn in the press's own frame, from what stands on the page: one's own message, and an
// example's picture and question in the composer. The server's drawing follows and takes its place.
(() => {
  "use strict";
  const $ = (selector) => document.querySelector(selector);
  const LONG = 10000; // ms after which what the server has not followed is taken away again
  const questions = () => window.vqaExamples[/\/zh\/?$/.test(location.pathname) ? "zh" : "en"];
  const picture = (img) => ({ url: img.src, orig_name: img.alt, mime_type: "image/png" });
  const EXAMPLES = "#vqa-gallery button.thumbnail-item", CARDS = "#vqa-chat .examples button";
  const all = (selector) => [...document.querySelectorAll(selector)];
  const inComposer = () => all("#vqa-composer .thumbnail-wrapper img");
  const named = (path) => path?.split("/").pop().replace(/\.\w+$/, "");
  const thumbnails = () => inComposer().map((img) => img.src).join("|");
  let coming = null; // an example on its way into the composer: {row, before, send}

  const write = (text) => {
    const box = $("#vqa-composer textarea");
    if (!box) return;
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(box, text);
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  const fill = (img, text) => {
    leave();
    write(text);
    const tray = $("#vqa-tray");
    if (!tray || named($("#vqa-tray img")?.alt) === named(img.src)) return;
    const row = document.createElement("ol"), item = document.createElement("li"), shot = document.createElement("div");
    row.className = "vqa-tray vqa-coming";
    shot.className = "shot";
    shot.append(Object.assign(document.createElement("img"), { src: img.src, alt: img.alt }));
    item.append(shot);
    row.append(item);
    tray.before(row);
    const mine = coming = { row, before: thumbnails(), send: false };
    setTimeout(() => { if (coming === mine) leave(); }, LONG);
  };
  const leave = () => { coming?.row.remove(); coming = null; };

  const send = (event) => {
    const text = $("#vqa-composer textarea")?.value || "";
    const files = (coming ? all(".vqa-coming img") : inComposer()).map(picture);
    if ((!text.trim() && !files.length) || !window.vqaSending.ahead({ text, files }, LONG) || !coming) return;
    event.preventDefault(); // its picture is not in the composer yet: pressed once more when it is
    event.stopImmediatePropagation();
    coming.send = true;
  };
  addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.matches?.("#vqa-composer textarea")) send(event);
  }, true);
  addEventListener("click", (event) => {
    if (event.target.closest?.("#vqa-composer .submit-button")) { send(event); return; }
    for (const kind of [EXAMPLES, CARDS]) {
      const example = event.target.closest?.(kind), img = example?.querySelector("img");
      const text = example && questions()[all(kind).indexOf(example)];
      if (!img || text === undefined) continue;
      if (kind === CARDS) window.vqaSending.ahead({ text, files: [picture(img)] }, LONG); else fill(img, text);
    }
  }, true);

  const there = () => {
    if (!coming || thumbnails() === coming.before) return;
    const { send: wanted } = coming;
    if ($("#vqa-tray img") || wanted) leave();
    if (wanted) window.vqaSending.press();
  };
  const start = () => new MutationObserver(there).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["src"] });
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
