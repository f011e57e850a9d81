"""What the pages say, computed from the samples of the recorded runs; a claim that they do not bear out raises."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.determinism import figures
from vqa.answers import Json, Sample
from vqa.lab.report.charts import letter, probability
from vqa.lab.report.conclusions import arm_title
from vqa.lab.report.export import Report, load_report
from vqa.lab.report.fragments import cell_groups
from vqa.lab.run.recorded import label, recorded
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run
from vqa.lab.stats.summary import Summary
from vqa.text import LANGUAGES, Language

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
TEMPLATES = Path(__file__).resolve().parent
FILES: dict[Language, str] = {"en": "determinism.md", "zh": "determinism.zh.md"}
CACHE_ARMS = ("repeat", "cold", "fully_cold", "warm")
LOAD_ARMS = ("concurrent_2", "concurrent_8", "concurrent_32", "background")
REPEAT, DEFAULT, TRITON = "h200-internvl-repeat", "h200-internvl-diagnose", "h200-internvl-triton"
HORIZON, CPU = "h200-internvl-horizon", "cpu-certificate"
HISTORY = "cpu-diagnose-history"
HISTORY_ARMS = ("cold", "warm", "after_unrelated", "after_shorter", "after_longer", "as_asked")
GPU, ONE, TWO = "h100-certificate", "h100-tensor-parallel-1", "h100-tensor-parallel-2"
GPU_PROFILES = ("default", "no-prefix-cache", "batch-invariant", "batch-invariant-triton", "serial", "float32")
CPU_PROFILES = ("default", "no-prefix-cache", "serial", "float32")
MEASURED = ("repeat", "concurrent_8", "concurrent_32")
CURE = "batch-invariant-triton"


@dataclass(frozen=True)
class Arm:
    """One arm of a recorded run: its samples and what they sum up to."""

    name: str
    samples: tuple[Sample, ...]
    summary: Summary

    @property
    def distinct(self) -> int:
        """How many different token sequences there were."""
        return self.summary.levels[Level.TOKENS].distinct

    @property
    def cached(self) -> str:
        """Prefix-cache hits in tokens, lowest to highest."""
        hits = [sample.answer.cached_tokens or 0 for sample in self.samples if sample.answer]
        return str(hits[0]) if len(set(hits)) == 1 else f"{min(hits)}–{max(hits)}"

    def answers(self, *, found: bool = False) -> set[tuple[int, ...]]:
        """The different token sequences; with `found`, of the answers whose prompt was in the cache."""
        given = [sample.answer for sample in self.samples if sample.answer]
        return {tuple(answer.token_ids or ()) for answer in given if not found or answer.cached_tokens}


@cache
def report(run_id: str) -> Report:
    """Returns a recorded run."""
    return load_report(recorded()[run_id])


@cache
def arms(run_id: str) -> dict[str, Arm]:
    """Returns a recorded run's arms by name, in the order of sending."""
    taken: dict[str, list[Sample]] = {}
    for sample in report(run_id).samples:
        taken.setdefault(sample.arm, []).append(sample)
    return {name: Arm(name, tuple(each), summarize_run(each).questions[0]) for name, each in taken.items()}


def bear_out(claim: bool, words: str) -> None:
    """Raises ValueError when the recorded runs do not show what the page says."""
    if not claim:
        raise ValueError(f"the recorded runs do not show that {words}")


def check() -> None:
    """Checks every sentence of the pages that is no number."""
    first, under, cured = arms(REPEAT)["repeat"].summary, arms(DEFAULT), arms(TRITON)
    bear_out(first.first_differs, "the first answer alone differs")
    repeat = under["repeat"]
    head = {tuple(repeat.samples[0].answer.token_ids or ())} if repeat.samples[0].answer else set()
    bear_out(under["cold"].answers() == under["fully_cold"].answers() == head, "cold answers equal the first")
    bear_out(under["warm"].answers(found=True) == repeat.answers() - head, "answers from the cache equal the rest")
    bear_out(all(under[name].distinct > 1 for name in LOAD_ARMS[1:]), "answers split under load by default")
    bear_out(under["concurrent_2"].distinct == 1, "two at a time agreed")
    counted = [arm for name, arm in cured.items() if name != "positive_control"]
    bear_out(all(arm.summary.level is Level.BITWISE for arm in counted), "every arm is bitwise identical under triton")
    bear_out(len(set.union(*(arm.answers() for arm in counted))) == 1, "all arms agree with one another under triton")
    bear_out(cured["positive_control"].distinct > 1, "the control can see differences")
    causes = [(each["cause"], each["confidence"]) for each in verdict(DEFAULT)["findings"]]
    bear_out(("prefix_cache_history", "confirmed") in causes, "the lab confirmed the history of the cache")
    cold, warm = under["cold"].answers(), repeat.answers() - head
    for name in ("after_shorter", "after_longer", "as_asked"):
        bear_out(not under[name].answers() & (cold | warm), f"{name} makes answers of its own")
    bear_out(under["after_unrelated"].answers() == cold, "on the GPU an unrelated chat changed nothing")
    bear_out(("batch_composition", "confirmed") in causes, "the lab confirmed the batch composition")
    _check_history()
    _check_horizon()
    _check_gpu_certificate()
    _check_two_gpus()
    cpu = {name: arm.summary for name, arm in arms(CPU).items()}
    bear_out(cpu["default/concurrent_8"].level is Level.NONE, "bfloat16 splits on a CPU")
    bear_out(cpu["float32/concurrent_8"].level is Level.TOKENS, "float32 holds its tokens on a CPU")
    bear_out(cpu["serial/concurrent_8"].level is Level.BITWISE, "serial is identical on a CPU")


