"""A run's verdict as Markdown that can be pasted into an issue, a message or a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vqa.lab.diagnosis.invalid import invalid_sentence
from vqa.lab.diagnosis.verdict import engineer_sentence, manager_sentence
from vqa.lab.report import conclusions
from vqa.lab.report.outcomes import diagnosis_of
from vqa.lab.report.reproduce import case_texts
from vqa.lab.report.say import diagnosis_lines
from vqa.lab.run import public_header
from vqa.lab.stats.summary import RunSummary
from vqa.store import Run
from vqa.text import Language, t

ANSWER_SHOWN = 300
"""Characters of an answer, which is there to tell what the verdict is about."""


def verdict_markdown(
    run: Run, arms: Mapping[str, RunSummary], answers: Sequence[str], language: Language = "en"
) -> str:
    """Returns questions, most frequent answers, the verdict, and what it holds for; `answers` are one a question."""
    blocks = []
    for question, answer in zip(case_texts(run.plan), answers, strict=False):
        blocks.append(f"**{' '.join(question.split())}**")
        if said := answer.strip():
            cut = said if len(said) <= ANSWER_SHOWN else f"{said[:ANSWER_SHOWN]} …"
            blocks.append("\n".join(f"> {line}" for line in cut.splitlines()))
    blocks += _verdict(run, arms, language)
    server = run.header.get("server") or {}
    model = public_header.public_text(str(run.header.get("model") or ""))
    version = f"vLLM {server['vllm_version']}" if server.get("vllm_version") else ""
    moment = run.created_at.strftime("%Y-%m-%d %H:%M UTC")
    counts = t("report.counts", language, n=run.samples)
    blocks.append(" · ".join(filter(None, (model, version, moment, counts, f"VQA Lab, {run.id}"))))
    return "\n\n".join(blocks) + "\n"


def _verdict(run: Run, arms: Mapping[str, RunSummary], language: Language) -> list[str]:
    found = diagnosis_of(run)
    if found is not None:
        verdict, *rest = diagnosis_lines(found, language)
        return [verdict, "\n".join(f"- {line.strip()}" for line in rest)]
    if invalid := invalid_sentence(run.result, language):
        return [invalid]
    whole = conclusions.main_arm(arms)
    if whole is None:
        return [t("report.nothing", language)]
    shown = whole if len(whole.questions) > 1 else whole.questions[0]
    return [manager_sentence(shown, language), engineer_sentence(shown, language)]
