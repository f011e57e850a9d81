// Behind a proxy that keeps to itself what the browser asked for, the page's calls go elsewhere: say which setting lacks.
(() => {
  "use strict";
  addEventListener("DOMContentLoaded", () => {
    if (!window.gradio_config?.root) return;
    const root = new URL(window.gradio_config.root, location.href);
    const path = location.pathname.replace(/(zh\/?|\/)$/, "").replace(/\/$/, "");
    const words = window.vqaProxy[/\/zh\/?$/.test(location.pathname) ? "zh" : "en"];
    const text = root.hostname !== location.hostname ? words.host : root.pathname.replace(/\/$/, "") !== path ? words.path : "";
    if (!text) return;
    const note = document.createElement("div");
    note.className = "vqa-proxy";
    note.setAttribute("role", "alert");
    note.style.cssText = "padding:16px 20px;background:#fdecea;color:#3a1714;font:16px/1.5 sans-serif";
    note.textContent = text.replace("{seen}", root.host).replace("{asked}", location.host).replaceAll("{path}", path);
    document.body.prepend(note);
  });
})();
