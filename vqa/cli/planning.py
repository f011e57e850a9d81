"""From the words of a command to the engine that it means: model, preset, profile, flags."""

from __future__ import annotations

import sys
from dataclasses import replace

from vqa.cli import cli_language
from vqa.engine.flags import parse_words
from vqa.engine.machine import Machine
from vqa.engine.presets import get_preset
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Prepare
from vqa.engine.vllm_args import learn, must_ask
from vqa.settings import Settings
from vqa.text import t


def plan(
    settings: Settings, model: str | None, profile: str | None, preset: str | None, words: list[str]
) -> tuple[EngineSpec, Prepare | None]:
    """Returns what a command shall start, and what has to be fetched first.

    `model`, `profile` and `preset` are what the command named, `words` the flags behind them as vLLM spells them.

    Raises:
        VQAError: one of them is unknown or cannot be used.
    """
    from vqa.models.lora import split_lora
    from vqa.models.serve import plan_start
    from vqa.models.share import share_again

    if model and model.startswith("-"):
        words, model = [model, *words], None  # the first flag, where no model was named
    words, lora = split_lora(words)
    saved = get_preset(settings, preset) if preset else None
    template = parse_words(words).get("chat_template") or (saved.chat_template if saved else None)
    fields = {"chat_template": template} if template else {}
    spec, prepare = plan_start(settings, model or (saved.model if saved else None), **fields)
    if saved:
        spec = _as_saved(saved, spec, keep_model=not model)
    wanted = share_again(overlay(spec, words, profile), spec, Machine.load(settings))
    # Put in by us: a pasted command may not name files, but this one was told to.
    wanted = replace(wanted, extra_args=(*wanted.extra_args, *lora))
    learn_flags(wanted, spec, settings)
    return wanted, prepare


def _as_saved(saved: EngineSpec, planned: EngineSpec, *, keep_model: bool) -> EngineSpec:
    """Returns the preset `saved` with the operator's own flags before its own; of the planned model, or its own."""
    extra = (*planned.extra_args, *(word for word in saved.extra_args if word not in planned.extra_args))
    if keep_model:
        return replace(saved, extra_args=extra)
    return replace(saved, model=planned.model, served_model_name=planned.served_model_name, extra_args=extra)


def learn_flags(wanted: EngineSpec, usual: EngineSpec, settings: Settings) -> None:
    """Has vLLM's own parser name its flags, where some were given and it was never asked."""
    if must_ask(wanted, usual, settings):
        print(t("engine.asking_vllm", cli_language()), file=sys.stderr, flush=True)
        learn(settings)


def overlay(spec: EngineSpec, words: list[str], profile: str | None) -> EngineSpec:
    """Returns `spec` with what the words of the command line change."""
    given = parse_words(words)
    extra, found = given.pop("extra_args"), given.pop("profile")
    changed = replace(spec, **given, extra_args=(*spec.extra_args, *extra))
    chosen = profile or (found if found != "default" else None)
    return changed.with_profile(chosen) if chosen else changed
