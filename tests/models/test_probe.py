"""The sensitivity probe: the same seed gives the same checkpoint, and the libraries that serve it can read it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import with_torch
from tests.in_engine import InEngine, in_engine
from vqa.engine.folder import check_folder
from vqa.errors import ModelError
from vqa.models.probe import PROBE_QUESTION, ensure_probe, probe_image, write_probe
from vqa.models.probe_text import VOCABULARY_SIZE, Architecture, vocabulary
from vqa.models.probe_weights import write_safetensors
from vqa.settings import PROJECT

SMALL = {"hidden_size": 128, "layers": 1}
__all__ = ["in_engine"]
BOTH = pytest.mark.parametrize("architecture", ["idefics3", "llava"])


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_the_default_probe_is_written_in_seconds_and_small(tmp_path: Path) -> None:
    began = time.monotonic()
    folder = ensure_probe(tmp_path)
    assert time.monotonic() - began < 10
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000_000
    check_folder(folder)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert ensure_probe(tmp_path) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


def test_a_probe_of_an_older_format_is_written_anew(tmp_path: Path) -> None:
    folder = write_probe(tmp_path / "probe", **SMALL)
    config = json.loads((folder / "config.json").read_text())
    config["vqa_probe"]["format"] = 0
    (folder / "config.json").write_text(json.dumps(config))
    small = digest(folder)
    assert digest(ensure_probe(tmp_path)) != small


def test_the_seed_fixes_every_byte(tmp_path: Path) -> None:
    same = [digest(write_probe(tmp_path / name, seed=7, **SMALL)) for name in ("a", "b")]
    other = digest(write_probe(tmp_path / "c", seed=8, **SMALL))
    assert same[0] == same[1] != other


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(ModelError) as caught:
        write_probe(tmp_path, **SMALL)
    assert caught.value.code == "model_target_not_ours"
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("sizes", [{"hidden_size": 900}, {"hidden_size": 0}, {"layers": 0}])
def test_sizes_that_cannot_be_used_are_refused(tmp_path: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiple of 128"):
        write_probe(tmp_path / "probe", **sizes)
    assert not (tmp_path / "probe").exists()


def test_writing_needs_neither_torch_nor_transformers(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from vqa.models.probe import write_probe; write_probe(pathlib.Path(sys.argv[1]));"
        "print([name for name in ('torch', 'transformers', 'modelscope', 'vllm') if name in sys.modules])"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "probe")]
    done = subprocess.run(arguments, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bfloat16_is_rounded_as_torch_rounds_it(tmp_path: Path, in_engine: InEngine) -> None:
    rng = np.random.default_rng(1)
    values = (rng.standard_normal(100_000) * 2.0 ** rng.integers(-100, 100, 100_000)).astype(np.float32)
    ties = (np.arange(4096, dtype=np.uint32) << 15 | 0x3F800000).view(np.float32)  # every second lies half way
    values = np.concatenate([values, ties, np.array([0.0, -0.0, 1e38, -1e38], np.float32)])
    np.save(tmp_path / "values.npy", values)
    write_safetensors(tmp_path / "one.safetensors", iter([("values", values)]), "bfloat16")
    check = with_torch.bfloat16_is_rounded_as_torch_rounds_it
    in_engine(check, tmp_path / "values.npy", tmp_path / "one.safetensors")


def test_tokens_are_distinct_and_words_plain_ascii() -> None:
    tokens = vocabulary()
    assert len(set(tokens)) == len(tokens) == VOCABULARY_SIZE
    assert all(token[1:].isascii() and token[1:].isalpha() for token in tokens[300:])


def test_the_probe_image_is_the_same_each_time() -> None:
    assert probe_image(3) == probe_image(3) != probe_image(4)
    with Image.open(BytesIO(probe_image())) as picture:
        assert picture.size == (224, 224)


@BOTH
@pytest.mark.slow
def test_transformers_finds_every_weight_and_no_other(
    tmp_path: Path, architecture: Architecture, in_engine: InEngine
) -> None:
    folder = write_probe(tmp_path / "probe", architecture=architecture, **SMALL)
    kind = {"idefics3": "Idefics3ForConditionalGeneration", "llava": "LlavaForConditionalGeneration"}[architecture]
    in_engine(with_torch.transformers_finds_every_weight_and_no_other, folder, kind)


@BOTH
@pytest.mark.slow
def test_the_prompt_fills_more_than_one_block_of_a_cpus_prefix_cache(
    tmp_path: Path, architecture: Architecture, in_engine: InEngine
) -> None:
    folder = write_probe(tmp_path / "probe", architecture=architecture, **SMALL)
    (tmp_path / "picture.png").write_bytes(probe_image())
    in_engine(with_torch.the_prompt_fills_more_than_one_block, folder, tmp_path / "picture.png", PROBE_QUESTION)
