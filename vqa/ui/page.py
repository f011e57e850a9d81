"""Puts the tabs together into one page for each language, with the header and the strip that says who answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import gradio as gr

from vqa.markup import Markup, html
from vqa.settings import ASSETS
from vqa.text import LANGUAGES, Language
from vqa.ui import theme
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.widgets import served_model, status
from vqa.ui.widgets.blocks import Page

PATHS: dict[Language, str] = {"en": "", "zh": "zh"}


@dataclass(frozen=True)
class TabPlace:
    """One tab: its id in the address (`?tab=…`), the module whose `build(services, lang)` fills it, who sees it.

    `build` may return a gr.Timer, which ticks only while its tab is open, or the gr.State of what was asked: the tabs
    with `from_answer`, which come after it, are handed that as a third value. All tabs but the first are drawn when
    they are opened; what fills one then, it binds with `widgets.blocks.when_drawn`.
    """

    id: str
    module: str
    in_public: bool = True
    from_answer: bool = False


TABS = (
    TabPlace("ask", "vqa.ui.ask.tab"),
    TabPlace("repeat", "vqa.ui.lab.repeat", from_answer=True),
    TabPlace("diagnose", "vqa.ui.lab.diagnose", in_public=False, from_answer=True),  # it takes the engine for minutes
    TabPlace("evaluate", "vqa.ui.evaluate.tab", in_public=False),
    TabPlace("history", "vqa.ui.history.tab", in_public=False),
    TabPlace("server", "vqa.ui.server.tab", in_public=False),
)


def build_ui(services: Services) -> gr.Blocks:
    """Returns the whole app: the English page at `/` and the Chinese one at `/zh`."""
    keep = round(60 * services.settings.public_keep_minutes) if services.settings.public else 3600
    demo = Page(title=words("en")("ui.title"), analytics_enabled=False, delete_cache=(min(keep, 600), keep))
    for lang in LANGUAGES:
        page = demo if not PATHS[lang] else demo.route(lang, PATHS[lang], show_in_navbar=False)
        with page:
            build_page(demo, services, lang)
    return demo


def build_page(demo: Page, services: Services, lang: Language) -> None:
    """Renders one page and binds what belongs to the page as a whole."""
    tr = words(lang)
    shown = [place for place in TABS if place.in_public or not services.settings.public]
    names = {place.id: tr(f"ui.tab_{place.id}") for place in shown}
    gr.HTML(_header(tr("ui.title"), tr("ui.subtitle"), names, lang), elem_id="vqa-header", padding=False)
    gr.HTML(theme.report_rules(), visible="hidden")
    status.build(services, lang)
    served_model.build(services, lang)
    timers: dict[str, gr.Timer] = {}
    asked: list[gr.State] = []
    with gr.Tabs(elem_id="vqa-tabs") as tabs:
        for place in shown:
            named = gr.Tab(names[place.id], id=place.id, elem_id=f"tab-{place.id}")
            with named:
                built = import_module(place.module).build(services, lang, *asked if place.from_answer else ())
            if place is not shown[0]:
                demo.draw_when_opened(named)
            if isinstance(built, gr.Timer):
                built.unrender()  # type: ignore[no-untyped-call]
                timers[place.id] = built
            elif built is not None:
                asked.append(built)

    for timer in timers.values():  # outside the tabs: one is switched on before what it looks at is drawn
        timer.render()  # type: ignore[no-untyped-call]
    known = {place.id for place in shown}

    def turned(wanted: str | None) -> list[Any]:
        return [gr.Timer(active=place == wanted) for place in timers]

    def open_tab(request: gr.Request) -> Any:
        wanted = request.query_params.get("tab")
        return [gr.Tabs(selected=wanted) if wanted in known else gr.skip(), *turned(wanted)]

    def opened(data: gr.SelectData) -> Any:
        return turned(shown[data.index].id)

    quick: dict[str, Any] = {"show_progress": "hidden", "queue": False}
    addressed = gr.Button(visible="hidden", elem_id="vqa-open-tab")  # pressed by assets/page.js
    addressed.click(open_tab, None, [tabs, *timers.values()], **quick)
    if timers:  # a public demo has none
        tabs.select(opened, None, list(timers.values()), trigger_mode="always_last", **quick)


def _header(title: str, subtitle: str, tabs: Mapping[str, str], lang: Language) -> Markup:
    """`tabs` are the names of the tabs by their ids: in the menu that a phone shows them in, they have no ids."""
    tr = words(lang)
    mark = (ASSETS / "icon.svg").read_text(encoding="utf-8").replace("<svg ", '<svg aria-hidden="true" ', 1)
    other = LANGUAGES[1 - LANGUAGES.index(lang)]
    return html(
        '<header class="vqa-header" data-tabs="{tabs}"><div class="mark">{}</div>'
        '<div class="names"><h1>{}</h1><p>{}</p></div>'
        '<nav><button type="button" class="tour" data-vqa="tour" title="{}">{}</button>'
        '<button type="button" class="keys" data-vqa="keys" aria-label="{keys}" title="{keys}">?</button>'
        '<a href="./?lang={other}" data-vqa="language" lang="{other}" title="{}">{}</a>'
        '<button type="button" data-vqa="theme" aria-label="{theme}" title="{theme}">◐</button></nav></header>',
        Markup(mark), title, subtitle, tr("tour.button_title"), tr("tour.button"),
        tr("ui.language_label"), tr("ui.language"), other=other, theme=tr("ui.theme_label"), keys=tr("page.keys_title"),
        tabs=json.dumps(tabs, ensure_ascii=False),
    )  # fmt: skip
