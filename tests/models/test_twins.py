"""Twins of the catalog's models: the published sizes, the published markers, the same bytes for the same seed."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scripts.models_table import PAGE, page_with
from vqa.cli import main
from vqa.errors import ModelError
from vqa.models.catalog import find
from vqa.models.tried import trials
from vqa.models.twins import weights
from vqa.models.twins.tensors import Tensor
from vqa.models.twins.weights import write_weights
from vqa.models.twins.write import TWINS, plan_twin, write_twin

INTERNVL = "OpenGVLab/InternVL2_5-1B"
PARAMETERS = {
    "google/gemma-3-4b-it": 4_300_000_000,
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": 894_000_000,
    "zai-org/GLM-4.1V-9B-Thinking": 10_290_000_000,
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": 24_010_000_000,
}
"""As published, of models that the catalog does not offer."""


def header(path: Path) -> tuple[dict[str, dict[str, object]], int]:
    """The header of a safetensors file, and where its values begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)), 8 + length


def read(path: Path, name: str) -> np.ndarray:
    entries, start = header(path)
    first, end = entries[name]["data_offsets"]
    bits = np.frombuffer(path.read_bytes()[start + first : start + end], "<u2").astype("<u4") << 16
    return bits.view("<f4").reshape(entries[name]["shape"])


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("model_id", TWINS)
def test_a_full_twin_is_as_large_as_the_published_model(model_id: str) -> None:
    entry = find(model_id)
    published = entry.bytes_on_disk if entry else 2 * PARAMETERS[model_id]
    size = 2 * sum(tensor.elements for tensor in plan_twin(model_id, full=True).tensors())
    assert size == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize("model_id", TWINS)
@pytest.mark.parametrize("full", [False, True])
def test_a_twin_has_the_architecture_of_the_catalog_and_no_name_twice(model_id: str, full: bool) -> None:
    checkpoint = plan_twin(model_id, full=full)
    names = [tensor.name for tensor in checkpoint.tensors()]
    entry = find(model_id)
    assert entry is None or checkpoint.config["architectures"] == [entry.architecture]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("model_id", "marker", "number"),
    [
        (INTERNVL, "<|im_end|>", 151645),
        (INTERNVL, "</box>", 151673),
        ("OpenGVLab/InternVL2_5-2B", "<|im_end|>", 92542),
        ("OpenGVLab/InternVL2_5-2B", "<img>", 92544),
        ("Qwen/Qwen2.5-VL-3B-Instruct", "<|image_pad|>", 151655),
        ("Qwen/Qwen3-VL-8B-Instruct", "<|vision_start|>", 151652),
        ("Qwen/Qwen3-VL-8B-Instruct", "</think>", 151668),
        ("Qwen/Qwen3.5-0.8B", "<|image_pad|>", 248056),
        ("HuggingFaceTB/SmolVLM-256M-Instruct", "<end_of_utterance>", 49279),
        ("HuggingFaceTB/SmolVLM-Instruct", "<image>", 49153),
        ("LiquidAI/LFM2.5-VL-450M", "<image>", 396),
        ("google/gemma-3-4b-it", "<image_soft_token>", 262144),
        ("zai-org/GLM-4.1V-9B-Thinking", "<|image|>", 151343),
    ],
)
def test_markers_of_a_full_twin_have_their_published_ids(model_id: str, marker: str, number: int) -> None:
    assert plan_twin(model_id, full=True).vocabulary.ids[marker] == number


