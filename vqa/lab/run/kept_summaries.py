"""Summaries of long runs, kept in the store: reading ten thousand different answers again takes many seconds."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache

from pydantic import ConfigDict, TypeAdapter, ValidationError

import vqa
from vqa.errors import StoreError
from vqa.lab.stats.summarize import RunSummarizer
from vqa.lab.stats.summary import RunSummary
from vqa.store import Store

VERSION = f"{vqa.__version__}/5"
"""What a kept summary was computed by; one of another version is computed anew."""
LEAST = 500
"""Samples from which on keeping is worth its room; fewer are summarised in a blink."""


@cache
def _adapter() -> TypeAdapter[dict[str, RunSummary]]:
    return TypeAdapter(dict[str, RunSummary], config=ConfigDict(ser_json_inf_nan="constants"))


def keep_summaries(store: Store, run_id: str, arms: Mapping[str, RunSummary]) -> bool:
    """Stores the summaries of an ended run, if it is long; returns whether it did.

    Raises:
        StoreError: they could not be stored.
    """
    count = sum(arm.n for arm in arms.values())
    if count < LEAST:
        return False
    try:
        packed = _adapter().dump_json(dict(arms))
    except ValueError:
        return False  # a text with half a character in it is no JSON; such a run is summarised anew
    store.keep_summary(run_id, VERSION, count, packed)
    return True


def stored_summaries(store: Store, run_id: str) -> dict[str, RunSummary]:
    """Returns the summary of every arm of a stored run, as it was kept or else from its samples.

    Raises:
        StoreError: there is no such run.
    """
    run = store.run(run_id)
    kept = store.kept_summary(run_id, VERSION, run.samples) if run.samples >= LEAST else None
    if kept is not None:
        try:
            return _adapter().validate_json(kept)
        except ValidationError:
            pass  # not what this version writes: the samples tell
    arms: dict[str, RunSummarizer] = {}
    for sample in store.samples(run_id):
        arms.setdefault(sample.arm, RunSummarizer()).add(sample)
    found = {name: arm.summary() for name, arm in arms.items()}
    if run.status != "running":
        with suppress(StoreError):  # a full disk does not keep anybody from reading
            keep_summaries(store, run_id, found)
    return found
