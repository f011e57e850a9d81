"""Models on disk: which folder a name means, what is listed, and what a listing is compared with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.checkpoint import write_checkpoint
from tests.models.conftest import ID, MakeSettings
from vqa.errors import ModelError, VQAError
from vqa.models.listing import HubFile, Listing, choose, read_complete, safe_path, write_complete, write_planned
from vqa.models.local import LocalState, NeedsDownload, list_local, resolve
from vqa.models.removal import delete
from vqa.models.verify import measure, verify


def listing(files: dict[str, bytes]) -> Listing:
    entries = tuple(HubFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items())
    return Listing(ID, "modelscope", None, None, entries)


def put(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


FILES = {"config.json": b'{"architectures": ["A"]}', "a/model.safetensors": b"weights" * 100}


def test_an_own_folder_is_served_as_it_is(make_settings: MakeSettings, tmp_path: Path) -> None:
    own = write_checkpoint(tmp_path / "我的 checkpoint")
    assert resolve(make_settings(), str(own)) == own
    (found,) = [each for each in list_local(make_settings(model=str(own))) if each.path == own]
    assert (found.state, found.architecture, found.problem) == (
        LocalState.OWN,
        "LlavaForConditionalGeneration",
        None,
    )


def test_own_folders_inside_the_models_folder_are_found_at_one_and_two_levels(make_settings: MakeSettings) -> None:
    settings = make_settings()
    write_checkpoint(settings.models_path / "mine")
    write_checkpoint(settings.models_path / "team" / "ours")
    (settings.models_path / "empty").mkdir()
    assert {each.id for each in list_local(settings)} - {"demo"} == {"mine", "team/ours"}


def test_a_folder_that_lacks_a_shard_is_named_with_the_shard(make_settings: MakeSettings, tmp_path: Path) -> None:
    own = write_checkpoint(tmp_path / "own", shards=2)
    (own / "model-1.safetensors").unlink()
    with pytest.raises(VQAError) as caught:
        resolve(make_settings(), str(own))
    assert "model-1.safetensors" in caught.value.message()
    (found,) = [each for each in list_local(make_settings(model=str(own))) if each.path == own]
    assert found.problem is not None


@pytest.mark.parametrize("wanted", ["/no/such/folder", "./nothing", "~/nothing", "../../x", "a/b/c"])
def test_what_looks_like_a_path_is_never_looked_for_on_a_hub(make_settings: MakeSettings, wanted: str) -> None:
    with pytest.raises(VQAError) as caught:
        resolve(make_settings(), wanted)
    assert caught.value.code == "model_folder_missing"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ("n" * 300, "model_id_invalid"),
        ("owner/" + "n" * 300, "model_id_invalid"),
        ("owner/name@" + "r" * 300, "model_revision_invalid"),
        ("/" + "n" * 300, "model_folder_unreadable"),
        ("~no-such-user-here/x", "model_folder_missing"),
        ("owner/na\0me", "model_id_invalid"),
    ],
)
def test_a_name_that_no_file_system_takes_is_told(make_settings: MakeSettings, wanted: str, code: str) -> None:
    with pytest.raises(VQAError) as caught:
        resolve(make_settings(), wanted)
    assert caught.value.code == code
    assert [each.id for each in list_local(make_settings(model=wanted))] == ["demo"]


def test_folders_of_one_name_are_told_apart(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    one = write_checkpoint(settings.models_path / "mine")
    other = write_checkpoint(tmp_path / "elsewhere" / "mine")
    settings = make_settings(model=str(other))
    assert {each.id: each.path for each in list_local(settings)}.items() >= {"mine": one, str(other): other}.items()
    delete(settings, "mine")
    assert not one.exists()
    assert other.exists()


def test_an_id_is_downloaded_once_and_an_interrupted_one_again(make_settings: MakeSettings) -> None:
    settings = make_settings()
    wanted = resolve(settings, ID)
    assert isinstance(wanted, NeedsDownload)
    assert wanted.model_id == ID
    put(wanted.folder, FILES)
    write_planned(wanted.folder, listing(FILES))
    begun = resolve(settings, ID)
    assert isinstance(begun, NeedsDownload)
    with pytest.raises(ModelError) as caught:
        resolve(settings, str(wanted.folder))
    assert caught.value.code == "model_incomplete"
    write_complete(wanted.folder, listing(FILES))
    assert resolve(settings, ID) == wanted.folder
    (wanted.folder / "a/model.safetensors").unlink()
    assert isinstance(resolve(settings, ID), NeedsDownload)


def test_a_download_begun_anew_takes_the_completion_mark_back(tmp_path: Path) -> None:
    write_complete(tmp_path, listing(FILES))
    assert read_complete(tmp_path) == listing(FILES)
    write_planned(tmp_path, listing(FILES))
    assert read_complete(tmp_path) is None


def test_a_damaged_mark_counts_as_none(tmp_path: Path) -> None:
    write_complete(tmp_path, listing(FILES))
    mark = tmp_path / ".vqa" / "complete.json"
    mark.write_text(mark.read_text()[:50])
    assert read_complete(tmp_path) is None


def test_missing_short_and_changed_files_are_told_apart(tmp_path: Path) -> None:
    files = {"same": b"1", "missing": b"2", "short": b"333", "changed": b"4444"}
    put(tmp_path, files)
    assert not verify(tmp_path, listing(files))
    (tmp_path / "missing").unlink()
    (tmp_path / "short").write_bytes(b"33")
    (tmp_path / "changed").write_bytes(b"4443")
    found = verify(tmp_path, listing(files))
    assert (found.missing, found.corrupt) == (("missing",), ("short", "changed"))


def test_gits_own_hash_is_checked_where_the_hub_gives_no_other(tmp_path: Path) -> None:
    # `printf 'hello\n' | git hash-object --stdin`
    file = HubFile("a", 6, git_sha1="ce013625030ba8dba906f756967f9e9ca394464a")
    listed = Listing(ID, "huggingface", None, None, (file,))
    put(tmp_path, {"a": b"hello\n"})
    assert not verify(tmp_path, listed)
    put(tmp_path, {"a": b"hellO\n"})
    assert verify(tmp_path, listed).corrupt == ("a",)


def test_partial_files_count_with_their_bytes(tmp_path: Path) -> None:
    files = {"whole": b"12345", "part": b"1234567890"}
    put(tmp_path, {"whole": b"12345", "part.incomplete": b"123"})
    found = measure(tmp_path, listing(files))
    assert (found.files, found.bytes, found.partial) == (1, 8, ("part",))


def test_parts_that_are_being_put_together_count_once(tmp_path: Path) -> None:
    listed = listing({"large": b"123456789"})
    put(tmp_path, {"large_0_2": b"123", "large_3_5": b"456", "large_6_8": b"78"})
    assert measure(tmp_path, listed).bytes == 8
    put(tmp_path, {"large.parallel_tmp": b"12"})
    assert measure(tmp_path, listed).bytes == 8
    (tmp_path / "large_0_2").unlink()
    put(tmp_path, {"large.parallel_tmp": b"12345"})
    assert measure(tmp_path, listed).bytes == 8
    for part in ("large_3_5", "large_6_8"):
        (tmp_path / part).unlink()
    put(tmp_path, {"large.parallel_tmp": b"12345678"})
    assert measure(tmp_path, listed).bytes == 8


@given(st.text(min_size=1, max_size=30))
def test_a_path_called_safe_stays_inside(path: str) -> None:
    base = Path("/models/one")
    if safe_path(path):
        joined = Path(*(base / path).parts)
        assert ".." not in joined.parts
        assert base in joined.parents


@pytest.mark.parametrize(
    "path", ["..", "a/../b", "/a", "\\a", "..\\a", "C:\\a", "C:a", "a//b", "./a", ".vqa/x", "a\0b", ""]
)
def test_paths_that_could_leave_the_folder_are_unsafe(path: str) -> None:
    assert not safe_path(path)


def test_other_formats_are_kept_when_there_are_no_safetensors() -> None:
    files = [HubFile("pytorch_model.bin", 1), HubFile("config.json", 1)]
    assert choose(files) == (tuple(sorted(files, key=lambda file: file.path)), ())
    kept, left = choose([*files, HubFile("model.safetensors", 1)])
    assert [file.path for file in kept] == ["config.json", "model.safetensors"]
    assert left == ("pytorch_model.bin",)
    assert choose([*files, HubFile("model.safetensors", 1)], all_files=True)[1] == ()
