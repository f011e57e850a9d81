"""Why a whole run tells nothing, whatever its answers are: another server, or another cache than it promises. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.findings import Verdict
from vqa.text import Language, t, table


def void_sentence(result: Mapping[str, Json] | None, language: Language = "en") -> str | None:
    """Returns why a stored result of any kind is void, in a sentence; None when it counts, or there is none yet."""
    if not result:
        return None
    if result.get("verdict") == Verdict.VOID:
        return t("lab.verdict_void", language)
    if result.get("server_changed"):
        return changed_sentence(_what_changed(result), language)
    if profiles := [str(row["name"]) for row in result.get("profiles") or () if row.get("changed")]:
        return t("lab.open_changed_profiles", language, profiles=", ".join(profiles))
    void = result.get("void")
    if not void:
        return None
    reason = t(void["reason"], language) if void["reason"] in table(language) else str(void["reason"])
    return t(f"lab.open_{void['arm']}", language, reason=reason)


def changed_sentence(what: str | None, language: Language = "en") -> str:
    """Returns that the server changed; `what` are its names, None when only its counters told."""
    return t("lab.open_changed", language, what=what or t("lab.changed_counters", language))


def _what_changed(result: Mapping[str, Json]) -> str | None:
    servers = {server for each in result.get("questions") or () for server in each.get("servers") or ()}
    facts = Facts.from_record(result["facts"]) if result.get("facts") else Facts()
    return facts.what_changed(servers)
