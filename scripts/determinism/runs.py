"""The recorded runs that the pages tell of: their samples by arm, and what the lab concluded from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from vqa.answers import Json, Sample
from vqa.lab.report.cells import letter
from vqa.lab.report.export import Report, load_report
from vqa.lab.run.recorded import recorded
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run
from vqa.lab.stats.summary import Summary

CACHE_ARMS = ("repeat", "cold", "fully_cold", "warm")
LOAD_ARMS = ("concurrent_2", "concurrent_8", "concurrent_32", "background")
REPEAT, DEFAULT, TRITON = "h200-internvl-repeat", "h200-internvl-diagnose", "h200-internvl-triton"
HORIZON, CPU = "h200-internvl-horizon", "cpu-certificate"
HISTORY = "cpu-diagnose-history"
MATRICES = ("h200-internvl-matrix", "cpu-matrix")
"""Those of them that are recorded are told of."""
HISTORY_ARMS = ("cold", "warm", "after_unrelated", "after_shorter", "after_longer", "as_asked")
LENGTHS = "h200-certificate"
"""A certificate at prompts of three lengths."""
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


def verdict(run_id: str) -> Json:
    """Returns the diagnosis that the lab came to by itself."""
    return (report(run_id).run.result or {})["diagnosis"]


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


def length_rows() -> list[dict[str, Any]]:
    """Returns for each profile of the certificate of several lengths, and each length, what held at each load."""
    rows = []
    for profile in (report(LENGTHS).run.result or {})["profiles"]:
        for place, question in enumerate(profile["loads"][0]["questions"]):
            tokens = question["prompt_tokens"]
            levels = [(load["load"], load["questions"][place]["level"]) for load in profile["loads"]]
            parts = -(-tokens // profile["batched_tokens"])
            rows.append({"name": profile["name"], "tokens": tokens, "parts": parts, "levels": levels})
    return rows


def lengths_cost() -> tuple[int, int]:
    """Returns how many answers that certificate counted, and the seconds that it took with its starts."""
    run = report(LENGTHS).run
    ended = run.finished_at or run.created_at
    return len(report(LENGTHS).samples), round((ended - run.created_at).total_seconds())


def matrix(run_id: str) -> dict[str, Any]:
    """Returns what a recorded vision matrix shows: its profiles, and for each thing that stood beside, of how many.

    In how many of how many prompts it changed the answer; prompts whose cell is invalid count in neither.
    """
    run = report(run_id).run
    result, asked = run.result or {}, run.plan["matrix"]
    measured = [row for row in result["profiles"] if row.get("columns")]
    rows = []
    for name in asked["beside"]:
        told = []
        for profile in measured:
            column = profile["columns"].get(name)
            changed = len(column["changed"]) + len(column["as_any"]) if column else 0
            told.append((changed, changed + column["held"]) if column else None)
        if any(told):
            rows.append((name, told))
    prompts = [prompt for profile in measured for prompt in profile["prompts"]]
    refused = {prompt["name"] for prompt in prompts if prompt["reason"]}
    met = [cell["together"] for prompt in prompts for cell in prompt["cells"] if cell.get("together")]
    return {
        "id": run_id,
        "profiles": [profile["name"] for profile in measured],
        "rows": rows,
        "asked": asked,
        "sizes": ", ".join(f"{width} × {height}" for width, height in asked["sizes"]),
        "tokens": run.plan["spec"]["sampling"]["max_tokens"],
        "refused": len(refused),
        "prompts": len({prompt["name"] for prompt in prompts}),
        "together": max(met, default=1),
        "stopped": (stopped["done"], stopped["total"]) if (stopped := result.get("stopped")) else None,
        "orders": [(profile["name"], profile["orders"]) for profile in measured if profile["orders"]["pairs"]],
    }


def history_classes(name: str, run_id: str = HISTORY) -> str:
    """Returns with how much from the cache an arm of a diagnosis gave which answer, in letters."""
    row = next(each for each in verdict(run_id)["evidence"] if each["arm"] == name)
    return ", ".join(f"{each['cached']}: {letter(each['answer'])}" for each in row["classes"])
