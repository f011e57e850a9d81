"""The page's look: colours, type and spacing on Gradio's theme engine, all from this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

from vqa.lab.report import fragments
from vqa.markup import Markup, html
from vqa.settings import ASSETS
from vqa.text import LANGUAGES, Language, table

SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "PingFang SC", "Hiragino Sans GB")
SANS_MORE = ("Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", "sans-serif")
MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "Liberation Mono", "Noto Sans Mono CJK SC", "monospace")

PINE = colors.Color(
    name="pine",
    c50="#eef7f5",
    c100="#d5ece7",
    c200="#aedad1",
    c300="#7cc1b4",
    c400="#4aa394",
    c500="#23877a",
    c600="#0f6b60",
    c700="#0c574f",
    c800="#0b4640",
    c900="#0a3a35",
    c950="#04211e",
)
INK = colors.Color(
    name="ink",
    c50="#f8f8f5",
    c100="#f0f0eb",
    c200="#e2e2da",
    c300="#c9cac2",
    c400="#94978f",
    c500="#63675f",
    c600="#4a4e49",
    c700="#343835",
    c800="#20242a",
    c900="#171a1f",
    c950="#0f1216",
)


def theme() -> gr.themes.Base:
    """Returns the theme: pine green on paper white, or on slate when dark; fonts of the visitor's own system."""
    base = gr.themes.Base(
        primary_hue=PINE,
        secondary_hue=PINE,
        neutral_hue=INK,
        text_size=sizes.text_md,
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_md,
        font=[fonts.Font(name) for name in (*SANS, *SANS_MORE)],
        font_mono=[fonts.Font(name) for name in MONO],
    )
    return base.set(
        body_background_fill="#fbfbf8",
        body_background_fill_dark="#0f1216",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#171a1f",
        background_fill_secondary="#f4f4ef",
        background_fill_secondary_dark="#1c2026",
        body_text_color="#1b2024",
        body_text_color_dark="#e7e9ea",
        body_text_color_subdued="#5c615b",
        body_text_color_subdued_dark="#a2a9ae",
        block_background_fill="#ffffff",
        block_background_fill_dark="#171a1f",
        block_border_color="#e2e2da",
        block_border_color_dark="#2a3038",
        block_border_width="1px",
        block_radius="12px",
        block_shadow="none",
        block_shadow_dark="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="#5c615b",
        block_label_text_color_dark="#a2a9ae",
        block_title_text_color="#343835",
        block_title_text_color_dark="#c9cfd3",
        block_title_text_weight="560",
        block_info_text_color="#5c615b",
        block_info_text_color_dark="#a2a9ae",
        border_color_primary="#e2e2da",
        border_color_primary_dark="#2a3038",
        input_background_fill="#fdfdfb",
        input_background_fill_dark="#12151a",
        input_border_color="#8b8f87",
        input_border_color_dark="#5a636d",
        input_border_color_focus="#0f6b60",
        input_border_color_focus_dark="#7cc1b4",
        input_border_width="1px",
        input_placeholder_color="#6d716a",
        input_placeholder_color_dark="#8d959b",
        button_primary_background_fill="#0f6b60",
        button_primary_background_fill_hover="#0c574f",
        button_primary_background_fill_dark="#1d8474",
        button_primary_background_fill_hover_dark="#23877a",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="#f0f0eb",
        button_secondary_background_fill_dark="#20252c",
        button_secondary_background_fill_hover_dark="#2a3038",
        button_secondary_border_color="#c9cac2",
        button_secondary_border_color_dark="#3b434c",
        button_border_width="1px",
        button_large_radius="10px",
        button_small_radius="8px",
        button_medium_radius="10px",
        link_text_color="#0c574f",
        link_text_color_dark="#7cc1b4",
        slider_color="#0f6b60",
        slider_color_dark="#4aa394",
        loader_color="#0f6b60",
    )


def css() -> str:
    """Returns the page's own rules, but for those of what reports show as well."""
    return "".join((ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "ask.css"))


def own_words() -> gr.I18n:
    """Returns what stands in place of Gradio's "Drop Media Here - or - Click to Upload", in every language."""
    places = {name: f"page.{name}" for name in ("drop_gallery", "drop_image", "drop_file", "click_to_upload")}
    words = {lang: {f"upload_text.{name}": table(lang)[key] for name, key in places.items()} for lang in LANGUAGES}
    return gr.I18n(**{"en": words["en"], "zh-CN": words["zh"]})


SCRIPTS = ("start.js", "proxy.js", "events.js", "page.js", "sending.js", "ahead.js", "dock.js", "keys.js")
TOUCH = "_touch"
"""Ends the key of a text for fingers, beside that of the text for a mouse."""
KEYS = ("title", "send", "line", "composer", "new", "tabs", "theme", "list", "close")


def head(examples: Mapping[Language, Sequence[str]]) -> Markup:
    """Returns what goes first into <head>: the page's small scripts, Gradio's own words in Chinese, and how to wait.

    `examples` are the questions of the example pictures, in the order in which these are shown.
    """
    prefix = "page.gradio_"
    pairs = {text: table("zh")[key] for key, text in table("en").items() if key.startswith(prefix)}
    script = "".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    chinese = json.dumps(pairs, ensure_ascii=False).replace("</", "<\\/")
    waiting = {lang: [table(lang)[f"page.queue_{name}"] for name in ("next", "ahead", "turn")] for lang in LANGUAGES}
    keys = {lang: {name: table(lang)[f"page.keys_{name}"] for name in KEYS} for lang in LANGUAGES}
    drop = {lang: table(lang)["page.drop"] for lang in LANGUAGES}
    touch = {lang: touch_words(lang) for lang in LANGUAGES}
    proxy = {lang: {name: table(lang)[f"page.proxy_{name}"] for name in ("host", "path")} for lang in LANGUAGES}
    words = "".join(
        f"window.{name}={json.dumps(value, ensure_ascii=False)};"
        for name, value in (
            ("vqaQueue", waiting),
            ("vqaKeys", keys),
            ("vqaDrop", drop),
            ("vqaProxy", proxy),
            ("vqaTouch", touch),
            ("vqaExamples", examples),
        )
    ).replace("</", "<\\/")
    words += f"window.vqaChinese={chinese};"
    return html('<meta name="color-scheme" content="light dark"><script>{}</script>', Markup(words + script))


def touch_words(lang: Language) -> dict[str, str]:
    """Returns what stands in place of each text that speaks of a mouse or of keys where there is only a finger."""
    words = table(lang)
    return {words[key.removesuffix(TOUCH)]: text for key, text in words.items() if key.endswith(TOUCH)}


def report_rules() -> Markup:
    """Returns the rules of what a report shows, which come after Gradio's own: in <head> they would yield to them."""
    rules = fragments.stylesheet() + (ASSETS / "evaluate.css").read_text(encoding="utf-8")
    return html("<style>{}</style>", Markup(rules))


def icon() -> Path:
    """Returns the page's icon."""
    return ASSETS / "icon.png"
