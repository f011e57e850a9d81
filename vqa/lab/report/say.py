"""Diagnoses and certificates in sentences, for the terminal and wherever no page is at hand."""

from __future__ import annotations

from vqa.answers import Json
from vqa.lab.certificate.rows import detects, differs_from_smaller
from vqa.lab.diagnosis.findings import Diagnosis, Verdict
from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.diagnosis.shown import shown_lines
from vqa.lab.report.across import across_lines
from vqa.lab.report.cells import ERROR, letter
from vqa.lab.report.conclusions import (
    arm_title,
    cause_values,
    causes_of,
    finding_title,
    length_words,
    number,
    remedy,
    tried_lines,
    untried_lines,
    verdict_words,
)
from vqa.lab.report.horizon import horizon_lines
from vqa.lab.report.matrix import matrix_lines
from vqa.lab.report.servers import server_lines
from vqa.lab.report.versions import version_lines
from vqa.lab.run.documents import diagnosis_from_record
from vqa.lab.run.live import RunStatus
from vqa.text import Language, t, text_or_itself


def diagnosis_sentence(found: Diagnosis, language: Language = "en") -> str:
    """Returns the verdict and, where something was found, its surest cause, in a sentence or two."""
    verdict = verdict_words(found, language)
    if not found.findings:
        return verdict
    return f"{verdict} {finding_title(found.findings[0], language)}"


def diagnosis_lines(found: Diagnosis, language: Language = "en") -> list[str]:
    """Returns the whole diagnosis as lines: verdict, each cause with why and remedy, invalid arms."""
    lines = [verdict_words(found, language)]
    for finding in found.findings:
        values = cause_values(finding, language)
        lines += [
            finding_title(finding, language),
            "  " + t(f"lab.cause_{finding.cause}_why", language, **values),
            "  " + remedy(finding, language),
            *("  " + line for line in tried_lines(finding, language)),
        ]
    for row in found.evidence:
        state = t(row.invalid, language) if row.invalid else t(f"lab.level_{row.holds}", language)
        name = arm_title(row.arm, language)
        lines.append(t("lab.evidence_line", language, arm=name, ok=row.ok, distinct=row.distinct, state=state))
    return lines


def restart_lines(result: Json, language: Language = "en") -> list[str]:
    """Returns one line for each restart and question of a diagnosis: the answers of the first requests, in letters."""
    lines = []
    for restart in result.get("restarts") or ():
        for question, requests in enumerate(restart["questions"], 1):
            letters = " ".join(letter(ERROR if each["answer"] is None else each["answer"]) for each in requests)
            values = {"n": restart["arm"].rpartition("_")[2], "question": question, "answers": letters}
            lines.append(t("lab.restart_line", language, **values))
    return lines


def certificate_lines(result: Json, language: Language = "en") -> list[str]:
    """Returns one line for each load of each profile of a certificate, and one for its positive control."""
    lines = [invalid] if (invalid := invalid_sentence(result, language)) else []
    if engines := result.get("at_once"):
        lines.append(t("lab.certificate_at_once", language, engines=engines))
    for profile in result["profiles"]:
        if profile["reason"]:
            reason = text_or_itself(profile["reason"], language)
            lines.append(t("lab.certificate_missing", language, profile=profile["name"], reason=reason))
            continue
        for load in profile["loads"]:
            if load.get("invalid"):
                values = {"profile": profile["name"], "load": load["load"], "reason": t(load["invalid"], language)}
                lines.append(t("lab.certificate_invalid", language, **values))
                continue
            level = t(f"lab.level_{load['level']}", language)
            values = {name: load[name] for name in ("load", "ok", "distinct", "logprob_variants")}
            values |= {name: number(load[name]) for name in ("median_seconds", "throughput")}
            line = t("lab.certificate_line", language, profile=profile["name"], level=level, **values)
            line += "".join(" · " + words for words in length_words(load, language, profile.get("batched_tokens")))
            if load.get("failed"):
                line += " · " + t("lab.part_failed", language, failed=load["failed"])
            if differs_from_smaller(load, result["require"]):
                line += " · " + t("lab.certificate_alone", language)
            if load.get("together") is not None and load["load"] > 1:
                line += " · " + t("lab.together", language, together=load["together"])
            lines.append(line)
        for cause in causes_of(profile):
            lines.append(
                t("lab.certificate_why", language, profile=profile["name"], cause=finding_title(cause, language))
            )
        if control := profile.get("control"):
            key = "lab.certificate_control" if detects(profile) else "lab.certificate_blind"
            lines.append(t(key, language, profile=profile["name"], ok=control["ok"], distinct=control["distinct"]))
    return [*lines, *version_lines(result, language)]


def result_lines(status: RunStatus, language: Language = "en", *, technical: bool) -> list[str]:
    """Returns what a diagnose or certify run ended in; without `technical` a single line."""
    result = status.result or {}
    if "diagnosis" in result:
        found = diagnosis_from_record(result["diagnosis"])
        hidden = []
        if result.get("holds") is None and found.verdict in {Verdict.IDENTICAL, Verdict.DRIFT}:
            hidden = [t("lab.open_hidden", language, level=t(f"lab.level_{result['require']}", language))]
        if not technical:
            return [diagnosis_sentence(found, language), *hidden]
        lines = [*diagnosis_lines(found, language), *untried_lines(result, language), *shown_lines(result, language)]
        return [*lines, *restart_lines(result, language), *hidden]
    if status.kind == "horizon" and "profiles" in result:
        return horizon_lines(result, language, technical=technical)
    if status.kind == "matrix" and "profiles" in result:
        return matrix_lines(result, language, technical=technical)
    if "servers" in result:
        return server_lines(result, language)
    if "across" in result:
        return across_lines(result, language)
    if "profiles" in result:
        return certificate_lines(result, language)
    return [t("lab.open_nothing", language)]
