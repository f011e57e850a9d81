"""A failed run tells why in the reader's language, wherever it is read; rows that hold a text alone are shown as is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.openai_server import FakeServer
from tests.lab.made import picture
from vqa.cli import main
from vqa.engine.state import Failure
from vqa.errors import InputError, ServerError, VQAError
from vqa.lab.plan.arms import RunSpec
from vqa.lab.report.export import collect, dump, load_report, to_html
from vqa.lab.run.failures import CausedError, CheckBrokenOffError, error_text, failure_record
from vqa.lab.run.manager import RunManager
from vqa.markup import escape
from vqa.models.removal import InUseError
from vqa.store import Store
from vqa.text import LANGUAGES, Language
from vqa.ui.history import history_views
from vqa.ui.lab import lab_views

GONE = ServerError("server_unreachable", address="http://127.0.0.1:9/v1")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failed_run_says_why_on_the_page_in_the_history_and_in_the_report(
    language: Language, manager: RunManager, store: Store
) -> None:
    address = FakeServer().base_url
    run_id = manager.start(RunSpec(("What?",), (picture(),)), address)
    status = manager.wait(run_id, timeout=30)
    expected = ServerError("server_unreachable", address=address)
    said = f"{expected.message(language)} {expected.hint(language)}"
    run = store.run(run_id)
    report = collect(store, run_id)
    assert load_report(dump(report).encode()).run.result == run.result == status.result
    shown = (
        lab_views.progress(status, language),
        history_views.essence(run, {}, language),
        to_html(report, language).partition(f'class="vr-{language}"')[2].partition("</main>")[0],
    )
    for page in shown:
        assert escape(said) in page
        assert language == "en" or run.error not in page


def test_the_command_line_says_why_in_the_users_language(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "circle.png"
    path.write_bytes(picture().data)
    monkeypatch.setenv("VQA_LANGUAGE", "zh")
    address = FakeServer().base_url
    assert main(["repeat", str(path), "What?", "--base-url", address]) == 2
    assert ServerError("server_unreachable", address=address).message("zh") in capsys.readouterr().err


@pytest.mark.parametrize(
    "problem",
    [
        GONE,
        InputError("repeats_invalid", n=0, least=1, most=10),
        CausedError("engine_not_started", Failure("out_of_memory")),
        CausedError("profile_not_started", CausedError("engine_not_started", GONE), profile="serial", former="default"),
        CheckBrokenOffError("check_broken_off", GONE, profile="serial", former="default"),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_stored_says_what_the_error_said(language: Language, problem: VQAError) -> None:
    record = json.loads(json.dumps(failure_record(problem)))
    said = f"{problem.message(language)} {problem.hint(language)}".strip()
    assert error_text("as text", {"failure": record}, language) == said


def test_rows_without_a_key_or_with_one_of_another_version_are_shown_as_they_were_stored() -> None:
    unknown = {"key": "errors.of_another_version", "values": {}, "cause": None}
    fewer = {"key": "errors.server_unreachable", "values": {"place": "here"}, "cause": None}
    for result in (None, {}, {"n": 3}, {"failure": unknown}, {"failure": fewer}):
        assert error_text("No server answers.", result, "zh") == "No server answers."
    assert error_text(None, None, "zh") is None


def test_an_error_whose_texts_stand_elsewhere_is_kept_as_text_alone() -> None:
    problem = InUseError("model_in_use", id="m", address="http://127.0.0.1:8000/v1", pid=1)
    assert failure_record(problem) is None
    assert failure_record(CausedError("engine_not_started", problem)) is None
