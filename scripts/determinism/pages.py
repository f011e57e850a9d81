"""What the pages say, computed from the samples of the recorded runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.determinism import figures
from scripts.determinism.checks import bear_out, check
from scripts.determinism.runs import (
    CACHE_ARMS,
    CPU,
    CPU_PROFILES,
    CURE,
    DEFAULT,
    GPU,
    GPU_PROFILES,
    HISTORY,
    HISTORY_ARMS,
    HORIZON,
    LENGTHS,
    LOAD_ARMS,
    MATRICES,
    MEASURED,
    ONE,
    REPEAT,
    TRITON,
    TWO,
    arms,
    history_classes,
    horizon_rows,
    length_rows,
    lengths_cost,
    matrix,
    report,
    verdict,
)
from vqa.lab.certificate.where import what_holds
from vqa.lab.report.charts import probability
from vqa.lab.report.conclusions import arm_title
from vqa.lab.report.fragments import cell_groups
from vqa.lab.report.where import reach_words
from vqa.lab.run.recorded import label, recorded
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summary import Summary
from vqa.text import LANGUAGES, Language

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
TEMPLATES = Path(__file__).resolve().parent
FILES: dict[Language, str] = {"en": "determinism.md", "zh": "determinism.zh.md"}


def history(lang: Language) -> dict[str, Any]:
    """Returns what the section on the history of the cache puts in."""
    found = arms(HISTORY)
    finding = next(each for each in verdict(HISTORY)["findings"] if each["cause"] == "prefix_cache_history")
    answer = next(sample.answer for sample in found["cold"].samples if sample.answer)
    article = arms(DEFAULT)
    return {
        "article_arms": [
            (arm_title(name, lang), article[name], history_classes(name, DEFAULT)) for name in HISTORY_ARMS
        ],
        "article_kinds": len(set.union(*(article[name].answers() for name in HISTORY_ARMS))),
        "article_where": label(report(DEFAULT).run, lang),
        "history_where": label(report(HISTORY).run, lang),
        "history_prompt": answer.prompt_tokens,
        "history_arms": [(arm_title(name, lang), found[name], history_classes(name)) for name in HISTORY_ARMS],
        "history_kinds": len(set.union(*(found[name].answers() for name in HISTORY_ARMS))),
        "history_shared": found["after_unrelated"].cached,
        "history_tried": [(arm_title(row["remedy"], lang), row) for row in finding["values"]["tried"]],
    }


def flip() -> dict[str, Any]:
    """Returns where and how narrowly the first answer of the repeat run left the others."""
    summary = arms(REPEAT)["repeat"].summary
    split = summary.divergences[0]
    bear_out(split.unit == "token" and split.margin is not None, "the flip was seen at a token")
    usual, other = split.modal_top, split.group_top
    return {
        "index": split.index,
        "margin": f"{split.margin:.4f}",
        "usual": [(each.text.strip(), f"{100 * probability(each.logprob):.2f}%") for each in usual[:2]],
        "other": [(each.text.strip(), f"{100 * probability(each.logprob):.2f}%") for each in other[:2]],
        "fragile": len(set(summary.fragile) - {each.index for each in summary.divergences}),
        "tokens": len(summary.margins),
        "epsilon": f"{summary.drift.epsilon:.3f}" if summary.drift else "–",
    }


def values(lang: Language) -> dict[str, Any]:
    """Returns everything that the template of a language puts in."""
    repeat, under, cured = arms(REPEAT)["repeat"], arms(DEFAULT), arms(TRITON)
    prompt = next(sample.answer.prompt_tokens for sample in repeat.samples if sample.answer)
    cached = max(sample.answer.cached_tokens or 0 for sample in repeat.samples if sample.answer)
    counted = [arm for name, arm in cured.items() if name != "positive_control"]
    shown = [run for run in MATRICES if run in recorded()]
    return {
        "n": repeat.summary.n,
        "flags": " ".join(flags()),
        "where": label(report(REPEAT).run, lang),
        "cpu_where": label(report(CPU).run, lang),
        "prompt": prompt,
        "cached": cached,
        "left": (prompt or 0) - cached,
        "first_cached": next(sample.answer.cached_tokens or 0 for sample in repeat.samples if sample.answer),
        "horizon": horizon_rows(),
        "horizon_where": label(report(HORIZON).run, lang),
        "lengths": length_rows(),
        "lengths_where": label(report(LENGTHS).run, lang),
        "lengths_cost": lengths_cost(),
        "blocks": [report(run).run.header["cache_config"]["block_size"] for run in (LENGTHS, CPU)],
        "flip": flip(),
        "cache_arms": [(arm_title(name, lang), under[name]) for name in CACHE_ARMS],
        "load_arms": [(arm_title(name, lang), under[name], cured[name]) for name in LOAD_ARMS],
        "control": cured["positive_control"],
        "cured": len(counted),
        "cured_answers": sum(arm.summary.ok for arm in counted),
        "all_default": len(set.union(*(arm.answers() for name, arm in under.items() if name != "positive_control"))),
        "cost": [(arm_title(name, lang), *cost(name)) for name in ("repeat", "concurrent_8", "concurrent_32")],
        "cpu": [(name, *certified(CPU, name, MEASURED[:2])) for name in CPU_PROFILES],
        "gpu": [(name, *certified(GPU, name)) for name in GPU_PROFILES],
        "controls": min(arms(GPU)[f"{name}/positive_control"].distinct for name in GPU_PROFILES),
        "gpu_where": label(report(GPU).run, lang),
        "tensor": [(run, name, *certified(run, name)) for run in (ONE, TWO) for name in ("default", CURE)],
        "holds": where_rows(lang),
        **history(lang),
        "matrices": [(matrix(run), label(report(run).run, lang)) for run in shown],
        "beside": {name: arm_title(name, lang) for run in shown for name, _ in matrix(run)["rows"]},
        "ids": (REPEAT, DEFAULT, TRITON, HORIZON, LENGTHS, *shown, HISTORY, GPU, ONE, TWO, CPU),
    }


def where_rows(lang: Language) -> list[tuple[str, ...]]:
    """Returns what holds where of all recorded runs, as the words of each row."""
    rows = what_holds(report(run).run for run in recorded())
    return [
        (each.hardware, each.version, each.model, each.profile, reach_words(each.bitwise, lang),
         reach_words(each.tokens, lang), each.run)
        for each in rows
    ]  # fmt: skip


def flags() -> list[str]:
    """Returns the flags of the first run's engine that were given for it, as vLLM spells them."""
    argv = report(REPEAT).run.header["engine"]["argv"]
    wanted = ("--trust-remote-code", "--max-num-batched-tokens", "--max-model-len", "--seed")
    return [word for name in wanted for word in argv if word.partition("=")[0] == name]


