"""Engines of several profiles side by side: real processes, each with a port and a folder of its own, none left."""

import asyncio
from pathlib import Path

from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.engine.supervisor import BESIDE
from vqa.errors import EngineError
from vqa.lab.certificate.side_by_side import KV_CACHE_BYTES, neighbours, settled, side_by_side
from vqa.settings import Settings


def specs(model: Path, port: int, *names: str) -> dict[str, EngineSpec]:
    spec = EngineSpec(str(model), served_model_name="probe", port=port)
    return neighbours({name: spec.with_profile(name) for name in names}, cuda=False)


def test_every_profile_serves_on_a_port_of_its_own_and_all_are_gone_in_the_end(settings: Settings, model: Path) -> None:
    wanted = specs(model, settings.engine_port, "default", "float32", "serial")
    assert len({spec.port for spec in wanted.values()}) == 3

    async def run() -> list[EngineState]:
        async with side_by_side(settings, wanted) as started:
            await settled(started)
            engines = [each[0] for each in started.values() if not isinstance(each, EngineError)]
            assert [engine.snapshot().spec for engine in engines] == list(wanted.values())
            seen = [engine.snapshot().state for engine in engines]
        return seen + [engine.snapshot().state for engine in engines]

    assert asyncio.run(run()) == [EngineState.READY] * 3 + [EngineState.STOPPED] * 3
    assert {path.name for path in (settings.data_dir / BESIDE).iterdir()} == set(wanted)


def test_one_that_cannot_be_started_is_told_and_the_others_serve(settings: Settings, model: Path) -> None:
    wanted = specs(model, settings.engine_port, "default", "float32")
    wanted["float32"] = EngineSpec(str(model.parent / "nowhere"), port=wanted["float32"].port)

    async def run() -> EngineState:
        async with side_by_side(settings, wanted) as started:
            await settled(started)
            assert isinstance(started["float32"], EngineError)
            assert not isinstance(started["default"], EngineError)
            return started["default"][0].snapshot().state

    assert asyncio.run(run()) is EngineState.READY


def test_one_that_hangs_is_stopped_so_that_the_others_can_be_measured(
    settings: Settings, model: Path, tmp_path: Path, python: Path
) -> None:
    wanted = specs(model, settings.engine_port, "default", "float32")
    slow = tmp_path / "slow-python"
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *--dtype=float32*) FAKE_LOG=silent; export FAKE_LOG;; esac\nexec "{python}" "$@"\n',
        encoding="utf-8",
    )
    slow.chmod(0o755)

    async def run() -> dict[str, EngineState]:
        async with side_by_side(settings.model_copy(update={"vllm_python": slow}), wanted) as started:
            await settled(started, least=0.5)
            pairs = {name: each for name, each in started.items() if not isinstance(each, EngineError)}
            return {name: engine.snapshot().state for name, (engine, _) in pairs.items()}

    assert asyncio.run(run()) == {"default": EngineState.READY, "float32": EngineState.STOPPED}


def test_gpus_are_shared_out() -> None:
    spec = EngineSpec("models/probe", extra_args=("--block-size=16",))
    shared = neighbours({"default": spec, "serial": spec.with_profile("serial")}, cuda=True)
    assert [each.gpu_memory_utilization for each in shared.values()] == [0.45, 0.45]
    assert all(each.kv_cache_memory_bytes == KV_CACHE_BYTES for each in shared.values())
