"""The baseline of a gate: a small readable file of what a run reached, and whether another run still does. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from vqa.answers import Json
from vqa.errors import InputError
from vqa.evaluate.comparing.paired import lower_tail, more_often
from vqa.evaluate.comparing.rows import Side
from vqa.lab.stats.agreement import normalize_answer

VERSION = 1
LEVEL = 0.05


@dataclass(frozen=True)
class Check:
    """One thing that a gate looks at."""

    name: str
    """A text key below `gate.`"""
    passed: bool | None
    """None where it cannot be told."""
    values: Mapping[str, Json]
    rows: tuple[str, ...] = ()


def make_baseline(
    rows: Mapping[str, Side],
    plan: Mapping[str, Json],
    result: Mapping[str, Json],
    *,
    keep: Iterable[str] = (),
    least: float | None = None,
) -> dict[str, Json]:
    """Returns the baseline of a run; `keep` are the rows whose answer must not change, `least` a bound of one's own.

    Raises:
        InputError: a row to be kept is not there, or its own repeats already differ.
    """
    kept: dict[str, str] = {}
    for name in keep:
        if name not in rows:
            raise InputError("gate_row_missing", row=name)
        answers = set(rows[name].answers)
        if len(answers) != 1:
            raise InputError("gate_row_unstable", row=name)
        kept[name] = rows[name].texts[0]
    asking = plan["asking"]
    return {
        "vqa_baseline": VERSION,
        "format": plan["dataset"]["format"],
        "prompt": plan["dataset"]["prompt"],
        "system": plan["dataset"]["system"],
        "scorer": {"name": result["scorer"]["name"], "version": result["scorer"]["version"]},
        "sampling": asking["sampling"],
        "repeats": asking["repeats"],
        "limit": asking["limit"],
        "rows": len(rows),
        "rows_sha256": digest(rows),
        "accuracy": result["accuracy"],
        "interval": result["interval"] and [result["interval"]["low"], result["interval"]["high"]],
        "accuracy_at_least": least,
        "tar_raw": result["tar_raw"],
        "tar_answer": result["tar_answer"],
        "must_not_change": kept,
        "wrong": sorted(name for name, row in rows.items() if row.scores and not row.right),
        "unstable": sorted(name for name, row in rows.items() if len(set(row.texts)) > 1),
    }


def digest(rows: Mapping[str, Side]) -> str:
    """Returns the SHA-256 of names, questions and expected answers: whether two runs asked the same."""
    hashed = sha256()
    for name in sorted(rows):
        row = rows[name]
        hashed.update(json.dumps([name, row.question, list(row.wanted)], ensure_ascii=False).encode())
    return hashed.hexdigest()[:16]


def read_baseline(text: str, path: str) -> dict[str, Json]:
    """Returns a baseline that was written.

    Raises:
        InputError: it is none, or of a later version.
    """
    try:
        value = json.loads(text)
        if value["vqa_baseline"] != VERSION:
            raise ValueError(f"version {value['vqa_baseline']}")
        for name in ("prompt", "scorer", "sampling", "repeats", "rows", "wrong", "unstable", "must_not_change"):
            value[name]
    except (ValueError, KeyError, TypeError) as problem:
        raise InputError("gate_baseline", path=path, reason=str(problem)) from problem
    return dict(value)


def checks(baseline: Mapping[str, Json], rows: Mapping[str, Side], result: Mapping[str, Json]) -> list[Check]:
    """Returns what a gate finds: whether it can tell, and then accuracy, kept rows and agreement."""
    return [
        _comparable(baseline, rows, result),
        *([_bound(baseline, result)] if baseline.get("accuracy_at_least") is not None else []),
        _accuracy(baseline, rows),
        *([_kept(baseline, rows)] if baseline["must_not_change"] else []),
        *([_agreement(baseline, rows)] if baseline["repeats"] > 1 else []),
    ]


def _comparable(baseline: Mapping[str, Json], rows: Mapping[str, Side], result: Mapping[str, Json]) -> Check:
    reasons = []
    if result["failed"] or result["skipped"] or not result.get("complete"):
        reasons.append("unanswered")
    if digest(rows) != baseline["rows_sha256"]:
        reasons.append("other_rows")
    if {"name": result["scorer"]["name"], "version": result["scorer"]["version"]} != baseline["scorer"]:
        reasons.append("other_scorer")
    values = {"rows": len(rows), "before": baseline["rows"], "reasons": reasons}
    return Check("comparable", None if reasons else True, values)


def _bound(baseline: Mapping[str, Json], result: Mapping[str, Json]) -> Check:
    least, accuracy = baseline["accuracy_at_least"], result["accuracy"]
    values = {"accuracy": accuracy, "least": least}
    return Check("bound", None if accuracy is None else accuracy >= least, values)


def _accuracy(baseline: Mapping[str, Json], rows: Mapping[str, Side]) -> Check:
    """Looks at the rows that are steady on both sides: what a server does to itself is in the others."""
    wrong, unstable = set(baseline["wrong"]), set(baseline["unstable"])
    steady = {name: row for name, row in rows.items() if row.scores and row.stable and name not in unstable}
    lost = sorted(name for name, row in steady.items() if not row.right and name not in wrong)
    won = sorted(name for name, row in steady.items() if row.right and name in wrong)
    p = lower_tail(len(won), len(lost) + len(won)) if len(lost) > len(won) else 1.0
    values = {"lost": len(lost), "won": len(won), "p": p, "rows": len(steady)}
    return Check("accuracy", bool(p > LEVEL) if steady else None, values, tuple(lost))


def _kept(baseline: Mapping[str, Json], rows: Mapping[str, Side]) -> Check:
    kept: Mapping[str, str] = baseline["must_not_change"]
    missing = [name for name in kept if name not in rows]
    changed = [name for name in kept if name in rows and set(rows[name].answers) != {normalize_answer(kept[name])}]
    values = {"rows": len(kept), "changed": len(changed), "missing": len(missing)}
    return Check("kept", False if changed else None if missing else True, values, tuple(changed))


def _agreement(baseline: Mapping[str, Json], rows: Mapping[str, Side]) -> Check:
    """Fails where rows flip significantly more often, or at all where none did."""
    flipped = sorted(name for name, row in rows.items() if len(set(row.texts)) > 1)
    before = len(baseline["unstable"])
    p = more_often(len(flipped), len(rows), before, baseline["rows"]) if flipped else 1.0
    weaker = p <= LEVEL or (before == 0 and bool(flipped))
    values = {"flips": len(flipped), "before": before, "rows": len(rows), "p": p}
    return Check("agreement", not weaker, values, tuple(flipped))


def verdict(found: Sequence[Check]) -> int:
    """Returns the exit status: 1 where something failed, 2 where something cannot be told, else 0."""
    if any(check.name == "kept" and check.passed is False for check in found):
        return 1
    if found and found[0].passed is None:
        return 2
    if any(check.passed is False for check in found):
        return 1
    return 2 if any(check.passed is None for check in found) else 0