def _check_history() -> None:
    causes = [(each["cause"], each["confidence"]) for each in verdict(HISTORY)["findings"]]
    bear_out(("prefix_cache_history", "confirmed") in causes, "the lab confirmed the history of the cache")
    found = arms(HISTORY)
    for name in HISTORY_ARMS[:5]:
        bear_out(found[name].distinct == 1, f"{name} repeats exactly")
    itself = found["cold"].answers() | found["warm"].answers()
    bear_out(not found["after_unrelated"].answers() & itself, "an unrelated chat before makes another answer")
    bear_out(not found["as_asked"].answers() & itself, "as it was asked it met a history")
    bear_out(found["salt_per_request"].summary.level is Level.BITWISE, "a salt for each request is bitwise identical")


def _check_horizon() -> None:
    held = {each["name"]: each for each in horizon_rows()}
    bear_out(held["default"]["tokens"] == held["batch-invariant"]["tokens"] == 1, "both split at two at a time")
    bear_out(held[CURE]["bitwise"] == held[CURE]["reached"] > 2, "the cure holds as far as requests met")


def horizon_rows() -> list[dict[str, Any]]:
    """Returns for each profile up to how many together the levels held, and how many were seen together."""
    rows = []
    for profile in (report(HORIZON).run.result or {})["profiles"]:
        valid = [step for step in profile["steps"] if not step["invalid"]]
        held = {
            level: max((step["load"] for step in valid if step["holds"][level]), default=0)
            for level in ("bitwise", "tokens")
        }
        reached = max(step["load"] for step in valid)
        rates = {step["load"]: step["throughput"] for step in valid}
        rows.append({"name": profile["name"], **held, "reached": reached, "alone": rates[1], "most": rates[reached]})
    return rows


def history_classes(name: str, run_id: str = HISTORY) -> str:
    """Returns with how much from the cache an arm of a diagnosis gave which answer, in letters."""
    row = next(each for each in verdict(run_id)["evidence"] if each["arm"] == name)
    return ", ".join(f"{each['cached']}: {letter(each['answer'])}" for each in row["classes"])


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


def _check_gpu_certificate() -> None:
    gpu = {name: arm.summary for name, arm in arms(GPU).items()}
    bear_out(all(gpu[f"{name}/repeat"].first_differs for name in ("default", "serial")), "both keep the first answer")
    for name in ("no-prefix-cache", "batch-invariant"):
        bear_out(gpu[f"{name}/repeat"].level is Level.BITWISE, f"{name} is identical in a row")
        bear_out(gpu[f"{name}/concurrent_8"].level is Level.NONE, f"{name} splits under load")
    bear_out(all(gpu[f"{CURE}/{arm}"].level is Level.BITWISE for arm in MEASURED), "the cure holds under every load")
    bear_out(all(gpu[f"float32/{arm}"].level is Level.TOKENS for arm in MEASURED), "float32 holds its tokens")
    controls = [gpu[f"{name}/positive_control"] for name in GPU_PROFILES]
    bear_out(all(len(each.groups) == each.ok > 1 for each in controls), "every profile's control sees differences")
    serial = [len(arms(GPU)[f"serial/{arm}"].answers()) for arm in MEASURED]
    bear_out(serial == [2, 2, 2], "serial has the first answer and the usual one, and no other")


def _check_two_gpus() -> None:
    one, two, six = arms(ONE), arms(TWO), arms(GPU)
    bear_out(two["default/repeat"].summary.level is Level.BITWISE, "two GPUs give the first answer like the others")
    bear_out(two["default/concurrent_8"].summary.level is Level.NONE, "two GPUs split under load by default")
    for found in (one, two):
        bear_out(
            all(found[f"{CURE}/{arm}"].summary.level is Level.BITWISE for arm in MEASURED), "the cure holds on both"
        )
    answers = [found[f"{CURE}/repeat"].answers() for found in (six, one, two)]
    bear_out(answers[0] == answers[1] != answers[2], "another machine answers the same, another number of GPUs not")


def verdict(run_id: str) -> Json:
    """Returns the diagnosis that the lab came to by itself."""
    return (report(run_id).run.result or {})["diagnosis"]


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
    return {
        "n": repeat.summary.n,
        "where": label(report(REPEAT).run, lang),
        "cpu_where": label(report(CPU).run, lang),
        "prompt": prompt,
        "cached": cached,
        "left": (prompt or 0) - cached,
        "first_cached": next(sample.answer.cached_tokens or 0 for sample in repeat.samples if sample.answer),
        "horizon": horizon_rows(),
        "horizon_where": label(report(HORIZON).run, lang),
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
        **history(lang),
        "ids": (REPEAT, DEFAULT, TRITON, HORIZON, HISTORY, GPU, ONE, TWO, CPU),
    }


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
