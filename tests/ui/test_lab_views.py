"""What the lab's tabs say of a run's pictures."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.lab.made import samples
from vqa.lab.report import cells
from vqa.lab.run.live import RunStatus
from vqa.lab.stats.summarize import summarize_run
from vqa.media.images import ImageLimits, load_image
from vqa.store import Store
from vqa.text import t
from vqa.ui.history.history_views import outcome
from vqa.ui.lab import diagnose_views, lab_views


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_was_done_to_a_picture_before_it_was_sent_is_said(tmp_path: Path, lang: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (600, 200), "red").save(out, "BMP")
    image = load_image(out.getvalue(), ImageLimits(max_side=300), name="wide.bmp")
    store = Store(f"sqlite:///{tmp_path / 'runs.db'}")
    store.put_image(image)
    spec = {"images": [image.sha256], "questions": ["What?"], "n": 2, "concurrency": 1}
    run = store.run(store.create_run("repeat", header={"model": "m"}, plan={"spec": spec}))
    html = lab_views.asked(run, lab_views.pictures_of(store, run), lang)  # type: ignore[arg-type]
    assert f"{t('images.scaled', lang)} 600×200 → 300×100" in html  # type: ignore[arg-type]
    assert t("images.converted", lang) in html  # type: ignore[arg-type]
    store.close()


def test_a_picture_sent_as_it_was_given_has_no_note(tmp_path: Path, red_circle: Path) -> None:
    image = load_image(red_circle)
    store = Store(f"sqlite:///{tmp_path / 'runs.db'}")
    store.put_image(image)
    run = store.run(store.create_run("repeat", header={}, plan={"spec": {"images": [image.sha256]}}))
    (shown,) = lab_views.pictures_of(store, run)
    assert (shown.notes, shown.sizes) == ((), "")
    assert "vl-chip" not in lab_views.asked(run, (shown,), "en")
    store.close()


@pytest.mark.parametrize(
    ("level", "en", "zh"),
    [("none", "Differs", "不一致"), ("text", "Same text", "文本相同"), ("bitwise", "Identical", "完全相同")],
)
def test_the_list_of_runs_says_how_each_came_out_in_plain_words(tmp_path: Path, level: str, en: str, zh: str) -> None:
    store = Store(f"sqlite:///{tmp_path / 'runs.db'}")
    run_id = store.create_run("repeat", header={}, plan={})
    store.finish_run(run_id, "finished", result={"level": level, "ok": 5, "n": 5})
    run = store.run(run_id)
    assert [outcome(run, lang).partition(">")[2].partition("<")[0] for lang in ("en", "zh")] == [en, zh]
    store.close()


def test_the_arms_of_a_diagnosis_under_way_show_each_request_in_its_answer_s_colour(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'runs.db'}")
    run = store.run(store.create_run("diagnose", header={}, plan={"arms": [{"name": "repeat", "n": 4}]}))
    store.close()
    summaries = {"repeat": summarize_run(samples("red", "red", "blue"))}
    shown = diagnose_views.arms(run, summaries, RunStatus(run.id, "diagnose", "running", 3, 4, 1.0, None), "en")
    colours = [shown.count(cells.colour(group)) for group in (0, 1)]
    assert colours == [2, 1]
