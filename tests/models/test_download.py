"""Downloads through the hubs' real clients from a hub of our own: what arrives, what is resumed, what is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from tests.fakes.hub import COMMIT, FakeHub
from tests.models.conftest import BIG, ID, MakeSettings
from vqa.errors import ModelError
from vqa.models.download import Download, DownloadState, Progress, download
from vqa.models.ids import Source, folder_of
from vqa.models.listing import read_complete, read_planned
from vqa.models.local import LocalState, NeedsDownload, delete, list_local, lock_file, resolve
from vqa.models.serve import plan_start
from vqa.models.verify import measure, partial_of
from vqa.settings import PROJECT, Settings

BOTH = pytest.mark.parametrize("source", ["modelscope", "huggingface"])
MIB = 1024 * 1024


def same(folder: Path, files: dict[str, bytes]) -> bool:
    return all((folder / path).read_bytes() == content for path, content in files.items())


def hold(hub: FakeHub, after: int = 4 * MIB) -> None:
    """Lets large files stop half-way until `release`."""
    hub.faults.hold_after = after
    hub.holding.clear()
    hub.go_on.clear()


def release(hub: FakeHub) -> None:
    hub.faults.hold_after = None
    hub.go_on.set()


def begun(folder: Path) -> int:
    """The bytes of the large shard `BIG` that lie on disk in part, wherever the client keeps them, and of no other."""
    planned = read_planned(folder)
    ours = [partial_of(folder, file) for file in (planned.files if planned else ()) if file.path == BIG]
    return max((path.stat().st_size for path in (folder / f"{BIG}.incomplete", *ours) if path.exists()), default=0)


def half_way(hub: FakeHub, running: Download) -> None:
    """Starts the download and returns when the held shard's first bytes lie on disk."""
    running.start()
    assert hub.holding.wait(60)
    while begun(running.folder) < 3 * MIB:
        assert running.progress().state is not DownloadState.FAILED
        time.sleep(0.02)


def failure(settings: Settings, **arguments: object) -> ModelError:
    with Download(settings, ID, **arguments) as running, pytest.raises(ModelError) as caught:
        running.start().wait(90)
    assert running.progress().state is DownloadState.FAILED
    for language in ("en", "zh"):
        assert len(caught.value.message(language)) > 8
        assert len(caught.value.hint(language)) > 8
    return caught.value


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


@BOTH
@pytest.mark.parametrize(("status", "code"), [(403, "model_gated"), (404, "model_not_found"), (500, "hub_failed")])
def test_a_refused_listing_gets_its_own_card(
    hub: FakeHub, make_settings: MakeSettings, source: Source, status: int, code: str
) -> None:
    if status == 403:
        hub.token = "the right one"
    elif status == 404:
        hub.models.clear()
    else:
        hub.faults.listing_status = status
    error = failure(make_settings(source))
    assert error.code == code
    assert ID in error.message() or str(status) in error.message()
    if status == 403:
        assert "VQA_HUB_TOKEN" in error.hint()
        assert hub.url in error.hint()


@pytest.mark.parametrize(("status", "code"), [(403, "model_gated"), (404, "model_file_missing"), (500, "hub_failed")])
def test_a_refused_file_gets_its_own_card(hub: FakeHub, make_settings: MakeSettings, status: int, code: str) -> None:
    hub.faults.file_status[BIG] = status
    assert failure(make_settings()).code == code


@BOTH
def test_no_network_is_told_with_the_address(hub: FakeHub, make_settings: MakeSettings, source: Source) -> None:
    error = failure(make_settings(source, hub_endpoint="http://127.0.0.1:1"))
    assert error.code == "hub_unreachable"
    assert "127.0.0.1:1" in error.message()
    assert "refused" in error.message()


