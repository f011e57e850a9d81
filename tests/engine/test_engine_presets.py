"""Presets are kept by name, one file, never half written; vLLM's own help is found."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vqa.engine.presets import delete_preset, get_preset, load_presets, save_preset
from vqa.engine.spec import EngineSpec
from vqa.engine.vllm_args import help_texts
from vqa.errors import InputError
from vqa.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_a_preset_is_found_again_replaced_and_removed(settings: Settings) -> None:
    save_preset(settings, "快 的", EngineSpec("/m", max_num_seqs=1))
    save_preset(settings, "a", EngineSpec("/m"))
    save_preset(settings, "a", EngineSpec("/m", seed=3).with_profile("serial"))
    assert list(load_presets(settings)) == ["a", "快 的"]
    assert get_preset(settings, "a") == EngineSpec("/m", seed=3, profile="serial")
    delete_preset(settings, "a")
    with pytest.raises(InputError, match="no preset"):
        get_preset(settings, "a")
    with pytest.raises(InputError, match="No preset is chosen"):
        delete_preset(settings, "")


@pytest.mark.parametrize("name", ["", " ", "../x", "x" * 61, "a/b", "a\nb"])
def test_a_name_that_cannot_be_shown_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(InputError):
        save_preset(settings, name, EngineSpec("/m"))


def test_a_damaged_file_counts_as_none(settings: Settings) -> None:
    (settings.data_dir / "engine").mkdir()
    (settings.data_dir / "engine" / "presets.json").write_text("{")
    assert load_presets(settings) == {}
    save_preset(settings, "a", EngineSpec("/m"))
    assert list(json.loads((settings.data_dir / "engine" / "presets.json").read_text())) == ["a"]


def test_the_operators_own_flags_are_not_saved_but_those_of_a_pasted_command_are(settings: Settings) -> None:
    own = "--middleware a.b --kv-cache-dtype fp8 --max-logprobs=20"
    operated = settings.model_copy(update={"engine_args": own})
    spec = EngineSpec("/m", max_num_seqs=2, extra_args=(*own.split(), "--block-size=32"))
    save_preset(operated, "a", spec)
    assert get_preset(operated, "a") == replace(spec, extra_args=("--block-size=32",))
    stored = (settings.data_dir / "engine" / "presets.json").read_text()
    for word in own.split():
        assert word not in stored


def test_what_only_the_operator_may_give_is_not_taken_from_a_file(settings: Settings) -> None:
    path = settings.data_dir / "engine" / "presets.json"
    path.parent.mkdir()
    spec = EngineSpec("/m", extra_args=("--middleware=a.b", "--worker-cls", "c.D", "--max-logprobs=5"))
    path.write_text(json.dumps({"old": spec.to_dict()}))
    assert get_preset(settings, "old").extra_args == ("--max-logprobs=5",)


def test_vllm_own_help_is_read_from_its_source(settings: Settings) -> None:
    texts = help_texts(settings)
    assert "context length" in texts["max_model_len"]
    assert len(texts) >= 18
    assert "vllm" not in sys.modules
