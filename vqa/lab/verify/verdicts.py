"""Every verdict of a run's document derived again from the samples in it, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vqa.answers import Json, Sample
from vqa.errors import InputError
from vqa.lab.certificate.rows import causes, certificate_result, control_row, load_rows
from vqa.lab.certificate.versions import version_rows
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.horizon.rows import horizon_result, step_row
from vqa.lab.matrix.rows import cell_row, matrix_result
from vqa.lab.plan.arms import Arm, Capabilities
from vqa.lab.run.across import across_result
from vqa.lab.run.diagnose_job import diagnose_result
from vqa.lab.run.documents import run_result
from vqa.lab.run.each_server import each_result
from vqa.lab.run.run_json import Report
from vqa.lab.stats.agreement import Level
from vqa.lab.stats.summarize import summarize_run

CONTROL = str(Arm.POSITIVE_CONTROL)
CLOSE = 1e-3
"""Relative: a document rounds the moments of sending, of which times and rates are made."""
LOAD = (
    "n", "ok", "failed", "level", "holds", "invalid", "distinct", "logprob_variants", "leading", "epsilon",
    "first_divergence", "median_seconds", "throughput", "together",
)  # fmt: skip
STEP = (*(name for name in LOAD if name not in {"level", "leading"}), "fragile", "cached_tokens", "running", "looks")
CELL = (
    "n", "ok", "failed", "level", "holds", "invalid", "distinct", "distinct_with_alone", "logprob_variants", "epsilon",
    "first_divergence", "cached_tokens", "together", "running", "looks", "broken_off", "image_hits", "answer",
    "median_seconds",
)  # fmt: skip
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
    """Returns a check for each verdict and figure of a run's result; none where the run concluded nothing.

    Of a horizon or a matrix that was stopped, those of what had been measured: what holds in all is left open then.

    Raises:
        InputError: the result is none of the run's kind.
    """
    try:
        return _of_kind(report)
    except (LookupError, TypeError, ValueError, AttributeError) as problem:  # somebody else wrote it
        reason = f"{type(problem).__name__}: {problem}"
        raise InputError("report_invalid", path=report.run.id, reason=reason) from problem


def _of_kind(report: Report) -> list[Check]:
    run, result = report.run, report.run.result or {}
    arms: dict[str, list[Sample]] = {}
    for sample in report.samples:
        arms.setdefault(sample.arm, []).append(sample)
    stopped = "stopped" in result
    if not result or not arms or (stopped and run.kind not in {"horizon", "matrix"}):
        return []
    require = Level(result["require"])
    if run.kind in {"certify", "horizon", "matrix"}:
        checks = {"certify": _certificate, "horizon": _horizon, "matrix": _matrix}[run.kind](result, arms, require)
        checks.append(_named(result, arms))
        return [check for check in checks if not (stopped and check.place in WHOLE)]
    if run.kind == "repeat":
        arm, samples = next(iter(arms.items()))
        found = run_result(summarize_run(samples), require, _facts(result), arm=arm)
        return _checks("", result, found, ("n", "ok", "failed", "level", "server_changed", *WHOLE))
    if "servers" in result:
        servers = each_result(result["servers"], report.samples, require)
        return _checks("", result, servers, ("level", "servers", *WHOLE))
    if "across" in result:
        across = across_result(result["across"], report.samples, require)
        return _checks("", result, across, ("across", *WHOLE))
    if run.kind == "diagnose":
        found = diagnose_result(arms, _facts(result), require)
        kept = {name: {key: row["level"] for key, row in found["arms"].items()} for name in ("arms",)}
        stored = {"arms": {key: row["level"] for key, row in (result.get("arms") or {}).items()}}
        checks = [*_checks("", result, found, ("verdict", "level", *WHOLE)), *_checks("", stored, kept, ("arms",))]
        return [*checks, *_causes(result.get("diagnosis") or {}, found["diagnosis"])]
    return []


def _causes(stored: Mapping[str, Json], derived: Mapping[str, Json]) -> list[Check]:
    """Returns a check for the causes, how sure they are, and what became of the remedies that were tried."""
    sides = [
        [[each["cause"], each["confidence"], (each.get("values") or {}).get("tried")] for each in side["findings"]]
        for side in (stored, derived)
        if "findings" in side
    ]
    return [Check("causes", *sides)] if len(sides) == 2 else []


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
            if row.get("causes") is not None and row.get("facts"):
                every = {**taken, **({str(Arm.POSITIVE_CONTROL): control} if control else {})}
                stored, derived_causes = {"findings": row["causes"]}, {"findings": causes(prefix, every, _facts(row))}
                checks += [replace(check, place=f"{prefix}causes") for check in _causes(stored, derived_causes)]
            if row.get("control") is not None:
                found["control"] = control_row(summarize_run(control)) if control else None
                checks += _checks(prefix, row, found, ("control",))
            derived = {load["load"]: load for load in found["loads"]}
            # Earlier versions held each load to its own answers alone.
            names = LOAD if all("alone" in load for load in row["loads"]) else tuple(set(LOAD) - {"holds", "level"})
            for load in row["loads"]:
                checks += _checks(f"{prefix}{load['load']}/", load, derived.get(load["load"]) or {}, names)
        rows.append(found)
    found = certificate_result(rows, require) | {"versions": version_rows(rows, arms)}
    return [*checks, *_checks("", result, found, (*WHOLE, "versions"))]


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
        checks += [*_control(rows[-1], arms), *_asked(row, arms)]
    found = horizon_result(rows, require, result["most"], result["at_least"])
    for row, derived in zip(result["profiles"], found["profiles"], strict=True):
        checks += _checks(f"{row['name']}/", row, derived, ("levels",))
    return [*checks, *_checks("", result, found, WHOLE)]


def _matrix(result: Mapping[str, Json], arms: Mapping[str, Sequence[Sample]], require: Level) -> list[Check]:
    checks, rows = [], []
    for row in result["profiles"]:
        prompts = []
        for prompt in row["prompts"]:
            lone = arms.get(prompt["cells"][0]["arm"], []) if prompt["cells"] else []
            cells = []
            for cell in prompt["cells"]:
                taken = arms.get(cell.get("arm", ""))
                found: Mapping[str, Json] = cell if "holds" not in cell else {}
                if taken:
                    values = (cell["beside"], cell["arm"], lone, taken, _facts(cell), result["concurrency"])
                    found = cell_row(*values)
                    checks += _checks(f"{cell['arm']}/", cell, found, CELL)
                cells.append(found or cell)
            prompts.append(dict(prompt) | {"cells": cells})
        rows.append(dict(row) | {"prompts": prompts})
        checks += _control(rows[-1], arms)
    found = matrix_result(rows, require, result)
    for row, derived in zip(result["profiles"], found["profiles"], strict=True):
        checks += _checks(f"{row['name']}/", row, derived, ("columns", "orders"))
    return [*checks, *_checks("", result, found, WHOLE)]


def _named(result: Mapping[str, Json], arms: Mapping[str, Sequence[Sample]]) -> Check:
    """Returns the check that every profile that was asked is told of."""
    names = [row["name"] for row in result["profiles"]]
    left = [arm.partition("/")[0] for arm in arms if not any(arm.startswith(f"{name}/") for name in names)]
    return Check("profiles", names, [*names, *dict.fromkeys(left)])


def _control(row: dict[str, Json], arms: Mapping[str, Sequence[Sample]]) -> list[Check]:
    """Returns the check of a profile's positive control, and puts what the samples give into the row."""
    if row.get("control") is None:
        return []
    names = [arm for arm in arms if arm.startswith(f"{row['name']}/") and arm.endswith("/" + CONTROL)]
    stored, row["control"] = row["control"], control_row(summarize_run(arms[names[-1]])) if names else None
    return [Check(f"{row['name']}/control", stored, row["control"])]


def _asked(row: Mapping[str, Json], arms: Mapping[str, Sequence[Sample]]) -> list[Check]:
    """Returns the check that no load was left out; one of several sessions lets go what was asked before."""
    if row.get("sessions", 1) > 1 or not row.get("complete"):
        return []
    asked = [arm for arm in arms if arm.startswith(f"{row['name']}/") and not arm.endswith("/" + CONTROL)]
    return [Check(f"{row['name']}/steps", sorted(step["arm"] for step in row["steps"]), sorted(asked))]


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
