"""Where a download goes: revisions, folders that cannot be, full disks, and what is deleted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.models.conftest import BIG, ID, MakeSettings
from tests.models.downloading import BOTH, MIB, failure, half_way, hold, release, same
from vqa.errors import ModelError
from vqa.models.download import Download, download
from vqa.models.ids import Source, folder_of
from vqa.models.listing import read_complete
from vqa.models.local import LocalState, NeedsDownload, list_local, resolve
from vqa.models.removal import delete
from vqa.models.serve import plan_start


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
    assert prepare(spec, lambda _: None, lambda: False).model == spec.model
    assert spec.model.endswith("tiny-vl@v1")
    assert plan_start(settings, f"{ID}@v1")[1] is None
    assert plan_start(settings, ID)[1] is not None


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
