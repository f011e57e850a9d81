"""What the Evaluate tab keeps, shows and goes through, without a browser."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.evaluate import made
from tests.fakes.openai_server import FakeServer
from vqa.answers import Sampling
from vqa.errors import InputError
from vqa.evaluate.reading import BadRow, open_dataset
from vqa.evaluate.reading.dataset import Dataset
from vqa.evaluate.reporting.browsing import Entry, chosen
from vqa.lab.run.manager import RunManager
from vqa.media.images import ImageLimits
from vqa.settings import load_settings
from vqa.store import Run, Store
from vqa.ui.evaluate import views
from vqa.ui.evaluate.given import SCENES, first_rows, keep, pictures_at, reading_of
from vqa.ui.evaluate.opening import in_ask, in_repeat
from vqa.ui.evaluate.run import EvaluateView
from vqa.ui.services import Services


def entry(place: int, state: str, **more: object) -> Entry:
    values = {"margin": 1.0, "seconds": 0.1 * place, "texts": ("x",)} | more
    return Entry(place, place + 1, state, "", "What?", ("y",), score=0.0, **values)  # type: ignore[arg-type]


def test_rows_are_filtered_and_sorted_by_margin() -> None:
    rows = [
        entry(0, "right", margin=2.0), entry(1, "wrong", margin=0.1), entry(2, "unparsed"),
        entry(3, "failed", texts=()),
        entry(4, "skipped", texts=(), margin=None), entry(5, "right", flipped=True, margin=0.5),
    ]  # fmt: skip
    found = {
        name: [row.place for row in chosen(rows, name, by_margin=False)]
        for name in ("wrong", "unparsed", "flipped", "uncertain", "failed", "skipped", "slow")
    }
    assert found == {
        "wrong": [1], "unparsed": [2], "flipped": [5], "uncertain": [1], "failed": [3], "skipped": [4], "slow": [5],
    }  # fmt: skip
    assert [row.place for row in chosen(rows, "all", by_margin=True)] == [1, 5, 2, 3, 0, 4]
    assert [row.place for row in chosen(rows, "changed", by_margin=False, changed=frozenset({2}))] == [2]


def test_what_is_shown_cannot_bring_markup_of_a_data_set() -> None:
    html = views.listing([entry(0, "wrong", texts=("<script>x</script>",))], {}, "zh")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_uploads_are_kept_apart_and_read_without_reaching_outside(tmp_path: Path) -> None:
    made.put(tmp_path, "up/a.png", "secret.png")
    rows = [{"image": name, "question": "What?", "answer": "red"} for name in ("a.png", str(tmp_path / "secret.png"))]
    table = made.lines(tmp_path / "up" / "rows.jsonl", rows)
    settings = load_settings(data_dir=tmp_path / "data")
    reading = reading_of(settings, [str(table)], [str(tmp_path / "up" / "a.png")], "", "", "", "", "", "")
    first, second = Dataset(reading).rows()
    assert not isinstance(first, BadRow)
    assert isinstance(second, BadRow)
    assert reading.path.is_relative_to(settings.data_dir)
    assert keep([str(table)], [str(tmp_path / "up" / "a.png")], settings)[0] == reading.path


def test_the_scenes_that_come_with_the_app_can_all_be_asked() -> None:
    dataset = open_dataset(SCENES)
    rows = list(dataset.rows())
    assert len(rows) == 48
    assert not [row for row in rows if isinstance(row, BadRow)]
    shown = first_rows(dataset, ImageLimits())
    assert len(shown) == 10
    assert all(pictures and not problem for pictures, _, _, problem in shown)
    assert set(pictures_at(dataset, {3, 47}, ImageLimits())) == {3, 47}


def test_every_page_is_told_of_the_end_also_when_it_was_overwritten_by_something_older(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    store = Store(settings.database)
    run = store.create_run("evaluate", header={}, plan={})
    store.finish_run(run, "finished")
    runs = RunManager(store, settings)
    view = EvaluateView(Services(settings, store, None, runs), "en")  # type: ignore[arg-type]
    _, progress, *_ = view.draw(run)
    assert "vl-ended" in progress
    assert view.draw(run)[1] == progress, "another page that shows nothing of it yet"
    assert view.draw(run, "<p>0 of ?</p>")[1] == progress
    assert not isinstance(view.draw(run, progress), tuple), "nothing is sent to a page that has it"
    runs.close()
    store.close()


@pytest.mark.parametrize("opened", [in_ask, in_repeat])
def test_a_row_whose_picture_is_an_address_is_never_opened_without_it(
    tmp_path: Path, opened: Callable[[Services, Run, int], str]
) -> None:
    (tmp_path / "shown").mkdir()
    made.put(tmp_path, "shown/a.png")
    settings = load_settings(data_dir=tmp_path / "data", allow_local_urls=True)
    store, quiet = Store(settings.database), partial(SimpleHTTPRequestHandler, directory=tmp_path / "shown")
    with ThreadingHTTPServer(("127.0.0.1", 0), quiet) as web, FakeServer() as server:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{web.server_port}"
        names = ("a.png", "gone.png")
        rows = [{"image": f"{address}/{name}", "question": "What?", "answer": "red"} for name in names]
        table = made.lines(tmp_path / "rows.jsonl", rows)
        asking = {"sampling": asdict(Sampling(max_tokens=4))}
        plan = {"dataset": open_dataset(table).record(), "asking": asking}
        run = store.run(store.create_run("evaluate", header={}, plan=plan))
        now = SimpleNamespace(attached=True, serving=True, base_url=server.base_url)
        runs = RunManager(store, settings)
        services = Services(settings, store, SimpleNamespace(snapshot=lambda: now), runs)
        place = opened(services, run, 0)
        with pytest.raises(InputError):
            opened(services, run, 1)
        found = place.rpartition("=")[2]
        if opened is in_ask:
            (message,) = store.messages(found)
            assert len(message["images"]) == 1
        else:
            runs.wait(found, timeout=60)
            assert len(store.run(found).plan["spec"]["images"]) == 1
        web.shutdown()
        runs.close()
    store.close()


def test_types_and_changed_rows_of_a_comparison_are_folded_away() -> None:
    shown = str(views.comparison(["No real change.", "48 rows.", "  color: 1 and 1", "  row 3: a → <b>"], "en"))
    seen, _, folded = shown.partition("<details>")
    assert "No real change." in seen
    assert "48 rows." in seen
    assert "color: 1 and 1" in folded
    assert "a → &lt;b&gt;" in folded
    assert "<details>" not in str(views.comparison(["No real change."], "en"))
