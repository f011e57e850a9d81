"""Every verdict of a run's document derived again from the samples in it, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vqa.answers import Json, Sample
from vqa.lab.certificate.rows import certificate_result, control_row, load_rows
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.horizon.rows import horizon_result, step_row
from vqa.lab.plan.arms import Arm, Capabilities
from vqa.lab.run.diagnose_job import diagnose_result
from vqa.lab.run.documents import run_result
from vqa.lab.run.run_json import Report
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run

CLOSE = 1e-3
"""Relative: a document rounds the moments of sending, of which times and rates are made."""
LOAD = (
    "n", "ok", "failed", "level", "holds", "invalid", "distinct", "logprob_variants", "leading", "epsilon",
    "first_divergence", "median_seconds", "throughput",
)  # fmt: skip
STEP = (*(name for name in LOAD if name not in {"level", "leading"}), "fragile", "cached_tokens")
WHOLE = ("holds", "exit_code")


@dataclass(frozen=True)
class Check:
    """One value of a stored result beside what the samples give."""

    place: str
    """Such as `default/8/holds`."""
    stored: Json
    derived: Json

    @property
    def agrees(self) -> bool:
        """Whether both are the same; of figures, nearly."""
        return _same(self.stored, self.derived)


def verdicts(report: Report) -> list[Check]:
    """Returns a check for each verdict and figure of a run's result; none where the run concluded nothing."""
    run, result = report.run, report.run.result or {}
    arms: dict[str, list[Sample]] = {}
    for sample in report.samples:
        arms.setdefault(sample.arm, []).append(sample)
    if not result or not arms or "stopped" in result:
        return []
    require = Level(result["require"])
    if run.kind == "certify":
        return _certificate(result, arms, require)
    if run.kind == "horizon":
        return _horizon(result, arms, require)
    if run.kind == "repeat":
        arm, samples = next(iter(arms.items()))
        found = run_result(summarize_run(samples), require, _facts(result), arm=arm)
        return _checks("", result, found, ("n", "ok", "failed", "level", "server_changed", *WHOLE))
    if run.kind == "diagnose":
        found = diagnose_result(arms, _facts(result), require)
        kept = {name: {key: row["level"] for key, row in found["arms"].items()} for name in ("arms",)}
        stored = {"arms": {key: row["level"] for key, row in (result.get("arms") or {}).items()}}
        return [*_checks("", result, found, ("verdict", "level", *WHOLE)), *_checks("", stored, kept, ("arms",))]
    return []


def _facts(stored: Mapping[str, Json]) -> Facts:
    """Returns what was observed beside the answers; nothing where an earlier version did not store it."""
    if stored.get("facts"):
        return Facts.from_record(stored["facts"])
    return Facts(Capabilities(vllm=True, serial=stored.get("name") == "serial"))


def _certificate(result: Mapping[str, Json], arms: Mapping[str, Sequence[Sample]], require: Level) -> list[Check]:
    checks, rows = [], []
    for row in result["profiles"]:
        prefix = f"{row['name']}/"
        taken = {name.removeprefix(prefix): found for name, found in arms.items() if name.startswith(prefix)}
        control = taken.pop(str(Arm.POSITIVE_CONTROL), None)
        found = dict(row)
        if row["reason"] is None:
            found["loads"] = load_rows(prefix, taken, _facts(row))
            if row.get("control") is not None:
                found["control"] = control_row(summarize_run(control)) if control else None
                checks += _checks(prefix, row, found, ("control",))
            derived = {load["load"]: load for load in found["loads"]}
            # Earlier versions held each load to its own answers alone.
            names = LOAD if all("alone" in load for load in row["loads"]) else tuple(set(LOAD) - {"holds", "level"})
            for load in row["loads"]:
                checks += _checks(f"{prefix}{load['load']}/", load, derived.get(load["load"]) or {}, names)
        rows.append(found)
    return [*checks, *_checks("", result, certificate_result(rows, require), WHOLE)]


def _horizon(result: Mapping[str, Json], arms: Mapping[str, Sequence[Sample]], require: Level) -> list[Check]:
    checks, rows = [], []
    for row in result["profiles"]:
        lone = arms.get(row["steps"][0]["arm"], []) if row["steps"] else []
        steps = []
        for step in row["steps"]:
            facts = _facts(step)
            salted = facts.capabilities.vllm
            taken = arms.get(step["arm"])
            found = step_row(step["load"], step["arm"], lone, taken, facts, salted=salted) if taken else {}
            checks += _checks(f"{step['arm']}/", step, found, STEP)
            steps.append(found or step)
        rows.append(dict(row) | {"steps": steps})
    found = horizon_result(rows, require, result["most"], result["at_least"])
    for row, derived in zip(result["profiles"], found["profiles"], strict=True):
        checks += _checks(f"{row['name']}/", row, derived, ("levels",))
    return [*checks, *_checks("", result, found, WHOLE)]


def _checks(place: str, stored: Mapping[str, Json], derived: Mapping[str, Json], names: Sequence[str]) -> list[Check]:
    """Returns the checks of those values that the stored side has."""
    return [Check(f"{place}{name}", stored[name], derived.get(name)) for name in names if name in stored]


def _same(one: Json, other: Json) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        if not isinstance(one, int | float) or not isinstance(other, int | float):
            return False
        return abs(one - other) <= CLOSE * max(abs(one), abs(other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
