"""What certificates of this hardware have shown of the profiles that should cure a cause: they hold, or they do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from vqa.answers import Json
from vqa.lab.diagnosis.findings import Diagnosis
from vqa.text import Language, t


@dataclass(frozen=True)
class Shown:
    """What one certificate has shown of one profile, in tokens."""

    profile: str
    holds: bool
    load: int
    """Requests at a time: the most at which it held, or the fewest at which it did not."""
    version: str
    """vLLM's, under which it was shown."""
    run: str


def hardware(header: Mapping[str, Json]) -> str | None:
    """Returns the name of the first GPU, else of the processor, that a run's header tells; None when it tells none."""
    machine = header.get("machine") or {}
    gpus = machine.get("gpus") or ()
    return str(gpus[0]["name"]) if gpus else machine.get("cpu") or None


def version_of(header: Mapping[str, Json]) -> str:
    """Returns the version of vLLM that a run's header tells; empty when it tells none."""
    return str((header.get("machine") or {}).get("vllm_version") or "")


def shown_profiles(
    certificates: Iterable[tuple[str, Mapping[str, Json], Mapping[str, Json] | None]], header: Mapping[str, Json]
) -> tuple[Shown, ...]:
    """Returns what certificates (run id, header, result) of the header's hardware have shown, one for each profile.

    Of several, one of the same version of vLLM counts before others, then a failure before a success.
    """
    place, version = hardware(header), version_of(header)
    if place is None:
        return ()
    found: dict[str, Shown] = {}
    for run, theirs, result in certificates:
        if hardware(theirs) != place:
            continue
        for row in (result or {}).get("profiles") or ():
            each = _shown(run, row.get("vllm", "").rpartition("-")[2] or version_of(theirs), row)
            if each is not None and _weight(each, version) > _weight(found.get(each.profile), version):
                found[each.profile] = each
    return tuple(found.values())


def _weight(each: Shown | None, version: str) -> tuple[bool, bool, bool]:
    return (each is not None, each is not None and each.version == version, each is not None and not each.holds)


def _shown(run: str, version: str, row: Mapping[str, Json]) -> Shown | None:
    if row.get("changed") or row.get("several"):
        return None
    loads = row.get("loads") or ()
    failed = [int(load["load"]) for load in loads if load["holds"].get("tokens") is False]
    held = [int(load["load"]) for load in loads if load["holds"].get("tokens")]
    control, name = row.get("control"), str(row.get("profile", row["name"]))
    if failed:
        return Shown(name, False, min(failed), version, run)
    if max(held, default=1) < 2 or (control is not None and control["detects"] is not True):
        return None
    return Shown(name, True, max(held), version, run)


def offered(found: Diagnosis, shown: Iterable[Shown]) -> Diagnosis:
    """Returns the diagnosis with the profiles that were shown to hold offered first, and without those shown not to."""
    known = {each.profile: each.holds for each in shown}
    findings = tuple(
        replace(
            each,
            profiles=tuple(
                sorted(
                    (name for name in each.profiles if known.get(name) is not False),
                    key=lambda name: not known.get(name, False),
                )
            ),
        )
        for each in found.findings
    )
    return replace(found, findings=findings)


def records(shown: Iterable[Shown], named: Iterable[str]) -> list[dict[str, Json]]:
    """Returns what was shown of the named profiles as plain values for the store, those that hold first."""
    wanted = set(named)
    kept = sorted((each for each in shown if each.profile in wanted), key=lambda each: not each.holds)
    return [asdict(each) for each in kept]


def shown_lines(result: Mapping[str, Json] | None, language: Language = "en") -> list[str]:
    """Returns in sentences what certificates had shown when a diagnosis was made."""
    return [
        t("lab.shown_holds" if each["holds"] else "lab.shown_fails", language, **each)
        for each in (result or {}).get("shown") or ()
    ]
