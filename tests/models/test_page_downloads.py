"""What the page holds of downloads, without a page: each folder once, resumed as it was begun, nothing for visitors."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fakes.hub import COMMIT, FakeHub
from tests.models.conftest import BIG, ID, MakeSettings
from tests.models.downloading import MIB, begun, half_way, hold, release, same
from vqa.engine.attach import AttachedEngine
from vqa.errors import EngineError, ModelError
from vqa.lab.run.manager import RunManager
from vqa.models.download import Download, DownloadState
from vqa.models.downloads import Downloads
from vqa.models.listing import read_complete
from vqa.models.local import LocalState, list_local
from vqa.settings import Settings
from vqa.store.passing import open_store
from vqa.ui.page import build_ui
from vqa.ui.public import public_services
from vqa.ui.server.models_view import jobs_html, models_html
from vqa.ui.services import Services


def ended(downloads: Downloads) -> None:
    for running in tuple(downloads._all.values()):
        for _ in running:
            pass


def test_a_download_elsewhere_that_was_cancelled_can_be_resumed_into_its_folder(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings, target = make_settings("huggingface", revision="v1"), tmp_path / "elsewhere"
    downloads = Downloads(settings)
    hold(hub)
    downloads.start(ID, source="huggingface", revision=COMMIT, target=target)
    downloads.start(ID, source="huggingface", revision=COMMIT, target=target)
    assert len(downloads.jobs()) == 1
    assert hub.holding.wait(60)
    while begun(target) < 3 * MIB:
        time.sleep(0.02)
    assert downloads.unfinished(list_local(settings)) == []  # it is under way
    downloads.cancel("another/model-does-not-matter")
    (job,) = downloads.jobs()
    assert (job.ended, job.progress.state, job.problem) == (True, DownloadState.CANCELLED, None)
    (left,) = downloads.unfinished(list_local(settings))
    assert (left.name, left.folder, left.source) == (f"{ID}@{COMMIT}", target, "huggingface")
    downloads = Downloads(settings)  # as after a restart of the app
    assert downloads.unfinished(list_local(settings)) == [left]
    shown = models_html(settings, "zh")
    assert f'data-do="resume" data-model="{target}"' in shown
    assert "不完整" in shown
    release(hub)
    downloads.resume(left)
    ended(downloads)
    assert same(target, files)
    assert hub.ranges(BIG)
    mark = read_complete(target)
    assert mark is not None
    assert mark.revision == COMMIT
    assert downloads.unfinished(list_local(settings)) == []
    assert [(each.id, each.state) for each in list_local(settings) if each.path == target] == [
        (f"{ID}@{COMMIT}", LocalState.COMPLETE)
    ]
    assert str(target) in jobs_html(downloads.jobs(), "en")


def test_the_newest_revision_is_resumed_as_such_whatever_the_settings_name_by_now(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings
) -> None:
    hold(hub)
    with Download(make_settings(), ID) as running:
        half_way(hub, running)
    release(hub)
    settings = make_settings(revision="v1")
    downloads = Downloads(settings)
    (left,) = downloads.unfinished(list_local(settings))
    downloads.resume(left)
    ended(downloads)
    mark = read_complete(running.folder)
    assert mark is not None
    assert mark.revision is None


def test_a_failed_download_keeps_its_reason_and_another_can_be_started(
    hub: FakeHub, make_settings: MakeSettings
) -> None:
    hub.token = "secret"
    downloads = Downloads(make_settings())
    downloads.start(ID)
    ended(downloads)
    (job,) = downloads.jobs()
    assert job.problem is not None
    assert job.problem.code == "model_gated"
    hub.token = None
    downloads.start(ID)
    ended(downloads)
    (job,) = downloads.jobs()
    assert (job.problem, job.progress.state) == (None, DownloadState.COMPLETE)
    with pytest.raises(ModelError):
        downloads.start(ID, revision="../..")


def test_visitors_of_a_public_demo_have_no_part_of_it(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, public=True, data_dir=tmp_path)
    engine = AttachedEngine("http://127.0.0.1:1/v1")
    try:
        with open_store(settings) as store:
            runs = RunManager(store, settings)
            services = public_services(Services(settings, store, engine, runs))
            named = {getattr(block, "elem_id", None) for block in build_ui(services).blocks.values()}
            runs.close()
    finally:
        engine.close()
    assert "vqa-tabs" in named
    assert not {name for name in named if name and name.startswith(("vqa-model", "vqa-resume", "vqa-unfin", "flag-"))}
    with pytest.raises(EngineError):
        _ = services.downloads
