"""Signs that more than one server answers behind one address: a router, a balancer, several replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vqa.answers import Json

SIGNS = ("workers", "readiness", "versions", "names", "counters", "short", "caches")
"""What the address says of its workers; versions or names of whoever answers that take turns; counters that go back
and forth; fewer answers counted than were given; a question that found nothing in the cache again."""


@dataclass(frozen=True)
class Several:
    """That there is more than one."""

    n: int
    """How many were seen, two at least."""
    signs: tuple[str, ...]
    """Of `SIGNS`, by which it was seen."""
    workers: tuple[str, ...] = ()
    """Their addresses, where they are told."""

    @staticmethod
    def from_record(record: Json) -> Several | None:
        """Returns what `dataclasses.asdict` made of one; None for None."""
        return record and Several(record["n"], tuple(record["signs"]), tuple(record.get("workers") or ()))


@dataclass(frozen=True)
class Fleet:
    """What an address says of the servers behind it."""

    workers: tuple[str, ...] = ()
    total: int = 0
    """Workers by its own count; 0 where it does not count them."""
    versions: tuple[str, ...] = ()
    """Every version that it named, asked a few times in a row."""


@dataclass
class Seen:
    """What is seen of the server while it is asked; filled by whoever asks."""

    names: list[list[str]] = field(default_factory=list)
    """What the answers of a block of single requests call their server, in order."""
    cached: list[list[int]] = field(default_factory=list)
    """Prefix-cache hits of the same, where each request repeats the one before."""
    finished: list[int] = field(default_factory=list)
    """Requests that the server says it has answered, at each look."""
    ours: int = 0
    """Requests of ours that it should have counted."""
    short: int = 0
    """How many of them it has not counted in the end."""


def several(fleet: Fleet, seen: Seen) -> Several | None:
    """Returns that more than one server answers, by whichever signs; None where nothing speaks for it."""
    found: dict[str, int] = {}
    if len(set(fleet.workers)) > 1:
        found["workers"] = len(set(fleet.workers))
    if fleet.total > 1:
        found["readiness"] = fleet.total
    if len(set(fleet.versions)) > 1:
        found["versions"] = len(set(fleet.versions))
    if turns := max((len(set(names)) for names in seen.names if _changes(names) > 1), default=0):
        found["names"] = turns
    if _back_and_forth(seen.finished, seen.ours):
        found["counters"] = 2
    if seen.short > 0:
        found["short"] = 2
    if any(_cold_again(cached) for cached in seen.cached) and not _emptied(seen):
        found["caches"] = 2
    if not found:
        return None
    return Several(max(found.values()), tuple(sign for sign in SIGNS if sign in found), fleet.workers)


def _changes(names: Sequence[str]) -> int:
    return sum(one != other for one, other in pairwise(names))


def _back_and_forth(finished: Sequence[int], ours: int) -> bool:
    """Returns whether counters fall more than once, or fall and then rise by more than was asked: no restart does."""
    falls = [place for place, (one, other) in enumerate(pairwise(finished), 1) if other < one]
    if len(falls) != 1:
        return len(falls) > 1
    before, after = finished[: falls[0]], finished[falls[0] :]
    return max(after) >= max(before) and max(after) - min(after) > ours


def _cold_again(cached: Sequence[int]) -> bool:
    """Returns whether a repeated question found nothing in the cache again, although it is kept there."""
    return max(cached, default=0) > 0 and any(count == 0 for count in cached[1:])


def _emptied(seen: Seen) -> bool:
    """Returns whether one server's cache may have been emptied meanwhile: by a restart, or for others' requests."""
    fell = any(other < one for one, other in pairwise(seen.finished))
    return fell or (len(seen.finished) > 1 and seen.finished[-1] - seen.finished[0] > seen.ours)


def sentence_values(result: Mapping[str, Json]) -> dict[str, Json] | None:
    """Returns how many servers a stored result of any kind has seen behind its address; None for one, or not told."""
    places = [result, result.get("facts") or {}, *(result.get("profiles") or ())]
    counts = [int(place["several"]["n"]) for place in places if place.get("several")]
    return {"n": max(counts)} if counts else None
