"""The form of vLLM's flags: an EngineSpec to fields and back. Renders fields; starts nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import gradio as gr

from vqa.engine.flags import convert, flag_of
from vqa.engine.profiles import PROFILES, TRIALS
from vqa.engine.spec import DTYPES, EXECUTORS, EngineSpec
from vqa.markup import html, joined
from vqa.text import Language, t
from vqa.ui.text import words
from vqa.ui.widgets.parts import card

SELECTS = {"dtype": DTYPES, "distributed_executor_backend": EXECUTORS, "profile": (*PROFILES, *TRIALS)}
SWITCHES = ("enforce_eager", "trust_remote_code")
OFTEN = ("port", "max_model_len", "gpu_memory_utilization", "dtype", "profile", "enforce_eager", "trust_remote_code")
SELDOM = (
    "kv_cache_memory_bytes", "host", "served_model_name", "max_num_seqs", "max_num_batched_tokens", "seed",
    "limit_mm_per_prompt", "generation_config", "quantization", "chat_template",
)  # fmt: skip
SPREAD = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "distributed_executor_backend")
HELP_LENGTH = 90
FormField: TypeAlias = gr.Textbox | gr.Dropdown | gr.Checkbox
FIELDS = (*OFTEN, *SELDOM, *SPREAD)


@dataclass(frozen=True)
class ServerForm:
    """The fields, keyed by the names of EngineSpec."""

    fields: dict[str, FormField]

    def components(self) -> list[FormField]:
        """Returns the components in the order of FIELDS."""
        return [self.fields[name] for name in FIELDS]


def render(spec: EngineSpec, lang: Language, help_texts: dict[str, str]) -> ServerForm:
    """Returns the fields, drawn and filled from `spec`; `help_texts` is what vLLM itself says of each flag."""
    tr = words(lang)
    with gr.Row():
        fields = {"profile": _field("profile", spec, lang, help_texts)}
    with gr.Accordion(tr("server.flags"), open=False, elem_id="vqa-flags"):
        fields |= _group(tuple(name for name in OFTEN if name != "profile"), spec, lang, help_texts)
    _explain_trust(fields["trust_remote_code"], spec, lang)
    with gr.Accordion(tr("server.more_flags"), open=False):
        fields |= _group(SELDOM, spec, lang, help_texts)
    with gr.Accordion(tr("server.spread_flags"), open=False):
        fields |= _group(SPREAD, spec, lang, help_texts)
    return ServerForm(fields)


def _explain_trust(switch: FormField, spec: EngineSpec, lang: Language) -> None:
    """Draws what running a checkpoint's own code means; it shows as long as the switch is on."""
    tr = words(lang)
    text = joined(html("<p>{}</p>", tr(f"server.trust_{part}")) for part in ("what", "why", "instead"))
    note = gr.HTML(
        card(tr("server.trust_title"), text, tone="warn"),
        visible=spec.trust_remote_code, elem_id="vqa-trust", padding=False,
    )  # fmt: skip
    switch.change(lambda on: gr.HTML(visible=bool(on)), switch, note, show_progress="hidden", queue=False)


def _group(
    names: tuple[str, ...], spec: EngineSpec, lang: Language, help_texts: dict[str, str]
) -> dict[str, FormField]:
    found = {}
    for start in range(0, len(names), 2):
        with gr.Row():
            for name in names[start : start + 2]:
                found[name] = _field(name, spec, lang, help_texts)
    return found


def _field(name: str, spec: EngineSpec, lang: Language, help_texts: dict[str, str]) -> FormField:
    label = flag_of(name) if name != "profile" else t("server.profile", lang)
    info = t(f"server.flag_{name}", lang)
    original = first_sentence(help_texts.get(name, ""))
    shared: dict[str, Any] = {"label": label, "info": info, "elem_id": f"flag-{name}", "min_width": 200}
    if original and original != info:
        shared["info"] = f"{info} vLLM: “{original}”" if lang == "en" else f"{info} vLLM 原文：“{original}”"
    value = getattr(spec, name)
    if name in SWITCHES:
        return gr.Checkbox(bool(value), **shared)
    if name in SELECTS:
        choices = [("–", ""), *((each, each) for each in SELECTS[name])] if name != "profile" else list(SELECTS[name])
        return gr.Dropdown(choices, value=value or ("default" if name == "profile" else ""), **shared)
    return gr.Textbox(_shown(name, value), max_lines=3, placeholder=t("server.flag_empty", lang), **shared)


def first_sentence(text: str) -> str:
    """Returns how vLLM's help begins; the whole of it would bury the form."""
    sentence = re.split(r"(?<=[.;:])\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".;:")
    return sentence if len(sentence) <= HELP_LENGTH else f"{sentence[:HELP_LENGTH].rsplit(' ', 1)[0]} …"


def fill(spec: EngineSpec) -> list[Any]:
    """Returns the values of the components for a spec, in the order of FIELDS."""
    return [_shown(name, getattr(spec, name)) for name in FIELDS]


def _shown(name: str, value: Any) -> Any:
    if name in SWITCHES:
        return bool(value)
    return ("default" if name == "profile" else "") if value is None else str(value)


def read(base: EngineSpec, values: tuple[Any, ...]) -> EngineSpec:
    """Returns `base` with what stands in the fields, in the order of FIELDS.

    Raises:
        InputError: one cannot be read.
    """
    fields = {name: _value(name, value) for name, value in zip(FIELDS, values, strict=True)}
    if fields["port"] is None:
        fields["port"] = base.port
    fields["host"] = fields["host"] or base.host
    return replace(base, **fields)


def _value(name: str, value: Any) -> Any:
    if name in SWITCHES:
        return bool(value)
    text = str(value or "").strip()
    if not text:
        return "default" if name == "profile" else None
    return text if name in SELECTS else convert(name, text)
