// The guided tour: a panel that walks through the page and does in it, by the page's own buttons, what it talks of.
(() => {
  "use strict";
  const words = window.vqaTour[/\/zh\/?$/.test(location.pathname) ? "zh" : "en"];
  const say = (name, values = {}) => (words[name] || "").replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
  const $ = (selector) => document.querySelector(selector);
  const shown = (selector) => Boolean($(selector)?.offsetParent);
  const LEFT = Symbol("left");
  let tour = null; // the tour under way

  const until = async (walk, test) => {
    for (;;) {
      if (walk !== tour) throw LEFT;
      const found = test();
      if (found) return found;
      await new Promise((go) => setTimeout(go, 120));
    }
  };

  // What goes wrong in a handler is shown by the page as a notice; one that comes while we wait is about what we did.
  const notices = () => [...document.querySelectorAll(".toast-body:is(.warning, .error) .toast-text, .toast-body:is(.warning, .error) .toast-message-text")];
  const untilDone = async (walk, test) => {
    const before = new Set(notices());
    return until(walk, () => {
      const done = test();
      const told = done ? null : notices().find((each) => !before.has(each));
      if (told) throw new Error(told.innerText.trim());
      return done;
    });
  };

  // The tab, and that whatever is on it can be used.
  const open = async (walk, tab, selector) => {
    if ($(`#tab-${tab}-button`)?.getAttribute("aria-selected") !== "true") $(`#tab-${tab}-button`)?.click();
    return until(walk, () => $(selector));
  };

  const model = (walk) => until(walk, () => {
    const strip = $(".vqa-strip");
    if (strip?.classList.contains("good")) return true;
    const state = [...(strip?.querySelectorAll("span:not(.clock, .aside)") || [])].map((each) => each.textContent).join(" ");
    const stopped = strip && !strip.classList.contains("busy") && $("#tab-server-button");
    walk.tell(say(stopped ? "wait_stopped" : "wait_model", { state }));
    return false;
  });

  const composer = () => $("#vqa-composer textarea");
  const answering = () => shown("#vqa-composer .stop-button");
  const written = () => composer()?.value || $("#vqa-composer .thumbnail-wrapper") || $("#vqa-chat .message");

  const fill = (walk) => {
    $("#tour-ask").click();
    return untilDone(walk, () => composer().value && $("#vqa-composer .thumbnail-wrapper") && !$("#vqa-chat .message"));
  };

  const steps = [
    { name: "picture", at: () => $("#vqa-composer"), async act(walk) {
      await open(walk, "ask", "#tour-ask");
      await until(walk, () => { if (answering()) walk.tell(say("wait_answer")); return !answering(); });
      for (const name of ["received", "sure"]) $(`#vqa-${name}-part > button[aria-expanded="false"], #vqa-${name}-part > .label-wrap:not(.open)`)?.click();
      walk.had = Boolean(written());
      walk.asks = true;
      await fill(walk);
    } },
    { name: "ask", at: () => $("#vqa-chat"), async act(walk) {
      await open(walk, "ask", "#vqa-composer .submit-button");
      await model(walk);
      if (!composer().value) await fill(walk); // what failed before was sent away
      walk.tell(say("asking"));
      $("#vqa-composer .submit-button").click();
      const failed = () => [...document.querySelectorAll("#vqa-chat .message.bot")].find((each) => each.innerText.includes("⚠"));
      await untilDone(walk, () => !answering() && ($("#vqa-received .vqa-received") || failed()));
      if (failed()) throw new Error(failed().innerText.trim());
      return say("answered");
    } },
    { name: "saw", at: () => $("#vqa-received-part"), also: () => $("#vqa-sure-part"), async act(walk) {
      await open(walk, "ask", "#vqa-received");
    } },
    { name: "repeat", at: () => $("#repeat-progress"), also: () => $("#repeat-verdict .vl-verdict"), async act(walk) {
      await open(walk, "repeat", "#tour-repeat");
      await model(walk);
      const run = () => $("#repeat-progress [data-run]")?.dataset.run;
      const before = run();
      walk.repeats = true;
      walk.tell(say("running"));
      $("#tour-repeat").click();
      await untilDone(walk, () => run() && run() !== before);
      await untilDone(walk, () => {
        walk.live($("#repeat-progress .vqa-bar-text")?.textContent || "");
        return $("#repeat-progress .vl-ended");
      });
      walk.live("");
      $("#tour-conclude").click();
      const verdict = await untilDone(walk, () => $(`#tour-verdict [data-run="${run()}"]`));
      walk.put(verdict.cloneNode(true));
    } },
    { name: "report", at: () => $("#repeat-exports"), async act(walk) {
      await open(walk, "repeat", "#tour-file");
      const file = await untilDone(walk, () => $("#tour-file a[href]"));
      const report = await (await fetch(file.href)).blob();
      if (walk !== tour) throw LEFT;
      // The server hands files out to be saved only; what is opened here was written by this very app.
      const address = URL.createObjectURL(new Blob([report], { type: "text/html" }));
      const link = (text, more) => Object.assign(document.createElement("a"), { href: address, textContent: say(text) }, more);
      const links = document.createElement("p");
      links.className = "links";
      links.append(
        link("report_open", { target: "_blank", rel: "noopener" }),
        link("report_save", { download: decodeURIComponent(new URL(file.href).pathname.split("/").pop()) }),
      );
      const recorded = $("#tour-verdict .recorded");
      if (recorded) links.append(recorded.cloneNode(true));
      walk.put(links);
    } },
  ];

  const start = (opener) => {
    if (tour) return tour.next.focus();
    const panel = document.createElement("section");
    panel.id = "vqa-tour";
    panel.setAttribute("role", "dialog");
    panel.setAttribute("aria-labelledby", "vqa-tour-title");
    panel.setAttribute("aria-describedby", "vqa-tour-see");
    panel.innerHTML = `<button type="button" class="leave">✕</button><div aria-live="polite"><p class="count"></p>
      <h2 id="vqa-tour-title"></h2><p class="see" id="vqa-tour-see"></p><p class="why"><b></b> <span></span></p>
      <p class="now"></p><div class="made"></div></div><p class="live"></p>
      <footer><i aria-hidden="true"></i><button type="button" class="next"></button></footer>`;
    const part = (name) => panel.querySelector(name);
    const walk = {
      panel, opener, place: 0, ready: false, next: part(".next"),
      tell: (text) => { if (part(".now").textContent !== text) part(".now").textContent = text; },
      live: (text) => { part(".live").textContent = text; },
      put: (made) => part(".made").replaceChildren(made),
    };
    part(".leave").setAttribute("aria-label", say("leave"));
    part(".leave").title = say("leave");
    part(".why b").textContent = say("why");
    part(".leave").addEventListener("click", leave);
    walk.next.addEventListener("click", () => {
      if (!walk.ready) return;
      if (walk.failed) enter(walk, walk.place);
      else if (walk.place + 1 < steps.length) enter(walk, walk.place + 1);
      else leave();
    });
    $(".gradio-container").append(panel);
    document.body.classList.add("vqa-touring");
    tour = walk;
    walk.keeping = setInterval(() => mark(walk), 150); // Gradio writes class names anew when it redraws
    enter(walk, 0);
    walk.next.focus();
  };

  const enter = async (walk, place) => {
    const step = steps[place];
    const part = (name) => walk.panel.querySelector(name);
    Object.assign(walk, { place, ready: false, failed: false });
    part(".count").textContent = say("step", { n: place + 1, total: steps.length });
    part("h2").textContent = say(`${step.name}_title`);
    part(".see").textContent = say(`${step.name}_see`);
    part(".why span").textContent = say(`${step.name}_why`);
    part("i").style.width = `${(100 * (place + 1)) / steps.length}%`;
    part(".made").replaceChildren();
    walk.tell("");
    walk.live("");
    button(walk);
    try {
      look(walk);
      walk.tell((await step.act(walk)) || "");
    } catch (problem) {
      if (problem === LEFT || walk !== tour) return;
      walk.failed = true;
      walk.tell(say("failed", { problem: problem.message }));
    }
    walk.ready = true;
    button(walk);
    look(walk);
    const focused = document.activeElement;
    if (focused === document.body || (focused === composer() && !composer().value) || place === 0) walk.next.focus({ preventScroll: true });
  };

  const button = (walk) => {
    const last = walk.place + 1 === steps.length;
    walk.next.textContent = say(walk.failed ? "again" : last ? "finish" : "next");
    walk.next.setAttribute("aria-disabled", String(!walk.ready));
    walk.panel.classList.toggle("failed", walk.failed);
    walk.panel.classList.toggle("busy", !walk.ready);
  };

  const targets = (walk) => [steps[walk.place].at?.(), steps[walk.place].also?.()].filter(Boolean);
  const mark = (walk) => {
    const wanted = targets(walk);
    for (const each of document.querySelectorAll(".vqa-tour-at")) if (!wanted.includes(each)) each.classList.remove("vqa-tour-at");
    for (const each of wanted) each.classList.add("vqa-tour-at");
  };
  const look = (walk) => {
    mark(walk);
    const place = targets(walk)[0]?.getBoundingClientRect();
    if (!place?.width) return;
    walk.panel.classList.toggle("at-left", place.left + place.width / 2 > innerWidth / 2);
    targets(walk)[0].scrollIntoView({ block: innerWidth > 640 && place.height < innerHeight / 2 ? "center" : "start" });
  };

  // Everything is put back that was there before; the tour's own conversation and run stay in the history.
  const leave = async () => {
    const walk = tour;
    tour = null;
    clearInterval(walk.keeping);
    walk.panel.remove();
    document.body.classList.remove("vqa-touring");
    for (const each of document.querySelectorAll(".vqa-tour-at")) each.classList.remove("vqa-tour-at");
    (walk.opener?.isConnected ? walk.opener : $("[data-vqa='tour']"))?.focus();
    if (walk.repeats) $("#tour-repeat-back")?.click();
    if (!walk.asks) return;
    if (walk.had && answering()) $("#vqa-composer .stop-button").click();
    while (answering() && !tour) await new Promise((go) => setTimeout(go, 120));
    if (!tour) $("#tour-ask-back")?.click();
  };

  addEventListener("click", (event) => {
    const opener = event.target.closest?.('[data-vqa="tour"], a[href$="#tour"]');
    if (!opener) return;
    event.preventDefault();
    start(opener);
  }, true);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && tour && !event.defaultPrevented) leave();
  });
})();