def test_every_word_of_a_vocabulary_is_put_together_from_tokens_that_it_has() -> None:
    words = plan_twin(INTERNVL, full=True).vocabulary
    content = words.tokenizer_json()
    merges = [tuple(merge.split(" ")) for merge in content["model"]["merges"]]
    made = {left + right for left, right in merges}
    assert len(words.ids) == 151674
    assert sorted(words.ids.values()) == list(range(151674))
    assert all(left in words.ids and right in words.ids for left, right in merges)
    assert made == set(words.ids) - set(words.markers) - {token for token in words.ids if len(token) == 1}


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_cores_and_another_seed_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_twin(INTERNVL, tmp_path / "one", seed=3)
    monkeypatch.setattr(weights.os, "cpu_count", lambda: 1)
    write_twin(INTERNVL, tmp_path / "two", seed=3)
    write_twin(INTERNVL, tmp_path / "three", seed=4)
    one, two, three = (digest(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert {name for name in one if one[name] != three[name]} == {"model.safetensors", "config.json"}


def test_weights_spread_as_is_asked_and_quiet_rows_less(tmp_path: Path) -> None:
    tensors = [
        Tensor("plain", (512, 256)),
        Tensor("wide", (300, 400), 2.0),
        Tensor("head", (1000, 256), 1.0, quiet=((900, 1000), (0, 100))),
        Tensor("norm", (64,), value=0.3),
    ]
    assert write_weights(tmp_path, tensors, 0) == 2 * sum(tensor.elements for tensor in tensors)
    file = tmp_path / "model.safetensors"
    assert read(file, "plain").std() == pytest.approx(1 / 16, rel=0.02)
    assert abs(read(file, "plain").mean()) < 0.001
    assert read(file, "wide").std() == pytest.approx(2.0, rel=0.02)
    head = read(file, "head")
    assert [head[a:b].std() for a, b in ((0, 100), (100, 900), (900, 1000))] == pytest.approx([0.02, 1, 0.02], rel=0.03)
    assert set(read(file, "norm")) == {np.float32(0.30078125)}  # the bfloat16 next to 0.3


def test_large_weights_come_in_shards_that_the_index_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = list(plan_twin(INTERNVL).tensors())
    write_weights(tmp_path, tensors, 0)
    whole = tmp_path / "model.safetensors"
    monkeypatch.setattr(weights, "SHARD_BYTES", 2_000_000)
    parts = tmp_path / "parts"
    parts.mkdir()
    total = write_weights(parts, tensors, 0)
    index = json.loads((parts / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == {tensor.name for tensor in tensors}
    assert len(set(index["weight_map"].values())) > 2
    assert index["metadata"]["total_size"] == total
    for name, file in index["weight_map"].items():
        assert np.array_equal(read(parts / file, name), read(whole, name))
    for file in set(index["weight_map"].values()):
        entries, start = header(parts / file)
        entries.pop("__metadata__")
        places = [entry["data_offsets"] for entry in entries.values()]
        assert all(left[1] == right[0] for left, right in pairwise(places))
        assert start + places[-1][1] == (parts / file).stat().st_size


def test_a_twin_replaces_an_older_one_and_nothing_else(tmp_path: Path) -> None:
    write_twin(INTERNVL, tmp_path / "twin")
    write_twin("Qwen/Qwen3-VL-2B-Instruct", tmp_path / "twin")
    assert json.loads((tmp_path / "twin" / "config.json").read_text())["model_type"] == "qwen3_vl"
    assert not (tmp_path / "twin" / "configuration_internvl_chat.py").exists()
    other = tmp_path / "mine"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(ModelError, match="other files"):
        write_twin(INTERNVL, other)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_command_writes_a_twin_and_says_of_what_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["twin", "qwen/qwen2.5-vl-3b-instruct", str(tmp_path / "twin"), "--tiny"]) == 0
    assert (tmp_path / "twin" / "model.safetensors").stat().st_size < 20_000_000
    assert capsys.readouterr().out.startswith(str(tmp_path / "twin"))
    for unknown, said in (
        ("owner/unheard-of", "no twin"),
        ("openbmb/MiniCPM-V-2_6", "publisher ships"),
        ("mistralai/Pixtral-12B-2409", "mistral_common"),
    ):
        assert main(["twin", unknown, str(tmp_path / "other")]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert INTERNVL in error
    assert not (tmp_path / "other").exists()


def test_the_page_of_models_shows_what_was_tried(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with(page, list(trials()))
    assert [trial.id for trial in trials() if trial.problem] == []
