"""Why a whole run tells nothing, whatever its answers are: another server, or another cache than it promises."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.findings import Verdict
from vqa.lab.diagnosis.premises import arm_kind, arm_load
from vqa.lab.diagnosis.several import sentence_values
from vqa.text import Language, t, table


def invalid_sentence(result: Mapping[str, Json] | None, language: Language = "en") -> str | None:
    """Returns why a stored result of any kind is invalid, in a sentence; None when it counts, or there is none yet."""
    if not result:
        return None
    if several := sentence_values(result):
        return t("lab.open_several", language, **several)
    if result.get("verdict") == Verdict.INVALID:
        return t("lab.verdict_invalid", language)
    if result.get("server_changed"):
        return changed_sentence(_what_changed(result), language)
    if profiles := [str(row["name"]) for row in result.get("profiles") or () if row.get("changed")]:
        return t("lab.open_changed_profiles", language, profiles=", ".join(profiles))
    invalid = result.get("invalid")
    if not invalid:
        return early_sentence(result, language)
    reason = t(invalid["reason"], language) if invalid["reason"] in table(language) else str(invalid["reason"])
    if invalid["reason"] == "lab.invalid_engine_died":
        return t("lab.open_engine_died", language)
    kind = arm_kind(str(invalid["arm"])) or invalid["arm"]
    return t(f"lab.open_{kind}", language, reason=reason, load=arm_load(str(invalid["arm"])))


def early_sentence(result: Mapping[str, Json] | None, language: Language = "en") -> str | None:
    """Returns after how many of how many requests a run ended early; None for one that asked all of them."""
    early = (result or {}).get("stopped")
    if not early:
        return None
    return ended_after(early["done"], early["total"], language, by_hand=early.get("by_hand", True))


def ended_after(done: int, total: int, language: Language = "en", *, by_hand: bool = True) -> str:
    """Returns that a run ended after so many of its requests, stopped by hand or otherwise."""
    return t("lab.stopped" if by_hand else "lab.ended_early", language, done=done, total=total)


def changed_sentence(what: str | None, language: Language = "en") -> str:
    """Returns that the server changed; `what` are its names, None when only its counters told."""
    return t("lab.open_changed", language, what=what or t("lab.changed_counters", language))


def _what_changed(result: Mapping[str, Json]) -> str | None:
    servers = {server for each in result.get("questions") or () for server in each.get("servers") or ()}
    facts = Facts.from_record(result["facts"]) if result.get("facts") else Facts()
    return facts.what_changed(servers)
