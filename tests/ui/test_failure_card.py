"""The card of a start that failed: cause, remedy, the line that shows it, those around it, and how to ask others."""

from __future__ import annotations

import pytest

from vqa.engine.causes import failure_of
from vqa.engine.state import EngineState, Snapshot
from vqa.text import LANGUAGES, Language
from vqa.ui.public import _redacted
from vqa.ui.server.server_views import LINE, failure_html

WORKER = "(Worker pid=3) ERROR 11-22 13:16:46 [x.py:1] "
LOG = [
    *(f"{WORKER}  before {n}" for n in range(20)),
    f"{WORKER}RuntimeError: <tower> broke",
    *(f"after {n}" for n in range(99)),
]


def failed(log: list[str]) -> Snapshot:
    return Snapshot(EngineState.FAILED, failure=failure_of(log, 1, was_ready=False))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_line_stands_there_with_those_around_it_and_nothing_of_it_is_markup(language: Language) -> None:
    card = failure_html(failed(LOG), language)
    assert f"<mark>{WORKER}RuntimeError: &lt;tower&gt; broke</mark>" in card
    assert "before 19" in card and "after 11" in card and "after 12" not in card and "before 7" not in card
    assert "python -m vqa doctor --bundle vqa.zip" in card


def test_a_line_of_hundreds_of_names_is_cut() -> None:
    card = failure_html(
        failed([f"ValueError: Model architectures ['X'] are not supported for now. {'Name, ' * 500}"]), "en"
    )
    assert len(card) < 4 * LINE and " …" in card


def test_a_log_without_an_error_has_no_empty_fold() -> None:
    assert "<details" not in failure_html(failed(["fine"]), "en")


def test_visitors_see_nothing_of_the_log() -> None:
    assert "tower" not in failure_html(_redacted(failed(LOG)), "en")
