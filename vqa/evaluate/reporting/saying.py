"""The figures of a data set in sentences, in the reader's language. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from vqa.answers import Json
from vqa.lab.diagnosis.verdict import why_failed
from vqa.text import Language, t

SHOWN = 20


def percent(value: float | None) -> str:
    """Returns a share with one decimal, or a dash."""
    return "–" if value is None else f"{100 * value:.1f}%"


def heading(record: Mapping[str, Json], scorer: Mapping[str, Json], language: Language) -> list[str]:
    """Returns how a data set is read: format, encoding, columns, prompt, scorer."""
    columns = ", ".join(f"{field}={column}" for field, column in record["found"].items())
    lines = [
        t(
            "evaluate.read_as",
            language,
            format=record["format"],
            encoding=record["encoding"] or "Parquet",
            columns=columns or "–",
        )
    ]
    if record["unknown"]:
        lines.append(t("evaluate.unknown_columns", language, columns=", ".join(record["unknown"][:20])))
    prompt = record["prompt"].replace("\n", "\\n")
    lines.append(t("evaluate.prompt_is", language, prompt=prompt))
    named = {"scorer": scorer["name"], "version": scorer["version"], "source": scorer["source"]}
    return [*lines, t("evaluate.scorer_is", language, **named)]


def sentences(result: Mapping[str, Json], run_id: str, language: Language) -> list[str]:
    """Returns what was measured, one sentence a line, the accuracy first."""
    lines = [_accuracy(result, language)]
    if result["unparsed"]:
        lines.append(t("evaluate.unparsed", language, unparsed=result["unparsed"]))
    lines += _kinds(result, language)
    if result.get("yes_no"):
        figures = {name: percent(result["yes_no"][name]) for name in ("precision", "recall", "f1", "yes_share")}
        lines.append(t("evaluate.yes_no", language, **figures, unclear=result["yes_no"]["unclear"]))
    if result["repeats"] > 1 and result["tar_raw"] is not None:
        figures = {name: percent(result[name]) for name in ("tar_raw", "tar_answer")}
        lines.append(t("evaluate.repeats", language, repeats=result["repeats"], flips=result["flips"], **figures))
    if over := result.get("over_repeats"):
        lines.append(t("evaluate.over_repeats", language, low=percent(over["low"]), high=percent(over["high"])))
    lines += _answered_by(result, language)
    if result["failed"]:
        counts = {"failed": result["failed"], "requests": result["requests"]}
        lines.append(t("evaluate.failed", language, run=run_id, **counts))
        lines += why_failed(result.get("error_example"), language)
    if result.get("retried"):
        lines.append(t("lab.retried", language, n=result["retried"]))
    lines += bad_rows(result, language)
    if not result.get("complete"):
        lines.append(t("evaluate.incomplete", language, done=result["asked"], run=run_id))
    return lines


def _accuracy(result: Mapping[str, Json], language: Language) -> str:
    if result["accuracy"] is None:
        key = "no_answers" if result["requests"] > result["failed"] else "nothing_answered"
        return t(f"evaluate.{key}", language, rows=result["rows"])
    interval = result["interval"]
    return t(
        "evaluate.accuracy",
        language,
        scored=result["scored"],
        rows=result["rows"],
        scorer=result["scorer"]["name"],
        accuracy=percent(result["accuracy"]),
        low=percent(interval["low"]),
        high=percent(interval["high"]),
    )


def _answered_by(result: Mapping[str, Json], language: Language) -> list[str]:
    """Returns who answered how far alike, where several did."""
    lines = [t("lab.open_several", language, n=result["several"]["n"])] if result.get("several") else []
    told = result.get("answered_by") or {"servers": {}, "pairs": []}
    if len(told["servers"]) < 2:
        return lines
    for server, each in list(told["servers"].items())[:SHOWN]:
        key = "by_server_repeated" if each["repeated"] else "by_server"
        lines.append(t(f"evaluate.{key}", language, server=server, **each))
    for pair in told["pairs"][:SHOWN]:
        names = dict(zip(("one", "other"), pair["servers"], strict=True))
        lines.append(t("evaluate.servers_differ", language, **names, differ=pair["differ"], rows=pair["rows"]))
    if not told["pairs"]:
        lines.append(t("evaluate.servers_apart", language))
    return lines


def _kinds(result: Mapping[str, Json], language: Language) -> list[str]:
    kinds = result["by_kind"]
    if len(kinds) < 2:
        return []
    return [
        t(
            "evaluate.kind",
            language,
            kind=kind,
            accuracy=percent(each["accuracy"]),
            low=percent(each["interval"]["low"]),
            high=percent(each["interval"]["high"]),
            rows=each["rows"],
        )
        for kind, each in list(kinds.items())[:SHOWN]
    ]


def bad_rows(result: Mapping[str, Json], language: Language) -> list[str]:
    """Returns the rows that were not asked, with the reason."""
    if not result["skipped"]:
        return []
    lines = [t("evaluate.skipped", language, skipped=result["skipped"])]
    for bad in result["bad_rows"][:SHOWN]:
        key = "bad_row" if bad["line"] == bad["row"] else "bad_line"
        lines.append(t(f"evaluate.{key}", language, row=bad["row"], line=bad["line"], reason=reason_of(bad, language)))
    if result["skipped"] > SHOWN:
        lines.append(t("evaluate.more", language, count=result["skipped"] - SHOWN))
    return lines


def reason_of(bad: Mapping[str, Json], language: Language) -> str:
    """Returns why a row was not asked."""
    return str(bad["reason_zh"] if language == "zh" else bad["reason"])