@BOTH
def test_the_token_opens_a_gated_model_and_shows_nowhere(
    hub: FakeHub, make_settings: MakeSettings, source: Source, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.token = "hf_secret123"
    folder = download(make_settings(source, hub_token="hf_secret123"), ID)
    assert read_complete(folder)
    assert "hf_secret123" not in "".join(capfd.readouterr())
    for path in folder.rglob("*"):
        assert not path.is_file() or path.stat().st_size > MIB or b"hf_secret123" not in path.read_bytes()


def test_a_revision_goes_to_a_folder_of_its_own_and_a_missing_one_is_told(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings
) -> None:
    settings = make_settings()
    folder = download(settings, ID, revision="v1")
    assert folder.name == "tiny-vl@v1"
    assert same(folder, files)
    assert failure(settings, revision="v2").code == "model_revision_missing"


def test_two_revisions_of_one_id_share_neither_a_folder_nor_a_name(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings()
    newest, first = download(settings, ID), download(settings, f"{ID}@v1")
    assert newest != first
    named = {model.id: model.path for model in list_local(settings) if model.state is LocalState.COMPLETE}
    assert named == {ID: newest, f"{ID}@v1": first}
    assert resolve(settings, ID) == newest
    assert resolve(settings, f"{ID}@v1") == first
    with pytest.raises(ModelError) as caught:
        Download(settings, ID, target=first)
    assert caught.value.code == "model_target_not_ours"
    with pytest.raises(ModelError) as caught:
        Download(settings, f"{ID}@v1", revision="v2")
    assert caught.value.code == "model_revision_invalid"
    delete(settings, f"{ID}@v1")
    assert same(newest, files)
    assert not first.exists()
    waiting = resolve(settings, f"{ID}@refs/pr/1")
    assert isinstance(waiting, NeedsDownload)
    assert (waiting.model_id, waiting.revision) == (f"{ID}@refs/pr/1", "refs/pr/1")
    assert waiting.folder != folder_of(settings, ID, "refs--pr--1")


def test_a_start_of_a_revision_that_is_not_here_yet_fetches_that_revision(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings
) -> None:
    settings = make_settings(vllm_python=Path("/bin/false"))
    spec, prepare = plan_start(settings, f"{ID}@v1")
    assert prepare is not None
    assert prepare(lambda _: None, lambda: False) == spec.model
    assert spec.model.endswith("tiny-vl@v1")
    assert plan_start(settings, f"{ID}@v1")[1] is None
    assert plan_start(settings, ID)[1] is not None


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


@pytest.mark.parametrize(
    ("token", "sent_to"),
    [("hf_x", {"huggingface"}), ("ms-x", {"modelscope"}), ("plain", set())],
)
def test_a_token_is_sent_to_no_other_hub_than_its_own(
    make_settings: MakeSettings, token: str, sent_to: set[str]
) -> None:
    for configured in ("modelscope", "huggingface"):
        settings = make_settings(configured, hub_token=token)
        for source in ("modelscope", "huggingface"):
            running = Download(settings, ID, source=source)
            assert (running._token is not None) == (source == configured or source in sent_to), (configured, source)


def test_a_misspelt_id_of_the_catalog_is_suggested(hub: FakeHub, make_settings: MakeSettings) -> None:
    with (
        Download(make_settings(), "OpenGVLab/InternVL2_5-1b-Instruct") as running,
        pytest.raises(ModelError) as caught,
    ):
        running.start().wait(60)
    assert "OpenGVLab/InternVL2_5-1B" in caught.value.hint()


@pytest.mark.parametrize(
    "bad", ["--evil", "../../x", "a b/c", "name", "a/b/c", "a/..", "x/y;z", "", "owner/" + "n" * 300]
)
def test_what_is_no_id_is_refused_before_anything_starts(make_settings: MakeSettings, bad: str) -> None:
    settings = make_settings()
    with pytest.raises(ModelError) as caught:
        Download(settings, bad)
    assert caught.value.code.startswith("model_id_invalid")
    assert not settings.models_path.exists()


@pytest.mark.parametrize(
    "path", ["../../evil.txt", "/tmp/evil.txt", "C:\\evil.txt", "a/../../evil", ".vqa/complete.json"]
)
def test_a_listing_that_leaves_the_folder_is_refused(hub: FakeHub, make_settings: MakeSettings, path: str) -> None:
    hub.faults.extra_listing = [path]
    settings = make_settings()
    error = failure(settings)
    assert error.code == "model_unsafe_listing"
    assert not [each for each in settings.models_path.rglob("*") if each.is_file()]


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


def test_a_folder_with_other_files_is_never_written_into(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important")
    with pytest.raises(ModelError) as caught:
        Download(make_settings(), ID, target=tmp_path / "mine")
    assert caught.value.code == "model_target_not_ours"


def test_a_folder_that_cannot_be_made_is_told(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError) as caught:
        Download(make_settings(), ID, target=tmp_path / "file" / "below").start()
    assert caught.value.code == "model_target_invalid"


@pytest.mark.parametrize("target", ["x" * 300, "a\0b", "~no-such-user-here/x"])
def test_what_cannot_be_a_folder_is_told(make_settings: MakeSettings, tmp_path: Path, target: str) -> None:
    with pytest.raises(ModelError) as caught:
        Download(make_settings(), ID, target=Path(target) if target.startswith("~") else tmp_path / target)
    assert caught.value.code == "model_target_invalid"
    assert caught.value.message("zh")


def test_an_id_and_a_revision_too_long_for_a_folder_are_told(make_settings: MakeSettings) -> None:
    with pytest.raises(ModelError) as caught:
        Download(make_settings(), "owner/" + "n" * 150, revision="r" * 150)
    assert caught.value.code == "model_target_invalid"
    assert "too long" in caught.value.message()


def test_a_path_with_blanks_and_chinese_characters_works(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, tmp_path: Path
) -> None:
    target = tmp_path / "我的 模型"
    assert download(make_settings(), ID, target=target) == target
    assert same(target, files)
    assert resolve(make_settings(), str(target)) == target


def test_delete_frees_what_it_says_and_leaves_other_folders_alone(
    hub: FakeHub, files: dict[str, bytes], make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings()
    folder = download(settings, ID)
    assert delete(settings, ID) >= sum(map(len, files.values()))
    assert not folder.exists()
    with pytest.raises(ModelError) as caught:
        delete(settings, ID)
    assert caught.value.code == "model_not_local"
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.json").write_text("{}")
    with pytest.raises(ModelError) as caught:
        delete(make_settings(model=str(own)), "own")
    assert caught.value.code == "model_delete_outside"
    assert own.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts disks of a given number of MiB; they are gone afterwards."""
    mounted: list[Path] = []

    def mount(mebibytes: int) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_too_small_a_disk_is_told_before_anything_is_fetched(
    hub: FakeHub, make_settings: MakeSettings, small_disk: Callable[[int], Path]
) -> None:
    error = failure(make_settings(models_dir=small_disk(8)))
    assert error.code == "model_disk_full"
    assert int(str(error.values["needed"])) > 12 * MIB > int(str(error.values["free"])) > 0
    assert str(error.values["needed"]) in error.message()
    assert hub.sent == 0


@BOTH
def test_a_disk_that_fills_up_on_the_way_is_told_and_the_rest_resumed(
    hub: FakeHub,
    files: dict[str, bytes],
    make_settings: MakeSettings,
    small_disk: Callable[[int], Path],
    source: Source,
) -> None:
    place = small_disk(64)
    settings = make_settings(source, models_dir=place)
    hold(hub)
    with Download(settings, ID) as running:
        half_way(hub, running)
        filler = place / "filler"
        with filler.open("wb", buffering=0) as out, pytest.raises(OSError, match="No space"):
            while True:
                out.write(bytes(MIB))
        release(hub)
        with pytest.raises(ModelError) as caught:
            running.wait(60)
    assert caught.value.code == "model_disk_full"
    assert 0 < int(str(caught.value.values["needed"])) < 12 * MIB
    assert int(str(caught.value.values["free"])) < MIB
    assert read_complete(running.folder) is None

    filler.unlink()
    assert same(download(settings, ID), files)
    assert hub.ranges(BIG)
