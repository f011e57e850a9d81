"""Why two runs may have answered differently: what of their engines' processes was not the same."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.engine.computing import differences
from vqa.lab.diagnosis.shown import hardware, version_of
from vqa.text import Language, t


def likely_reasons(one: Mapping[str, Json], other: Mapping[str, Json], language: Language = "en") -> list[str]:
    """Returns a sentence for each setting that changes answers and was another one in two runs' headers.

    What a header does not tell, as that of an attached server, is no reason.
    """
    engines = [(header.get("engine") or {}).get("computing") for header in (one, other)]
    told = differences(*engines)
    pairs = [("hardware", hardware(one), hardware(other)), ("vllm", version_of(one), version_of(other))]
    profiles = [(header.get("engine") or {}).get("profile") for header in (one, other)]
    pairs.append(("profile", profiles[0], profiles[1]))
    told += [(name, a, b) for name, a, b in pairs if a and b and a != b]
    return [
        t("report.likely_reason", language, name=t(f"report.computing_{name}", language), one=_said(a), other=_said(b))
        for name, a, b in told
    ]


def _said(value: Json) -> str:
    return {True: "✓", False: "✗"}[value] if isinstance(value, bool) else str(value)
