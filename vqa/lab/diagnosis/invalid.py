"""Why a whole run tells nothing, whatever its answers are: another server, or another cache than it promises."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.findings import Verdict
from vqa.text import Language, t, table


def invalid_sentence(result: Mapping[str, Json] | None, language: Language = "en") -> str | None:
    """Returns why a stored result of any kind is invalid, in a sentence; None when it counts, or there is none yet."""
    if not result:
        return None
    if result.get("verdict") == Verdict.INVALID:
        return t("lab.verdict_invalid", language)
    if result.get("server_changed"):
        return changed_sentence(_what_changed(result), language)
    if profiles := [str(row["name"]) for row in result.get("profiles") or () if row.get("changed")]:
        return t("lab.open_changed_profiles", language, profiles=", ".join(profiles))
    invalid = result.get("invalid")
    if not invalid:
        return None
    reason = t(invalid["reason"], language) if invalid["reason"] in table(language) else str(invalid["reason"])
    return t(f"lab.open_{invalid['arm']}", language, reason=reason)


def changed_sentence(what: str | None, language: Language = "en") -> str:
    """Returns that the server changed; `what` are its names, None when only its counters told."""
    return t("lab.open_changed", language, what=what or t("lab.changed_counters", language))


def _what_changed(result: Mapping[str, Json]) -> str | None:
    servers = {server for each in result.get("questions") or () for server in each.get("servers") or ()}
    facts = Facts.from_record(result["facts"]) if result.get("facts") else Facts()
    return facts.what_changed(servers)