def cost(name: str) -> tuple[str, str, str]:
    """Returns median seconds of a request under the default and under triton, and their ratio."""
    one, other = (arms(run)[name].summary.latency.median or 0.0 for run in (DEFAULT, TRITON))
    return f"{one:.3f}", f"{other:.3f}", f"{other / one:.2f}"


def certified(run_id: str, profile: str, measured: tuple[str, ...] = MEASURED) -> list[Summary]:
    """Returns what a certificate showed of a profile under each load."""
    return [arms(run_id)[f"{profile}/{arm}"].summary for arm in measured]


def page(lang: Language) -> str:
    """Returns the page of a language.

    Raises:
        ValueError: the recorded runs do not bear out what it says.
    """
    check()
    environment = Environment(  # noqa: S701 - Markdown, made of our own numbers
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["weakest"] = lambda levels: min(levels, key=lambda level: level.height)
    return environment.get_template(f"page.{lang}.md").render(Level=Level, **values(lang))


def drawings() -> dict[str, str]:
    """Returns the figures by file name below docs/."""
    summary = arms(REPEAT)["repeat"].summary
    splits = [split.index for split in summary.divergences]
    load = [
        (name.replace("concurrent_", "c = "), (arms(DEFAULT)[name].distinct, arms(TRITON)[name].distinct))
        for name in LOAD_ARMS
    ]
    return {
        "figures/first-differs.svg": figures.strip(cell_groups(summary)),
        "figures/margins.svg": figures.margins(summary.margins, summary.fragile, splits),
        "figures/under-load.svg": figures.bars(load, ("default", "batch-invariant-triton")),
    }


def everything() -> dict[str, str]:
    """Returns the content of every file by its name below docs/."""
    return {FILES[lang]: page(lang) for lang in LANGUAGES} | drawings()
