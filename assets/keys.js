// Shortcuts for whoever works without a mouse, with their list behind "?"; and word of a run's end for whoever looks
// elsewhere meanwhile.
(() => {
  "use strict";
  const words = window.vqaKeys[/\/zh\/?$/.test(location.pathname) ? "zh" : "en"];
  const tabs = () => [...new Set([...document.querySelectorAll("#vqa-tabs [role=tab][id^=tab-]")].map((each) => each.id))];
  const seen = (element) => element && element.getClientRects().length > 0 && !element.disabled;
  const press = (selector) => { const found = [...document.querySelectorAll(selector)].find(seen); if (found) found.click(); return Boolean(found); };
  const open = (name) => press(`#tab-${name}-button`);
  const acts = {
    "/": () => { open("ask"); setTimeout(() => document.querySelector("#vqa-composer textarea")?.focus(), 60); },
    n: () => { open("ask"); setTimeout(() => press("#vqa-new"), 60); },
    t: () => press('[data-vqa="theme"]'),
    "?": () => list(),
  };

  const list = () => {
    const shown = document.querySelector("#vqa-keys");
    if (shown) { shown.close(); return; }
    const dialog = document.createElement("dialog");
    dialog.id = "vqa-keys";
    dialog.setAttribute("aria-label", words.title);
    const title = document.createElement("h2");
    title.textContent = words.title;
    const rows = document.createElement("dl");
    for (const [key, meaning] of [["Enter", words.send], ["Shift+Enter", words.line], ["/", words.composer], ["N", words.new],
      [`1–${tabs().length}`, words.tabs], ["T", words.theme], ["?", words.list], ["Esc", words.close]]) {
      const row = document.createElement("div"), name = document.createElement("dt"), told = document.createElement("dd");
      const drawn = document.createElement("kbd");
      drawn.textContent = key;
      name.append(drawn);
      told.textContent = meaning;
      row.append(name, told);
      rows.append(row);
    }
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = words.close;
    close.addEventListener("click", () => dialog.close());
    dialog.append(title, rows, close);
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    (document.querySelector(".gradio-container") || document.body).append(dialog);  // where the page's rules hold
    dialog.showModal();
  };

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable=true], [role=listbox], .vqa-tour")) return;
    const tab = /^[1-9]$/.test(event.key) && tabs()[event.key - 1];
    const act = tab ? () => press(`#${tab}`) : acts[event.key.toLowerCase()];
    if (!act || (document.querySelector("dialog[open]") && event.key !== "?")) return;
    event.preventDefault();
    act();
  });
  addEventListener("click", (event) => {
    if (event.target.closest?.('[data-vqa="keys"]')) list();
    if (event.target.closest?.('[data-vqa="tell"]') && window.Notification) {
      Notification.requestPermission().then(look);
    }
  });

  // The end of a run.
  const running = new Set();
  let title = "";
  const look = () => {
    const asked = !window.Notification || Notification.permission !== "default";
    for (const button of document.querySelectorAll(".vqa-tell")) if (button.hidden !== asked) button.hidden = asked;
    for (const panel of document.querySelectorAll("#repeat-progress, #diagnose-progress, #evaluate-progress")) {
      const run = panel.querySelector("[data-run]")?.dataset.run;
      if (!run) continue;
      const ended = panel.querySelector(".vl-ended");
      if (!ended) { running.add(run); continue; }
      if (!running.delete(run) || !document.hidden) continue;
      const words = ended.textContent.trim();
      title = title || document.title;
      document.title = `✓ ${words}`;
      if (window.Notification && Notification.permission === "granted") {
        const note = new Notification("VQA Lab", { body: words, tag: run });
        note.onclick = () => { window.focus(); note.close(); };
      }
    }
  };
  addEventListener("visibilitychange", () => {
    if (!document.hidden && title) { document.title = title; title = ""; }
  });
  const start = () => new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
