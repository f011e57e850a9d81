"""Folders as people have them: laid by hand, fine-tuned, damaged, in the caches of the hubs' clients."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.checkpoint import safetensors_bytes, write_adapter, write_checkpoint
from tests.models.conftest import MakeSettings
from vqa.cli import main
from vqa.cli.planning import plan
from vqa.engine.folder import check_folder
from vqa.errors import InputError, ModelError, VQAError
from vqa.models.bases import completable
from vqa.models.listing import HubFile, choose
from vqa.models.local import LocalState, NeedsDownload, list_local, resolve
from vqa.models.lora import split_lora
from vqa.models.removal import delete
from vqa.models.serve import plan_start
from vqa.text import LANGUAGES

ID = "OpenGVLab/InternVL2_5-1B"


def refused(folder: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        check_folder(folder)
    for language in ("en", "zh"):
        assert "{" not in caught.value.message(language) + caught.value.hint(language)
    return caught.value


def cut(folder: Path) -> None:
    (folder / "model-0.safetensors").write_bytes(safetensors_bytes()[:-2])


def empty(folder: Path) -> None:
    (folder / "model-0.safetensors").write_bytes(b"")


def pointer(folder: Path) -> None:
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 4\n"
    (folder / "model-0.safetensors").write_text(text)


def dangling(folder: Path) -> None:
    (folder / "model-0.safetensors").unlink()
    (folder / "model-0.safetensors").symlink_to("../blobs/gone")


def only_training_args(folder: Path) -> None:
    (folder / "model-0.safetensors").unlink()
    (folder / "model.safetensors.index.json").unlink()
    (folder / "training_args.bin").write_bytes(b"pickled")


def gguf(folder: Path) -> None:
    only_training_args(folder)
    (folder / "model-q4.gguf").write_bytes(b"GGUF")


def nested(folder: Path) -> None:
    only_training_args(folder)
    write_checkpoint(folder / "checkpoint-500")


@pytest.mark.parametrize(
    ("damage", "code", "named"),
    [
        (cut, "model_folder_cut", "model-0.safetensors"),
        (empty, "model_folder_cut", "model-0.safetensors"),
        (pointer, "model_folder_lfs", "model-0.safetensors"),
        (dangling, "model_folder_dangling", "model-0.safetensors"),
        (only_training_args, "model_folder_without_weights", "weights"),
        (gguf, "model_folder_gguf", "GGUF"),
        (nested, "model_folder_nested", "checkpoint-500"),
    ],
)
def test_a_folder_without_whole_weights_says_what_it_is(
    damage: Callable[[Path], None], code: str, named: str, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "mine")
    check_folder(folder)
    damage(folder)
    error = refused(folder)
    assert error.code == code
    assert named in error.message()


def test_weights_in_mistrals_own_layout_are_weights(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text("{}")
    (tmp_path / "consolidated.safetensors").write_bytes(safetensors_bytes())
    check_folder(tmp_path)


def test_an_adapter_is_told_with_its_base_and_how_to_serve_both(tmp_path: Path) -> None:
    error = refused(write_adapter(tmp_path / "my-lora", "Qwen/Qwen2.5-VL-3B-Instruct"))
    assert error.code == "model_folder_lora"
    assert "Qwen/Qwen2.5-VL-3B-Instruct" in error.message()
    assert f"--lora my-lora={tmp_path / 'my-lora'}" in error.hint()


def test_an_adapter_goes_to_vllm_with_a_rank_that_it_takes(tmp_path: Path) -> None:
    small, large = write_adapter(tmp_path / "s", "b", rank=4), write_adapter(tmp_path / "l", "b", rank=48)
    words, flags = split_lora(["--lora", f"one={small}", "--dtype=float32", f"--lora=two={large}"])
    assert words == ["--dtype=float32"]
    assert flags == ("--enable-lora", "--max-lora-rank=64", "--lora-modules", f"one={small}", f"two={large}")
    assert split_lora(["--dtype=float32"]) == (["--dtype=float32"], ())
    for bad in ("name-only", f"x={tmp_path / 'nowhere'}", f"x={write_checkpoint(tmp_path / 'whole')}"):
        with pytest.raises(InputError):
            split_lora(["--lora", bad])


def test_serving_with_an_adapter_adds_vllms_flags(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqa.cli import planning

    monkeypatch.setattr(planning, "learn_flags", lambda *_: None)  # vLLM's own parser, which is not here
    adapter = write_adapter(tmp_path / "mine", "demo")
    spec, prepare = planning.plan(make_settings(), "demo", None, None, ["--lora", f"mine={adapter}", "--seed=3"])
    assert f"--enable-lora --max-lora-rank 8 --lora-modules mine={adapter}" in spec.command()
    assert (spec.seed, prepare) == (3, None)


def test_one_bad_folder_hides_no_other(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings()
    good = write_checkpoint(settings.models_path / "good")
    bad = write_checkpoint(settings.models_path / "bad")
    dangling(bad)
    locked = settings.models_path / "lost+found"
    locked.mkdir()
    looked = Path.is_file

    def is_file(path: Path) -> bool:
        if locked in path.parents:  # what a user who is not root meets
            raise PermissionError(13, "Permission denied", str(path))
        return looked(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    found = {model.id: model for model in list_local(settings)}
    assert found["good"].problem is None
    assert found["bad"].problem is not None
    assert found["bad"].problem.code == "model_folder_dangling"
    assert "lost+found" not in found
    assert resolve(settings, "good") == good
    with pytest.raises(VQAError):
        resolve(settings, "bad")
    assert delete(settings, "bad") > 0
    assert not bad.exists()


def test_the_page_says_what_is_wrong_with_a_folder_in_a_sentence_that_wraps(make_settings: MakeSettings) -> None:
    from vqa.ui.server.models_view import models_html

    settings = make_settings()
    dangling(write_checkpoint(settings.models_path / "bad"))
    shown = models_html(settings, "en")
    before, _, _ = shown.partition("is a link that leads nowhere")
    # A badge stays in one line and would push all other columns together.
    assert before.rfind("<small>") > before.rfind("vqa-badge")
    assert "cannot be served" in before


def test_a_checkpoint_laid_under_its_id_by_hand_is_served(make_settings: MakeSettings) -> None:
    settings = make_settings()
    assert isinstance(resolve(settings, ID), NeedsDownload)
    folder = write_checkpoint(settings.models_path / ID)
    assert resolve(settings, ID) == folder
    assert resolve(settings, ID.lower()) == folder
    (listed,) = [model for model in list_local(settings) if model.path == folder]
    assert (listed.id, listed.state, listed.problem) == (ID, LocalState.OWN, None)
    spec, prepare = plan_start(settings, ID)
    assert (spec.model, prepare) == (str(folder), None)
    cut(folder)
    with pytest.raises(InputError) as caught:
        resolve(settings, ID)
    assert caught.value.code == "model_folder_cut"


def test_every_name_that_is_listed_is_taken(make_settings: MakeSettings) -> None:
    settings = make_settings()
    for name in ("mine", "team/ours", "我的/模型", "v1.0 final"):
        write_checkpoint(settings.models_path / name)
    for model in list_local(settings):
        assert resolve(settings, model.id) == model.path.resolve()


def test_a_fine_tuned_folder_names_what_it_lacks_and_takes_it_from_its_base(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings()
    base = write_checkpoint(settings.models_path / ID, vision_config={})
    (base / "preprocessor_config.json").write_text("{}")
    (base / "chat_template.jinja").write_text("{{ messages }}")
    tuned = write_checkpoint(tmp_path / "checkpoint-500", tokenizer=False, vision_config={})
    (tuned / "args.json").write_text(json.dumps({"model": ID}))
    with pytest.raises(InputError) as caught:
        resolve(settings, str(tuned))
    assert caught.value.code == "model_folder_lacks"
    assert "tokenizer.json, preprocessor_config.json, chat_template.jinja" in caught.value.message()
    assert ID in caught.value.hint()
    assert completable(settings, list_local(make_settings(model=str(tuned)))) == {tuned: base}
    monkeypatch.setenv("VQA_DATA_DIR", str(settings.data_dir))
    assert main(["complete", str(tuned)]) == 0
    assert "chat_template.jinja" in capsys.readouterr().out
    assert resolve(settings, str(tuned)) == tuned
    assert main(["complete", str(tuned), "--base", "Qwen/Qwen2.5-VL-3B-Instruct"]) == 2


def test_a_model_that_takes_pictures_needs_a_chat_template_wherever_it_stands(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings()
    tuned, base = (write_checkpoint(tmp_path / name, vision_config={}) for name in ("tuned", "base"))
    for folder in (tuned, base):
        (folder / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError) as caught:
        plan_start(settings, str(tuned))
    assert (caught.value.code, caught.value.values["files"]) == ("model_folder_lacks_unnamed", "chat_template.jinja")
    assert all(
        str(tuned) in caught.value.hint(language) and "-)" not in caught.value.hint(language) for language in LANGUAGES
    )
    assert plan_start(settings, str(tuned), chat_template="{{ messages }}")[0].chat_template == "{{ messages }}"
    assert plan(settings, str(tuned), None, None, ["--chat-template", "mine.jinja"])[0].chat_template == "mine.jinja"
    assert plan_start(make_settings(engine_args="--chat-template=mine.jinja"), str(tuned))[1] is None
    (base / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    assert resolve(settings, str(base)) == base
    monkeypatch.setenv("VQA_DATA_DIR", str(settings.data_dir))
    assert main(["complete", str(tuned), "--base", str(base)]) == 0
    assert (tuned / "chat_template.jinja").read_text() == "{{ messages }}"
    assert resolve(settings, str(tuned)) == tuned


@pytest.mark.parametrize(
    ("config", "beside"),
    [
        ({"model_type": "paligemma"}, {}),  # vLLM brings one
        ({}, {"tekken.json": "{}"}),
        ({}, {"chat_template.json": "{}"}),
        ({}, {"processor_config.json": '{"chat_template": "{{ messages }}"}'}),
        ({}, {"tokenizer_config.json": '{"chat_template": [{"name": "default", "template": "x"}]}'}),
    ],
)
def test_a_chat_template_is_not_missed_where_there_is_one(
    make_settings: MakeSettings, tmp_path: Path, config: dict[str, str], beside: dict[str, str]
) -> None:
    folder = write_checkpoint(tmp_path / "whole", vision_config={}, **config)
    for name, text in ({"preprocessor_config.json": "{}"} | beside).items():
        (folder / name).write_text(text)
    assert resolve(make_settings(), str(folder)) == folder


def test_models_in_the_clients_caches_are_listed_under_the_hubs_names_and_served_in_place(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    home = tmp_path / "home" / ".cache"
    scope = write_checkpoint(home / "modelscope" / "hub" / "models" / "Qwen" / "Qwen2___5-VL-3B-Instruct")
    hub = home / "huggingface" / "hub" / "models--OpenGVLab--InternVL2_5-1B"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text("c2")
    old, new = (write_checkpoint(hub / "snapshots" / commit) for commit in ("c1", "c2"))
    os.utime(old, (2_000_000_000, 2_000_000_000))
    settings = make_settings()
    found = {model.id: model for model in list_local(settings) if model.state is LocalState.CACHED}
    assert {name: (model.path, model.source) for name, model in found.items()} == {
        "Qwen/Qwen2.5-VL-3B-Instruct": (scope, "modelscope"),
        ID: (new, "huggingface"),
        f"{ID}@c1": (old, "huggingface"),
    }
    assert resolve(settings, "qwen/qwen2.5-vl-3b-instruct") == scope
    assert resolve(settings, ID) == new
    before = sorted(path for path in home.rglob("*"))
    with pytest.raises(ModelError) as caught:
        delete(settings, ID)
    assert caught.value.code == "model_delete_outside"
    assert sorted(path for path in home.rglob("*")) == before
    cut(new)
    assert isinstance(resolve(settings, ID), NeedsDownload)


def listed(*files: tuple[str, int]) -> list[HubFile]:
    return [HubFile("config.json", 1), *(HubFile(path, size) for path, size in files)]


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        ([("consolidated.safetensors", 100)], {"consolidated.safetensors"}),
        ([("consolidated.safetensors", 100), ("model.safetensors", 100)], {"model.safetensors"}),
        ([("pytorch_model.bin", 100), ("projector.safetensors", 5)], {"pytorch_model.bin", "projector.safetensors"}),
        ([("pytorch_model.bin", 200), ("model.safetensors", 100)], {"model.safetensors"}),
        ([("model.safetensors", 100), ("model-q4.gguf", 30), ("original/x.pth", 100)], {"model.safetensors"}),
    ],
)
def test_one_layout_of_the_weights_is_fetched_and_never_none(files: list[tuple[str, int]], kept: set[str]) -> None:
    chosen, left = choose(listed(*files))
    assert {file.path for file in chosen} == kept | {"config.json"}
    assert {*left} == {path for path, _ in files} - kept


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([("model-q4.gguf", 100)], "model_listing_gguf"),
        ([("README.md", 100)], "model_listing_without_weights"),
        ([("unet/model.safetensors", 100)], "model_listing_without_weights"),
        ([("training_args.bin", 100)], "model_listing_without_weights"),
    ],
)
def test_a_model_without_weights_is_never_complete(files: list[tuple[str, int]], code: str) -> None:
    with pytest.raises(ModelError) as caught:
        choose(listed(*files))
    assert caught.value.code == code
    assert len(choose(listed(*files), all_files=True)[0]) == 2
