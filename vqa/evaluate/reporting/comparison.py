"""A comparison of two runs and the findings of a gate, in sentences and as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vqa.answers import Json
from vqa.evaluate.comparing.baseline import Check
from vqa.evaluate.reporting.saying import percent
from vqa.text import Language, t

SHOWN = 20


def points(value: float) -> str:
    """Returns a difference of shares in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def chance(p: float | None) -> str:
    """Returns a p-value as a reader wants it."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def compare_lines(found: Mapping[str, Json], language: Language, command: str) -> list[str]:
    """Returns what a comparison found, the verdict first; `command` would tell what one repeat cannot."""
    if not found["rows"]:
        return [t("gate.no_rows", language)]
    keys = {"same": "same", "noise": "within_noise", "changed": "changed"}
    verdict = found["verdict"]
    lines = [t(f"gate.{keys[verdict]}", language) if verdict in keys else t("gate.unknown", language, command=command)]
    only = {name: found[name]["count"] for name in ("only_a", "only_b")}
    lines.append(t("gate.compared", language, rows=found["rows"], **only))
    if found["difference"] is not None:
        lines += _accuracy(found, language)
    lines.append(t("gate.changed_answers", language, answers=found["changed_answers"], texts=found["changed_texts"]))
    if noise := found["noise"]:
        shares = {key: percent(noise[key]) for key in ("between", "excess", "low", "high")}
        within = {"a": percent(noise["within_a"]), "b": percent(noise["within_b"])}
        lines.append(t("gate.noise", language, **shares, **within, p=chance(noise["p"])))
    for name in ("a", "b"):
        side = found[name]
        told = {
            "seconds": f"{side['median_seconds']:.3f}",
            "tokens": side["tokens"],
            "tar": percent(side["tar_answer"]),
        }
        lines.append(t("gate.side", language, name=name.upper(), **told))
    lines += _kinds(found, language)
    for change in found["changes"][:SHOWN]:
        texts = {key: " | ".join(change[key])[:80] for key in ("a", "b", "wanted")}
        lines.append(t("gate.change", language, row=change["row"], **texts))
    return lines


def _accuracy(found: Mapping[str, Json], language: Language) -> list[str]:
    low, high = found["interval"]
    lines = [
        t(
            "gate.accuracies",
            language,
            a=percent(found["a"]["accuracy"]),
            b=percent(found["b"]["accuracy"]),
            difference=points(found["difference"]),
            low=points(low),
            high=points(high),
        ),
        t(
            "gate.mcnemar",
            language,
            lost=found["right_to_wrong"],
            won=found["wrong_to_right"],
            p=chance(found["p"]),
        ),
    ]
    steady = found["stable"]
    if found["noise"] and steady["rows"]:
        told = {"rows": steady["rows"], "lost": steady["right_to_wrong"], "won": steady["wrong_to_right"]}
        lines.append(t("gate.steady", language, **told, p=chance(steady["p"])))
    return lines


def _kinds(found: Mapping[str, Json], language: Language) -> list[str]:
    if len(found["by_kind"]) < 2:
        return []
    lines = []
    for kind, each in list(found["by_kind"].items())[:SHOWN]:
        low, high = each["interval"]
        told = {"a": percent(each["a"]), "b": percent(each["b"]), "difference": points(each["difference"])}
        lines.append(t("gate.kind", language, kind=kind, rows=each["rows"], low=points(low), high=points(high), **told))
    return lines


def check_detail(check: Check, language: Language) -> str:
    """Returns what a check saw, in one line."""
    values = dict(check.values)
    for key in ("accuracy", "least"):
        if key in values:
            values[key] = percent(values[key])
    if "p" in values:
        values["p"] = chance(values["p"])
    reasons = [t(f"gate.reason_{reason}", language) for reason in values.pop("reasons", ())]
    return "; ".join([t(f"gate.detail_{check.name}", language, **values), *reasons])


def check_result(check: Check, language: Language) -> str:
    """Returns passed, failed or cannot tell."""
    key = "cannot_tell" if check.passed is None else "passed" if check.passed else "failed"
    return t(f"gate.{key}", language)


def gate_lines(found: Sequence[Check], language: Language) -> list[str]:
    """Returns a line for each check, with the rows that it names."""
    lines = []
    for check in found:
        title = t(f"gate.check_{check.name}", language)
        lines.append(f"{check_result(check, language)}: {title} ({check_detail(check, language)})")
        if check.rows and not check.passed:
            lines.append("  " + t("gate.rows_named", language, rows=", ".join(check.rows[:SHOWN])))
    return lines


def gate_markdown(found: Sequence[Check], name: str, language: Language, sentences: Sequence[str]) -> str:
    """Returns a summary for a pull request."""
    heads = " | ".join(t(f"gate.column_{key}", language) for key in ("check", "result", "detail"))
    rows = [
        f"| {t(f'gate.check_{check.name}', language)} | {_sign(check)} {check_result(check, language)} | "
        f"{_cell(check_detail(check, language))} |"
        for check in found
    ]
    named = [
        "- " + t("gate.rows_named", language, rows=", ".join(f"`{_cell(row)}`" for row in check.rows[:SHOWN]))
        for check in found
        if check.rows and not check.passed
    ]
    title = t("gate.title", language, name=_cell(name))
    body = "\n".join(f"- {_cell(line.strip())}" for line in sentences)
    table = "\n".join([f"| {heads} |", "| --- | --- | --- |", *rows])
    return f"## {title}\n\n{table}\n\n" + ("\n".join(named) + "\n\n" if named else "") + f"{body}\n"


def _sign(check: Check) -> str:
    return "❔" if check.passed is None else "✅" if check.passed else "❌"


def _cell(text: str) -> str:
    """Returns a text that stays in its cell and is no markup."""
    flat = " ".join(text.split())
    for char in "\\|`*_<>[]":
        flat = flat.replace(char, f"\\{char}")
    return flat
