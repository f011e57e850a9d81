"""Downloads through the hubs' real clients from a hub of our own: what arrives, and what is resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from tests.fakes.hub import COMMIT, FakeHub
from tests.models.conftest import BIG, ID, MakeSettings
from tests.models.downloading import BOTH, MIB, failure, half_way, hold, release, same
from vqa.errors import ModelError
from vqa.models.download import Download, DownloadState, Progress, download
from vqa.models.ids import Source
from vqa.models.listing import read_complete, read_planned
from vqa.models.local import LocalState, NeedsDownload, list_local, lock_file, resolve
from vqa.models.removal import delete
from vqa.models.verify import measure
from vqa.settings import PROJECT, Settings


@BOTH
def test_every_file_arrives_with_progress_on_real_bytes(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, source: Source
) -> None:
    hub.faults.bytes_per_second = 6e6
    seen: list[Progress] = []
    folder = download(make_settings(source), ID, seen.append)

    assert same(folder, files)
    total = sum(map(len, files.values()))
    assert seen[-1].state is DownloadState.COMPLETE
    assert (seen[-1].files_done, seen[-1].bytes_done, seen[-1].bytes_total) == (len(files), total, total)
    moving = [each for each in seen if each.state is DownloadState.DOWNLOADING and 0 < each.bytes_done < total]
    assert len({each.bytes_done for each in moving}) >= 3
    assert [each.bytes_done for each in moving] == sorted(each.bytes_done for each in moving)
    assert any(each.bytes_per_second and each.seconds_left is not None for each in moving)
    assert any(BIG in each.current_files for each in moving)
    mark = read_complete(folder)
    assert mark is not None
    assert mark.source == source
    assert mark.commit == (COMMIT if source == "huggingface" else None)
    assert {file.path: file.size for file in mark.files} == {path: len(content) for path, content in files.items()}
    with FileLock(lock_file(folder), timeout=0):
        pass


@BOTH
def test_a_connection_cut_in_the_middle_is_resumed_by_range(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, source: Source
) -> None:
    hub.faults.cut_after[BIG] = [5 * MIB]
    folder = download(make_settings(source), ID)
    assert same(folder, files)
    assert hub.ranges(BIG)
    assert hub.sent < sum(map(len, files.values())) + MIB


@BOTH
def test_a_killed_child_is_told_and_the_next_download_goes_on_where_it_stopped(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, source: Source
) -> None:
    settings = make_settings(source)
    hold(hub)
    with Download(settings, ID) as running:
        half_way(hub, running)
        assert running.pid
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(ModelError) as caught:
            running.wait(20)
    assert caught.value.code == "model_download_died"
    assert "SIGKILL" in caught.value.message()
    assert read_complete(running.folder) is None
    waiting = resolve(settings, ID)
    assert isinstance(waiting, NeedsDownload)
    planned = read_planned(waiting.folder)
    assert planned is not None
    assert measure(waiting.folder, planned).bytes >= 3 * MIB

    release(hub)
    assert same(download(settings, ID), files)
    asked = hub.ranges(BIG)
    assert asked
    assert all(int(each.removeprefix("bytes=").rstrip("-")) >= 3 * MIB for each in asked), asked
    assert resolve(settings, ID) == running.folder


def test_ranges_fetched_side_by_side_count_as_progress_and_leave_no_parts(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_PARALLEL_WORKERS", "3")
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_PARALLEL_THRESHOLD_MB", "1")
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_PART_SIZE_MB", "2")
    settings = make_settings()
    hold(hub)
    with Download(settings, ID) as running:
        running.start()
        ended = {DownloadState.FAILED, DownloadState.COMPLETE}
        moved = next(now for now in running if BIG in now.current_files or now.state in ended)
        assert moved.state is DownloadState.DOWNLOADING
        assert moved.bytes_done > 0
        assert any(not each.endswith("-") for each in hub.ranges(BIG))
        assert running.pid
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(ModelError):
            running.wait(20)
    assert list(running.folder.glob(f"{BIG}_*_*"))
    # As one leaves it that is killed while it puts parts together.
    (running.folder / f"{BIG}.parallel_tmp").write_bytes(files[BIG][:MIB])
    release(hub)
    monkeypatch.delenv("MODELSCOPE_DOWNLOAD_PARALLEL_WORKERS")
    assert same(download(settings, ID), files)
    assert {path.name for path in running.folder.iterdir()} == {path.split("/")[0] for path in files} | {".vqa"}


@BOTH
def test_cancel_keeps_what_arrived_and_resumes(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, source: Source
) -> None:
    settings = make_settings(source)
    hold(hub)
    with Download(settings, ID) as running:
        half_way(hub, running)
        pid = running.pid
        running.cancel()
        running.cancel()
        assert pid is not None
        assert not psutil.pid_exists(pid)
        with pytest.raises(ModelError) as caught:
            running.wait(0)
    assert caught.value.code == "model_download_cancelled"
    (model,) = [each for each in list_local(settings) if each.id == ID]
    assert model.state is LocalState.INCOMPLETE
    assert model.total_bytes == sum(map(len, files.values()))

    release(hub)
    assert same(download(settings, ID), files)
    assert hub.ranges(BIG)
    (model,) = [each for each in list_local(settings) if each.id == ID]
    assert model.state is LocalState.COMPLETE


def test_the_blocking_call_looks_at_its_cancel_event(hub: FakeHub, make_settings: MakeSettings) -> None:
    hold(hub)
    asked = threading.Event()

    def on_progress(now: Progress) -> None:
        if now.bytes_done:
            asked.set()

    with pytest.raises(ModelError) as caught:
        download(make_settings(), ID, on_progress, asked)
    assert caught.value.code == "model_download_cancelled"


def test_network_loss_in_the_middle_is_told_and_resumed(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings
) -> None:
    hub.faults.cut_after[BIG] = [MIB] * 10
    settings = make_settings()
    assert failure(settings).code == "hub_unreachable"
    hub.faults.cut_after.clear()
    assert same(download(settings, ID), files)


@BOTH
def test_a_wrong_hash_is_never_marked_complete(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, source: Source
) -> None:
    hub.faults.wrong_hash = {BIG}
    settings = make_settings(source)
    error = failure(settings)
    assert error.code == "model_corrupt"
    assert BIG in error.message()
    folder = read_planned_folder(settings)
    assert read_complete(folder) is None
    assert not (folder / BIG).exists()

    hub.faults.wrong_hash = set()
    assert same(download(settings, ID), files)


@BOTH
def test_a_file_that_the_client_never_fetched_is_missed(
    hub: FakeHub, make_settings: MakeSettings, source: Source
) -> None:
    hub.faults.listed_once = {"config.json"}
    settings = make_settings(source)
    error = failure(settings)
    assert error.code == "model_files_missing"
    assert "config.json" in error.message()
    assert read_complete(read_planned_folder(settings)) is None


def read_planned_folder(settings: Settings) -> Path:
    waiting = resolve(settings, ID)
    assert isinstance(waiting, NeedsDownload)
    assert read_planned(waiting.folder) is not None
    return waiting.folder


def test_a_download_goes_on_from_the_hub_that_it_was_begun_at(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings
) -> None:
    hold(hub)
    begun_at = make_settings("huggingface")
    with Download(begun_at, ID) as running:
        half_way(hub, running)
    release(hub)
    other = make_settings("modelscope")
    waiting = resolve(other, ID)
    assert isinstance(waiting, NeedsDownload)
    assert waiting.source == "huggingface"
    again = Download(other, ID)
    assert (again.source, again.endpoint) == ("huggingface", None)  # the address of another hub is not its own
    assert Download(other, ID, source="modelscope").endpoint == hub.url


def test_a_second_download_brings_a_new_version_and_removes_what_it_no_longer_has(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings
) -> None:
    settings = make_settings()
    folder = download(settings, ID)
    sent = hub.sent
    assert download(settings, ID) == folder
    assert hub.sent == sent

    second = files | {"config.json": b'{"architectures": ["New"]}', "model-00002-of-00002.safetensors": b"n" * MIB}
    del second["README.md"]
    hub.models[ID] = second
    assert same(download(settings, ID), second)
    assert not (folder / "README.md").exists()
    assert hub.sent < sent + 2 * MIB


def test_weights_in_other_formats_stay_out_unless_asked_for(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings
) -> None:
    hub.models[ID] = files | {"onnx/model.onnx": b"o" * 100, "model-q4.gguf": b"g" * 100}
    folder = download(make_settings(), ID)
    mark = read_complete(folder)
    assert mark is not None
    assert mark.left_out == ("model-q4.gguf", "onnx/model.onnx")
    assert not (folder / "onnx").exists()
    with Download(make_settings(data_dir=folder.parent / "all"), ID, all_files=True) as running:
        assert (running.start().wait(60) / "onnx" / "model.onnx").is_file()


def test_two_downloads_of_one_model_fetch_it_once(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings
) -> None:
    settings = make_settings()
    hold(hub)
    with Download(settings, ID) as first, Download(settings, ID) as second:
        half_way(hub, first)
        second.start()
        waiting = next(now for now in second if now.state is DownloadState.WAITING)
        assert waiting.holder == first.pid
        with pytest.raises(ModelError) as caught:
            delete(settings, ID)
        assert caught.value.code == "model_busy"
        release(hub)
        assert first.wait(60) == second.wait(60)
    assert same(first.folder, files)
    assert hub.sent < sum(map(len, files.values())) + MIB


def test_lock_files_of_dead_processes_hold_nothing_up(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings
) -> None:
    settings = make_settings()
    hold(hub)
    with Download(settings, ID) as running:
        half_way(hub, running)
        stale = list((running.folder / ".vqa" / "hub").rglob("*.lock"))
        assert stale
        assert running.pid
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(ModelError):
            running.wait(20)
    (running.folder / ".vqa" / "owner.json").write_text('{"pid": 1}')
    release(hub)
    assert same(download(settings, ID), files)
    assert not list(running.folder.rglob("*.lock"))


def test_the_child_ends_when_its_parent_is_killed(hub: FakeHub, make_settings: MakeSettings) -> None:
    settings = make_settings()
    hold(hub)
    program = (
        "import sys; from vqa.models.download import Download; from vqa.settings import Settings;"
        "d = Download(Settings(_env_file=None, data_dir=sys.argv[1], hub_endpoint=sys.argv[2]), sys.argv[3]).start();"
        "print(d.pid, flush=True); d.wait()"
    )
    arguments = [sys.executable, "-c", program, str(settings.data_dir), hub.url, ID]
    with subprocess.Popen(arguments, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert hub.holding.wait(60)
        parent.kill()
        assert psutil.wait_procs([child], timeout=5)[1] == []
