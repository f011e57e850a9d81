"""What holds where: read from every stored certificate, horizon and vision matrix, by hardware, version and profile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqa.answers import Json
from vqa.lab.certificate.rows import detects
from vqa.lab.diagnosis.shown import hardware, version_of
from vqa.lab.stats.agreement import Level

if TYPE_CHECKING:
    from vqa.store import Run

KINDS = ("certify", "horizon", "matrix")
LEVELS = (Level.BITWISE, Level.TOKENS)
NEIGHBOURS = ("same", "sizes", "structured", "logprobs", "aborted")
"""The columns of a matrix at which requests ran together."""
SPLIT = re.compile(r"--tensor-parallel-size[ =](\d+)")
Reach = tuple[int | None, int | None]
"""Up to how many requests at a time a level held, and the fewest at which it did not; None for not seen."""


@dataclass(frozen=True, order=True)
class Held:
    """What one run has shown of one profile."""

    hardware: str
    version: str
    """vLLM's."""
    model: str
    profile: str
    kind: str
    """Of the run: `certify` (the probe's questions), `horizon` (one question) or `matrix` (pictures of their own)."""
    run: str
    bitwise: Reach
    tokens: Reach


def what_holds(runs: Iterable[Run]) -> list[Held]:
    """Returns a row for each profile of each run that tells its hardware, sorted by hardware, version and profile.

    A profile under which a difference could not have been seen, or whose server changed meanwhile, has no row.
    """
    found = []
    for run in runs:
        place = hardware(run.header)
        if place is None or run.kind not in KINDS or not run.result:
            continue
        for row in run.result.get("profiles") or ():
            if row.get("reason") or row.get("changed") or row.get("several") or not detects(row):
                continue
            bitwise, tokens = (_reach(run.kind, row, level, run.result) for level in LEVELS)
            if bitwise == tokens == (None, None):
                continue
            version = str(row.get("vllm") or "").rpartition("-")[2] or version_of(run.header)
            profile, model = str(row.get("profile", row["name"])), _last(str(run.header.get("model") or ""))
            split = SPLIT.search(str(row.get("command") or ""))
            named = f"{split[1]} × {place}" if split and split[1] != "1" else place
            found.append(Held(named, version, model, profile, run.kind, run.id, bitwise, tokens))
    return sorted(found, key=lambda each: (each.hardware, each.version, each.model, each.profile, each.kind, each.run))


def _last(model: str) -> str:
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2] if model.startswith(("/", "~")) else model


def _reach(kind: str, row: Mapping[str, Json], level: Level, result: Mapping[str, Json]) -> Reach:
    if kind == "horizon":
        told = (row.get("levels") or {}).get(str(level)) or {}
        return told.get("up_to"), told.get("fails_at")
    if kind == "matrix":
        return _of_matrix(row, result) if level is Level.TOKENS else (None, None)
    return _of_loads(row.get("loads") or (), level)


def _of_loads(loads: Sequence[Mapping[str, Json]], level: Level) -> Reach:
    """A level holds at a load only where it does at every smaller one, so the most is the reach."""
    held = [int(load["load"]) for load in loads if load["holds"].get(str(level))]
    failed = [int(load["load"]) for load in loads if load["holds"].get(str(level)) is False]
    return max(held, default=None), min(failed, default=None)


def _of_matrix(row: Mapping[str, Json], result: Mapping[str, Json]) -> Reach:
    columns = [found for name, found in (row.get("columns") or {}).items() if name in NEIGHBOURS]
    together = int(result["concurrency"])
    if any(found["changed"] or found["as_any"] for found in columns):
        return None, together
    return (together, None) if any(found["held"] for found in columns) else (None, None)
