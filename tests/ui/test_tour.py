"""What the guided tour says of a run is what was measured, and its words are there in both languages."""

from __future__ import annotations

import re

import pytest

from tests.lab.made import failed, samples
from vqa.answers import Sample
from vqa.lab.stats.summarize import summarize_run
from vqa.settings import ASSETS
from vqa.text import table
from vqa.ui.lab import tour_repeat


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        (samples("red", "red", "red"), "identical"),
        (samples("red", "a red one", "a red one", "a red one"), "leading"),
        (samples("red", "Red.", "red"), "meaning"),
        (samples("red", "blue", "red", "blue"), "differs"),
        ([failed(0), failed(1)], "open"),
        ([], "open"),
    ],
)
def test_a_run_is_summed_up_for_a_manager_as_it_ended(run: list[Sample], kind: str) -> None:
    summary = summarize_run(run)
    assert tour_repeat.outcome(summary) == kind
    for lang in ("en", "zh"):
        html = tour_repeat.verdict_html("<id>", summary, lang)
        assert table(lang)[f"tour.verdict_{kind}"] in html.replace("&#39;", "'")
        assert "<id>" not in html


def test_every_word_that_the_script_says_exists() -> None:
    script = (ASSETS / "tour.js").read_text(encoding="utf-8")
    said = set(re.findall(r'say\([^)]*?"(\w+)"', script)) | set(re.findall(r'"(wait_\w+|report_\w+)"', script))
    steps = re.findall(r'\{ name: "(\w+)"', script)
    said |= {f"{step}_{part}" for step in steps for part in ("title", "see", "why")}
    assert len(steps) == 5
    missing = said - {key.removeprefix("tour.") for key in table("en") if key.startswith("tour.")}
    assert not missing
