(() => {
  "use strict";
  const onChinese = /\/zh\/?$/.test(location.pathname);
  const store = (key, value) => { try { if (value === undefined) return localStorage.getItem(key); localStorage.setItem(key, value); } catch (_) { return null; } };

  // Gradio's own words follow navigator.language; let them follow the page.
  const tag = onChinese ? "zh-CN" : "en";
  Object.defineProperty(navigator, "language", { get: () => tag, configurable: true });
  Object.defineProperty(navigator, "languages", { get: () => [tag], configurable: true });
  const named = () => { if (document.documentElement.lang !== tag) document.documentElement.lang = tag; };
  named();
  new MutationObserver(named).observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });

  // Some of its words know English only; on the Chinese page they are replaced where they appear. And where there is only
  // a finger, so is what speaks of a mouse or of keys.
  const chinese = onChinese ? window.vqaChinese || {} : {};
  const replaced = { ...chinese, ...(matchMedia("(pointer: coarse)").matches ? window.vqaTouch[onChinese ? "zh" : "en"] : {}) };
  const translate = (root) => {
    const nodes = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = root.nodeType === 3 ? root : nodes.nextNode(); node; node = nodes.nextNode()) {
      const text = replaced[node.nodeValue.trim()];
      if (text && !node.parentElement.closest(".message-content, textarea, pre, code")) node.nodeValue = text;
    }
    const named = root.querySelectorAll ? [root, ...root.querySelectorAll("[aria-label], [title], [placeholder]")] : [];
    for (const each of named) {
      for (const name of ["aria-label", "title", "placeholder"]) {
        const text = each.getAttribute && replaced[each.getAttribute(name)];
        if (text) each.setAttribute(name, text);
      }
    }
  };
  const keepReplaced = () => {
    translate(document.body);
    new MutationObserver((changes) => {
      for (const change of changes) {
        if (change.type === "childList") change.addedNodes.forEach((node) => translate(node));
        else translate(change.target);
      }
    }).observe(document.body, {
      childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ["aria-label", "title", "placeholder"],
    });
  };
  const once = (start) => { if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start(); };
  if (Object.keys(replaced).length) once(keepReplaced);

  // A picture list's upload button holds a second button in it, which neither a screen reader nor Enter gets through:
  // the inner one is switched off, and the outer one opens the file dialog.
  // And its camera button is named by the key of a text that Gradio lacks.
  const mend = () => {
    document.querySelectorAll(".vqa-gallery button button:not(:disabled)").forEach((inner) => { inner.disabled = true; });
    document.querySelectorAll('#vqa-chat .examples[role="list"]').forEach((each) => { each.role = "group"; }); // of buttons
    document.querySelectorAll("#vqa-chat .image-container > button:not([aria-label])").forEach((each) => { each.ariaLabel = chinese["Open the picture"] || "Open the picture"; });
    document.querySelectorAll('#vqa-chat [aria-label*="<"]').forEach((each) => { // what is read out: words, no markup
      const said = new DOMParser().parseFromString(each.ariaLabel, "text/html").body.textContent;
      if (said !== each.ariaLabel) each.ariaLabel = said;
    });
    document.querySelectorAll('[aria-label="common.webcam"]').forEach((each) => { each.ariaLabel = each.title = "Capture from camera"; });
  };
  // A fold that was opened stays open through the redraws of a run under way.
  const unfolded = new Set();
  addEventListener("toggle", (event) => {
    const name = event.target.dataset?.fold;
    if (name && event.target.isConnected) event.target.open ? unfolded.add(name) : unfolded.delete(name);
  }, true);
  const unfold = () => document.querySelectorAll("details[data-fold]:not([open])").forEach((each) => { each.open = unfolded.has(each.dataset.fold); });
  once(() => new MutationObserver(unfold).observe(document.body, { childList: true, subtree: true }));

  once(() => { mend(); new MutationObserver(mend).observe(document.body, { childList: true, subtree: true }); });
  // A browser says nothing when the file chosen is the one chosen before, and Gradio never forgets that one.
  addEventListener("click", (event) => { if (event.target.matches?.("input[type=file]")) event.target.value = ""; }, true);

  addEventListener("click", (event) => {
    const outer = event.target.matches?.("input") ? null : event.target.closest?.(".vqa-gallery button:has(button)");
    if (outer) outer.querySelector("input[type=file]")?.click();
  });

  // Whoever waits for a turn is told how many are before them; Gradio says "queue: 2/3 |", in English alone.
  const [next, ahead, turn] = window.vqaQueue[onChinese ? "zh" : "en"];
  const placed = (root) => {
    const nodes = root.nodeType === 3 ? [root] : [...(root.querySelectorAll?.(".progress-text") || [])].flatMap((each) => [...each.childNodes]);
    for (const node of nodes) {
      if (node.nodeType !== 3 || !node.parentElement?.matches(".progress-text")) continue;
      const guess = node.nodeValue.match(/^(\s*[\d.]+)\/[\d.]+s/); // of how long others took, which says nothing of a queue
      if (guess) node.nodeValue = `${guess[1]}s`;
      const found = node.nodeValue.match(/queue: (\d+)\/\d+|processing/);
      if (found) node.nodeValue = `${!found[1] ? turn : found[1] === "1" ? next : ahead.replace("{n}", found[1] - 1)} · `;
    }
  };
  once(() => new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "characterData") placed(change.target); else change.addedNodes.forEach(placed);
    }
  }).observe(document.body, { childList: true, subtree: true, characterData: true }));

  // Light or dark: what was chosen here, else the system's.
  const dark = () => (store("vqa-theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const paint = () => { if (document.body) document.body.classList.toggle("dark", dark()); };
  const keepTheme = () => {
    paint();
    new MutationObserver(() => { if (document.body.classList.contains("dark") !== dark()) paint(); })
      .observe(document.body, { attributes: true, attributeFilter: ["class"] });
  };
  once(keepTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

  addEventListener("click", (event) => {
    const on = (name) => event.target.closest && event.target.closest(`[data-vqa="${name}"]`);
    if (on("language")) {
      event.preventDefault();
      const other = onChinese ? "en" : "zh";
      document.cookie = `vqa-language=${other}; path=/; max-age=31536000; samesite=lax`;
      const base = location.pathname.replace(/zh\/?$/, "").replace(/\/?$/, "/");
      const address = new URL((onChinese ? base : base + "zh") + location.search, location.href);
      address.searchParams.delete("lang");
      location.assign(address);
    } else if (event.target.closest && event.target.closest("[data-vqa-tab]")) {
      event.preventDefault();
      const tab = document.querySelector(`#tab-${event.target.closest("[data-vqa-tab]").dataset.vqaTab}-button`);
      if (tab) tab.click();
    } else if (on("theme")) {
      store("vqa-theme", dark() ? "light" : "dark");
      paint();
    } else if (on("copy")) {
      const button = on("copy");
      navigator.clipboard.writeText(button.dataset.text || "").then(() => {
        button.classList.add("done");
        setTimeout(() => button.classList.remove("done"), 1500);
      });
    }
  });

  // Whoever has tried too many passwords is told how long to wait: the login itself says nothing of it.
  const ask = window.fetch;
  window.fetch = async (...given) => {
    const reply = await ask(...given);
    if (reply.status === 429 && /\/login\/?$/.test(new URL(reply.url).pathname)) location.reload();
    return reply;
  };

  // The engine's log stays at its end, as long as nobody has scrolled away from there.
  window.vqaFollow = () => {
    const box = document.querySelector("#vqa-log textarea");
    if (!box) return;
    if (!box.vqaFollowed) {
      box.vqaFollowed = true;
      box.addEventListener("scroll", () => {
        box.vqaAway = box.scrollHeight - box.clientHeight - box.scrollTop > 60;
      });
    }
    requestAnimationFrame(() => { if (!box.vqaAway) box.scrollTop = box.scrollHeight; });
  };

  // An answer is copied as the model wrote it, without what keeps its markup from becoming the page's.
  const joiner = "\u2060";
  let copied = null;
  addEventListener("click", (event) => { copied = event.target; }, true);
  if (navigator.clipboard && navigator.clipboard.writeText) {
    const write = navigator.clipboard.writeText.bind(navigator.clipboard);
    navigator.clipboard.writeText = (text) => {
      if (!copied || !copied.closest || !copied.closest("#vqa-chat")) return write(text);
      text = text.replaceAll(`<${joiner}`, "<").replaceAll(`!${joiner}[`, "![").replaceAll(`%%%${joiner}L`, "%%%L");
      if (!copied.closest("pre, .code_wrap")) {
        text = text.replaceAll("&lt;", "<").replaceAll("!\\[", "![").replaceAll("!{}[", "![");
      }
      return write(text);
    };
  }

  // Running clocks: an element with data-since (seconds since 1970) counts up without asking the server.
  const clock = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds));
    const minutes = Math.floor(whole / 60);
    return minutes ? `${minutes}:${String(whole % 60).padStart(2, "0")}` : `${whole} s`;
  };
  let chat = "";
  setInterval(() => {
    // The open conversation stays in the address, so that a reload opens it again.
    const shown = document.querySelector("[data-chat]");
    if (shown && shown.dataset.chat !== chat) {
      chat = shown.dataset.chat;
      const address = new URL(location.href);
      if (chat) address.searchParams.set("chat", chat); else address.searchParams.delete("chat");
      history.replaceState(history.state, "", address);
    }
    for (const each of document.querySelectorAll("[data-since]")) {
      const text = clock(Date.now() / 1000 - Number(each.dataset.since));
      if (each.textContent !== text) each.textContent = text;
    }
  }, 1000);

  // A tab's button stands in the row or, where that has no room, in the menu at its end, which knows it by its name.
  const names = () => JSON.parse(document.querySelector("[data-tabs]").dataset.tabs);
  const inMenu = "#vqa-tabs > .tab-wrapper .overflow-dropdown button";
  const tabOf = (target) => {
    const tab = target.closest?.(`#vqa-tabs button[role="tab"], ${inMenu}`);
    if (!tab) return null;
    const ids = Object.keys(names()), title = tab.textContent.trim();
    // Tabs within a tab have ids, too.
    return ids.find((id) => (tab.matches(inMenu) ? names()[id] === title : tab.dataset.tabId === id)) || null;
  };
  const buttonOf = (id) => document.querySelector(`#tab-${CSS.escape(id)}-button`)
    || [...document.querySelectorAll(inMenu)].find((each) => each.textContent.trim() === names()[id]);

  // The open tab and the run that it shows stay in the address, so that a reload or a shared link opens them again.
  addEventListener("click", (event) => {
    const id = tabOf(event.target);
    if (!id) return;
    const address = new URL(location.href);
    address.searchParams.set("tab", id);
    const shown = document.querySelector(`#${id}-progress [data-run]`)?.dataset.run;
    address.searchParams.delete("from");
    if (shown) address.searchParams.set("run", shown); else address.searchParams.delete("run");
    const other = id !== (new URLSearchParams(location.search).get("tab") || "ask");
    if (other && !going) history.pushState(history.state, "", address); else history.replaceState(history.state, "", address);
  });
  // A tab that is opened for the first time is drawn and filled, and at the end of that Gradio shows it, though another
  // one was pressed meanwhile: whatever was pressed last is pressed again until it stays, or something else is pressed.
  let wanted = null, again = false;
  const hold = (id, tries) => {
    if (wanted !== id || !tries) return;
    const tab = buttonOf(id);
    again = true;
    if (tab && tab.getAttribute("aria-selected") !== "true" && !tab.classList.contains("selected")) tab.click();
    again = false;
    setTimeout(hold, 100, id, tries - 1);
  };
  addEventListener("click", (event) => {
    if (again) return;
    wanted = tabOf(event.target);
    if (wanted) setTimeout(hold, 100, wanted, 30);
  });
  // What the address names is opened as a hand would open it. An event of Gradio's for that looks at every part of the
  // page twice, and each visitor waits for it before anything can be typed.
  const asked = new URLSearchParams(location.search);
  const press = (selector, ready) => {
    let tries = 1200, there = 0;
    const timer = setInterval(() => {
      const button = document.querySelector(selector);
      there = button && document.querySelector(ready) ? there + 1 : 0;
      if (there > 1) button.click(); // not with the very drawing of it: it may be drawn anew with what it begins with
      tries -= 1;
      if (there > 1 || !tries) clearInterval(timer);
    }, 50);
  };
  once(() => {
    if (asked.has("tab")) press("#vqa-open-tab", ".vqa-strip");
    if (asked.has("from")) press(`#${CSS.escape(asked.get("tab"))}-more > .label-wrap:not(.open)`, "[data-from]");
    if (asked.has("chat")) press("#vqa-reopen", ".vqa-strip");
  });
  // Where the form fills the window, what comes of it is what one wants to see: on a phone it stands below.
  window.vqaResult = (tab) => {
    let tries = 200;
    const timer = setInterval(() => {
      const part = document.querySelector(`#${CSS.escape(tab)}-progress`);
      tries -= 1;
      if (tries && !part?.querySelector("[data-run]")) return;
      clearInterval(timer);
      if (part?.offsetParent && part.getBoundingClientRect().top > innerHeight / 2) part.scrollIntoView({ block: "start" });
    }, 100);
  };
  once(() => { if (asked.has("run")) window.vqaResult(asked.get("tab")); });
  // So Back leads to the tab before, and leaves the page only from the first.
  let going = false;
  addEventListener("popstate", () => {
    const id = new URLSearchParams(location.search).get("tab") || "ask";
    const tab = buttonOf(id);
    // By what is seen: the button may still be marked as of the tab before.
    if (!tab || document.getElementById(`tab-${id}`)?.offsetParent) return;
    going = true;
    tab.click();
    going = false;
  });
  // The arrows walk through the tabs, as wherever there are any.
  addEventListener("keydown", (event) => {
    const tab = event.target.closest?.('#vqa-tabs > .tab-wrapper [role="tab"]');
    if (!tab || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = [...tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]:not(:disabled)')], here = all.indexOf(tab);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = all.at(to % all.length);
    next.focus();
    next.click();
  });
})();
