"""The start that nobody pressed a button for: what stops it stands where the engine's state is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.conftest import MakeSettings
from vqa.engine.opening import open_engine
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.models.serve import plan_start, start_configured


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ({"model": "/no/such/folder"}, "errors.model_folder_missing"),
        ({"vllm_python": Path("/bin/false")}, "errors.engine_not_installed"),
    ],
)
def test_a_start_that_cannot_even_begin_shows_why(
    make_settings: MakeSettings, chosen: dict[str, object], code: str
) -> None:
    settings = make_settings(**chosen)
    engine = open_engine(settings, kind="page")
    try:
        start_configured(engine, settings)
        now = engine.snapshot()
        assert (now.state, now.failure and now.failure.code) == (EngineState.FAILED, code)
        assert now.failure is not None
        assert now.failure.message("en") != now.failure.message("zh")
        assert now.failure.hint("en")
        engine.stop()
        assert (engine.snapshot().state, engine.snapshot().failure) == (EngineState.STOPPED, None)
    finally:
        engine.close()


def test_the_bundled_model_writes_json_without_white_space_and_its_command_can_be_pasted(
    make_settings: MakeSettings,
) -> None:
    spec = plan_start(make_settings(), "demo")[0]
    assert "--structured-outputs-config.disable_any_whitespace=true" in spec.flags()
    assert EngineSpec.from_command(spec.command()).extra_args == spec.extra_args
    own = ("--structured-outputs-config.backend=xgrammar",)
    asked = plan_start(make_settings(engine_args=" ".join(own)), "demo")[0].extra_args
    assert [word for word in asked if "structured" in word] == list(own), "the operator's own choice stands"
