"""Why a run failed, kept as keys and values of its texts, so that everybody reads it in their own language."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.engine.state import Failure
from vqa.errors import EngineError, VQAError
from vqa.text import Language, t, table


class CausedError(EngineError):
    """An engine error that quotes what caused it: its message and hint fill `{reason}` and `{hint}`."""

    topic = "errors"

    def __init__(self, code: str, cause: VQAError | Failure, **values: object) -> None:
        self.cause = cause
        super().__init__(code, **values)

    def message(self, language: Language = "en") -> str:
        """Returns what happened and why, both in `language`."""
        return t(f"{self.topic}.{self.code}", language, reason=self.cause.message(language), **self.values)

    def hint(self, language: Language = "en") -> str:
        """Returns what becomes of it, and what to do about the cause."""
        return t(f"{self.topic}.{self.code}_hint", language, hint=self.cause.hint(language), **self.values)


class CheckBrokenOffError(CausedError):
    """A diagnosis under another profile ended before it concluded, and the engine goes back to the former one."""

    topic = "lab"


def failure_record(problem: VQAError | Failure) -> Json:
    """Returns a problem as plain values that `error_text` reads back; None for one whose texts cannot be found again.

    `key` names the message and, with `_hint`, the hint; `cause` is the record of the problem that they quote.
    """
    key = _key(problem)
    if key not in table("en"):
        return None
    cause = failure_record(problem.cause) if isinstance(problem, CausedError) else None
    if isinstance(problem, CausedError) and cause is None:
        return None
    values = {name: value if isinstance(value, int | float) else str(value) for name, value in problem.values.items()}
    return {"key": key, "values": values, "cause": cause}


def _key(problem: VQAError | Failure) -> str:
    if isinstance(problem, CausedError):
        return f"{problem.topic}.{problem.code}"
    if isinstance(problem, Failure):
        return problem.code if "." in problem.code else f"engine.cause_{problem.code}"
    return f"errors.{problem.code}"


def error_text(error: str | None, result: Mapping[str, Json] | None, language: Language) -> str | None:
    """Returns why a run failed, in `language` where its result says so by key, else as `error` was stored."""
    record = (result or {}).get("failure")
    if not record:
        return error
    try:
        return " ".join(filter(None, (_filled(record, "", language), _filled(record, "_hint", language))))
    except (KeyError, TypeError):  # a text of another version of this app, with other values
        return error


def _filled(record: Mapping[str, Json], ending: str, language: Language) -> str:
    values, cause = dict(record["values"]), record.get("cause")
    if cause:
        values |= {"reason": _filled(cause, "", language), "hint": _filled(cause, "_hint", language)}
    return t(record["key"] + ending, language, **values)
