// What opens above the composer, one thing at a time; and the whole page takes the pictures that are dropped on it.
(() => {
  "use strict";
  const $ = (selector) => document.querySelector(selector);
  const BUTTONS = "#vqa-tools > .block > .label-wrap";
  const open = () => [...document.querySelectorAll(`${BUTTONS}.open`)];
  const told = () => {
    for (const each of document.querySelectorAll(BUTTONS)) {
      const now = String(each.classList.contains("open"));
      if (each.getAttribute("aria-expanded") !== now) each.setAttribute("aria-expanded", now);
      if (!each.title) each.title = each.textContent.replace("▼", "").trim();
    }
  };
  addEventListener("click", (event) => {
    const pressed = event.target.closest?.(BUTTONS);
    const inside = event.target.closest?.("#vqa-tools [data-testid=accordion-content], #vqa-tray, [role=listbox], .toast-wrap, dialog, #vqa-tour");
    if (inside || !event.isTrusted && !pressed) return;
    for (const each of open()) if (each !== pressed) each.click();
  }, true);
  // A question is sent: what lies over the chat makes room for what is said of it.
  addEventListener("keydown", (event) => {
    const sends = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (sends && event.target.closest?.("#vqa-composer")) for (const each of open()) each.click();
  }, true);
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || !event.target.closest?.("#vqa-dock")) return;
    for (const each of open()) { each.click(); each.focus(); event.preventDefault(); }
  });

  // A file let go anywhere goes to the open tab's question; the browser would leave the page and show it instead.
  const files = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  const taker = () => {
    const tab = [...document.querySelectorAll("#tab-ask, #tab-repeat, #tab-diagnose")].find((each) => each.offsetParent);
    return tab && tab.id !== "tab-ask" ? tab.querySelector(".vqa-gallery input[type=file]") : $("#vqa-composer input[type=file]");
  };
  let over = null;
  const shown = (on) => {
    const mark = $("#vqa-drop");
    if (mark) mark.classList.toggle("on", on);
    clearTimeout(over);
    if (on) over = setTimeout(() => shown(false), 400); // nobody tells of a drag that ended elsewhere
  };
  addEventListener("dragover", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    shown(true);
  });
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    shown(false);
    const own = event.defaultPrevented; // by a box that takes it itself
    event.preventDefault();
    const input = taker();
    if (own || !input || !event.dataTransfer.files.length) return;
    if (!$("#tab-ask")?.offsetParent && input.closest("#tab-ask")) $("#tab-ask-button")?.click();
    const carried = new DataTransfer();
    for (const file of event.dataTransfer.files) carried.items.add(file);
    input.files = carried.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  // Where there is no room for the list of conversations it is a drawer.
  const list = () => $("#vqa-conversations");
  window.vqaDrawer = (out = !list()?.classList.contains("out")) => {
    list()?.classList.toggle("out", out);
    $("#vqa-drawer")?.setAttribute("aria-expanded", String(out));
    if (out) list()?.querySelector("textarea, input")?.focus(); else if (list()?.contains(document.activeElement)) $("#vqa-drawer")?.focus();
  };
  addEventListener("click", (event) => {
    if (!list()?.classList.contains("out") || event.target.closest?.("#vqa-drawer")) return;
    if (!list().contains(event.target) || event.target.closest("[data-act=open]")) window.vqaDrawer(false);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && list()?.classList.contains("out")) window.vqaDrawer(false);
  });

  // The chat fills what the header leaves of the window, however high that is.
  const fit = () => {
    const row = $("#vqa-ask");
    if (row?.offsetParent) row.style.setProperty("--above", `${Math.round(row.getBoundingClientRect().top + scrollY)}px`);
  };

  const start = () => {
    const sizes = new ResizeObserver(fit), watched = new WeakSet();
    const name = $("html").lang.startsWith("zh") ? "zh" : "en";
    const mark = Object.assign(document.createElement("div"), { id: "vqa-drop", textContent: window.vqaDrop[name] });
    new MutationObserver(() => {
      const page = $(".gradio-container");
      if (page && !mark.isConnected) page.append(mark);
      for (const each of [$("#vqa-strip"), $("#vqa-ask")]) {
        if (each && !watched.has(each)) { watched.add(each); sizes.observe(each); }
      }
      told();
    }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
