"""What is otherwise in a later certificate or horizon than in an earlier one: surroundings, verdicts, answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vqa.answers import Json, Sample
from vqa.lab.certificate.versions import distinct
from vqa.lab.run.run_json import Report

PACKAGES = ("torch", "transformers")
PORT = re.compile(r"--port \d+ ?")


@dataclass(frozen=True)
class Change:
    """One thing that was otherwise before."""

    what: str
    """`surroundings`, `verdict` or `answers`."""
    name: str
    """Such as `driver`, or `default, 8 at a time`."""
    before: str
    now: str
    shared: int = 0
    """Answers that both have."""


def changes(before: Report, now: Report) -> list[Change]:
    """Returns what changed between two runs: of the machine first, then of what holds, then of the answers."""
    return [*_surroundings(before, now), *_verdicts(before, now), *_answers(before, now)]


def _surroundings(before: Report, now: Report) -> Iterator[Change]:
    sides = [_named(report) for report in (before, now)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        one, other = (side.get(name, "–") for side in sides)
        if one != other:
            yield Change("surroundings", name, one, other)


def _named(report: Report) -> dict[str, str]:
    """Returns everything that fixes a run beside the question, by name, as text."""
    header = report.run.header
    machine = header.get("machine") or {}
    packages = machine.get("packages") or {}
    gpus = [str(gpu.get("name")) for gpu in machine.get("gpus") or ()]
    named = {
        "GPU": " + ".join(gpus),
        "driver": machine.get("driver"),
        "CPU": machine.get("cpu"),
        "cores": machine.get("cores"),
        "vLLM": machine.get("vllm_version") or (header.get("server") or {}).get("vllm_version"),
        **{name: packages.get(name) for name in PACKAGES},
        "model": header.get("model"),
    }
    environment = (header.get("engine") or {}).get("environment") or {}
    named |= {name: value for name, value in environment.items() if name.startswith("VLLM_")}
    for row in (report.run.result or {}).get("profiles") or ():
        # The folder of the model is told by its name already, and a port changes nothing.
        named[f"{row['name']}: flags"] = PORT.sub("", " ".join(str(row.get("command") or "").split()[3:]))
    return {name: str(value) for name, value in named.items() if value not in (None, "")}


def _verdicts(before: Report, now: Report) -> Iterator[Change]:
    sides = [_held(report.run.result or {}) for report in (before, now)]
    for name in sides[0]:
        if name in sides[1] and sides[0][name] != sides[1][name]:
            yield Change("verdict", name, sides[0][name], sides[1][name])


def _held(result: Mapping[str, Json]) -> dict[str, str]:
    """Returns for each profile and load (of a horizon: and level; of a matrix: what stood beside) what held there."""
    held = {}
    for row in result.get("profiles") or ():
        for load in row.get("loads") or ():
            held[f"{row['name']}, {load['load']}"] = str(load["level"]) if not load.get("invalid") else "–"
        for level, found in (row.get("levels") or {}).items():
            held[f"{row['name']}, {level}"] = f"{found['up_to']} ({found['end']})"
        for beside, column in (row.get("columns") or {}).items():
            changed = len(column["changed"]) + len(column["as_any"])
            held[f"{row['name']}, {beside}"] = f"{changed}/{changed + column['held']}"
    return held


def _answers(before: Report, now: Report) -> Iterator[Change]:
    """Yields the conditions that both have and whose answers are not the same ones, by their number."""
    sides = [_distinct(report) for report in (before, now)]
    for arm in sides[0]:
        if arm in sides[1] and sides[0][arm] != sides[1][arm]:
            one, other = (side[arm] for side in sides)
            yield Change("answers", arm, str(len(one)), str(len(other)), len(one & other))


def _distinct(report: Report) -> dict[str, set[tuple[int, bytes]]]:
    arms: dict[str, list[Sample]] = {}
    for sample in report.samples:
        if not sample.arm.endswith("positive_control"):
            arms.setdefault(sample.arm, []).append(sample)
    return {arm: distinct(samples) for arm, samples in arms.items()}
