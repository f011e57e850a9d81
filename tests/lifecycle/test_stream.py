"""An engine that dies in the middle of an answer: what had arrived is kept and marked, and the engine says it died."""

from pathlib import Path

import pytest

from tests.lifecycle.conftest import Make
from vqa.answers import Question
from vqa.client import BrokenStreamError, Client
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState


async def test_an_engine_that_dies_in_mid_answer_leaves_the_partial_answer(
    make: Make, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    switch = tmp_path / "switch"
    monkeypatch.setenv("FAKE_SWITCH", str(switch))
    engine = make()
    engine.start(spec)
    now = engine.wait(timeout=30)
    assert now.base_url is not None
    engine.quiet(60)
    switch.write_text("break")
    async with Client(now.base_url) as client:
        with pytest.raises(BrokenStreamError) as broken:
            await client.ask(Question("Count to three."))
    assert broken.value.partial.text == "One two "
    assert engine.wait(lambda now: now.state is EngineState.FAILED, 30).state is EngineState.FAILED
