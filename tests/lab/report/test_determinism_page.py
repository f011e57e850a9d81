"""docs/determinism.md says what the recorded runs show: its figures and numbers follow from their samples."""

from dataclasses import replace

import pytest

from scripts.determinism import pages


@pytest.mark.parametrize("name", pages.everything())
def test_the_page_and_its_figures_follow_from_the_recorded_runs(name: str) -> None:
    written = (pages.DOCS / name).read_text(encoding="utf-8")
    assert written == pages.everything()[name], "run `python -m scripts.determinism`"


def test_a_claim_that_the_samples_do_not_bear_out_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = pages.arms(pages.TRITON)
    swapped = dict(honest, concurrent_8=replace(pages.arms(pages.DEFAULT)["concurrent_8"], name="concurrent_8"))
    real = pages.arms
    monkeypatch.setattr(pages, "arms", lambda run: swapped if run == pages.TRITON else real(run))
    with pytest.raises(ValueError, match="do not show"):
        pages.page("en")
