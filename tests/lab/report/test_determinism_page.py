"""docs/determinism.md says what the recorded runs show: its figures and numbers follow from their samples."""

from dataclasses import replace

import pytest

from scripts.determinism import checks, pages, runs


def test_the_pages_and_their_figures_follow_from_the_recorded_runs() -> None:
    files = pages.everything()
    written = {name: (pages.DOCS / name).read_text(encoding="utf-8") for name in files}
    assert [name for name in files if written[name] != files[name]] == [], "run `python -m scripts.determinism`"


def test_a_claim_that_the_samples_do_not_bear_out_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = runs.arms(runs.TRITON)
    swapped = dict(honest, concurrent_8=replace(runs.arms(runs.DEFAULT)["concurrent_8"], name="concurrent_8"))
    real = runs.arms
    monkeypatch.setattr(checks, "arms", lambda run: swapped if run == runs.TRITON else real(run))
    with pytest.raises(ValueError, match="do not show"):
        pages.page("en")
