"""Turns a diagnosis or a certificate, running or stored, into what the Diagnose tab shows; sends what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from vqa.lab.plan.arms import Plan
from vqa.lab.report import conclusions, fragments, matrix, outcomes
from vqa.lab.run.header import plan_record
from vqa.lab.run.live import RunStatus
from vqa.lab.stats.summary import RunSummary
from vqa.store import Run
from vqa.ui.lab import diagnose_views, lab_views
from vqa.ui.lab.run_view import RunView

CHOICES = 60
"""More arms than these are for the report."""
PARTS = ("progress", "asked", "plan", "verdict", "detail")


class DiagnoseView(RunView):
    """Draws one run at a time; holds nothing of it."""

    topic = "diagnose"
    kinds = ("diagnose", "certify", "horizon", "matrix")

    def plan(self, plan: Plan) -> str:
        """Returns a plan that has not been started: its arms, requests and time."""
        from datetime import UTC, datetime

        run = Run("", "diagnose", "", "planned", datetime.now(UTC), None, {}, plan_record(plan), None, None, 0)
        status = RunStatus("", "diagnose", "planned", 0, plan.samples, 0.0, None)
        return self._plan(run, {}, status)

    def _plan(self, run: Run, summaries: Mapping[str, RunSummary], status: RunStatus) -> str:
        lang = self._lang
        titled = conclusions.titled(lang)
        # Once it has concluded, the evidence says it all.
        concluded = any(name in (run.result or {}) for name in ("diagnosis", "servers", "across"))
        table = "" if concluded else diagnose_views.arms(run, summaries, status, lang)
        return fragments.wrap(titled("arms", diagnose_views.plan(run, lang, concluded=concluded), table))

    def draw(self, run_id: str | None, before: dict[str, str], arm: str | None) -> tuple[Any, ...] | None:
        """Returns the new `seen`, the parts that changed, the arms to choose from, Stop, timer and downloads."""
        if run_id is None:
            return None
        status = self._services.runs.status(run_id)
        mark = f"{run_id}/{status.status}/{status.done}/{status.arm}/{arm}"
        progress = lab_views.progress(status, self._lang)
        if before.get("mark") == mark:
            shown = progress if progress != before.get("progress") else gr.skip()
            return before | {"progress": progress}, shown, *(gr.skip(),) * (len(PARTS) + 3)
        run = self._services.store.run(run_id)
        summaries = self.summaries(status)
        told = self._told(run, summaries)
        made = {
            "mark": mark,
            "progress": progress,
            "asked": lab_views.asked(run, self.pictures(run), self._lang) if run.kind == "diagnose" else "",
            "plan": self._plan(run, summaries, status) if run.kind == "diagnose" else "",
            "verdict": self._verdict(run, summaries),
            "detail": self._detail(summaries, arm, status),
            "arms": "|".join(told),
        }
        fresh = [made[name] if made[name] != before.get(name) else gr.skip() for name in PARTS]
        return (
            made,
            *fresh,
            gr.skip() if made["arms"] == before.get("arms") else self._chooser(told, arm),
            gr.Button(interactive=status.running),
            gr.Timer(active=status.running),
            gr.Row(visible=status.done > 0 and not status.running),
        )

    def _verdict(self, run: Run, summaries: Mapping[str, RunSummary]) -> str:
        concluded = outcomes.of_run(run, self._lang)
        # What a certificate says is a table, which the report's file holds.
        copied = self.copied(run, summaries) if outcomes.diagnosis_of(run) is not None else ""
        return fragments.wrap(concluded, copied) if concluded else ""

    @staticmethod
    def _told(run: Run, summaries: Mapping[str, RunSummary]) -> list[str]:
        """Returns the arms that can be looked into: all, but of a matrix's hundreds those that tell something."""
        telling = matrix.telling(run.result) if run.kind == "matrix" and run.result else set(summaries)
        return [name for name in summaries if name in telling][:CHOICES]

    def _chooser(self, names: Sequence[str], arm: str | None) -> Any:
        choices = [(conclusions.arm_title(name, self._lang), name) for name in names]
        return gr.Radio(choices=choices, value=arm if arm in names else None, visible=bool(choices))

    def _detail(self, summaries: Mapping[str, RunSummary], arm: str | None, status: RunStatus) -> str:
        run = summaries.get(arm or "")
        if run is None:
            return ""
        lang, inside = self._lang, []
        titled = conclusions.titled(lang)
        for summary in run.questions:
            inside += [
                conclusions.sentences(summary, lang, running=status.running),
                titled("strip", fragments.strips(summary, len(summary.seconds), lang, running=status.running)),
                titled("levels", fragments.levels(summary, lang), fragments.unseen(summary, lang)),
                titled("groups", fragments.groups(summary, lang)),
                titled("latency", fragments.latency(summary, lang)),
                titled("margins", fragments.margins(summary, lang)),
            ]
        return fragments.wrap(*inside)
