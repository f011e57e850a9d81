"""What a diagnosis leads to, on a real vLLM: process-cold starts, another profile, before and after, and keeping it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from vqa.answers import Sampling
from vqa.engine.kept_profile import forget_profile, keep_profile
from vqa.engine.opening import open_engine
from vqa.engine.state import Engine
from vqa.lab.plan.arms import RunSpec
from vqa.lab.report import outcomes
from vqa.lab.run import diagnose_job
from vqa.lab.run.diagnose_job import AFTER_START, diagnose_work
from vqa.lab.run.live import RunStatus
from vqa.lab.run.manager import RunManager
from vqa.media.images import load_image
from vqa.models.serve import plan_start
from vqa.settings import Settings, load_settings
from vqa.store import Store

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "lab", engine_port=free_port())


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    opened = open_engine(settings)
    yield opened
    opened.stop()
    opened.wait(timeout=60)
    opened.close()


def finished(manager: RunManager, run: str) -> RunStatus:
    status = manager.wait(run, timeout=420)
    assert (status.status, status.failed) == ("finished", 0), status.error
    return status


def test_a_cold_start_then_another_profile_beside_the_former_and_kept_for_the_next_start(
    settings: Settings, engine: Engine, red_circle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose_job, "COLD_STARTS", 1)  # each takes half a minute
    store = Store(settings.database)
    manager = RunManager(store, settings)
    spec = RunSpec(("What shape is it?",), (load_image(red_circle),), sampling=Sampling(max_tokens=24))
    planned = plan_start(settings)[0]
    # The first thing that the process-cold arm does is a restart, so the start before it need not be waited for.
    engine.start(planned)
    work = diagnose_work(spec, restarts=True, loads=(2,), size=4)
    before = manager.start_work(work, spec, planned.base_url, kind="diagnose", engine=engine)
    result = finished(manager, before).result
    assert result is not None
    assert {name for name in result["arms"] if name.startswith("process")} == {"process_cold_1"}
    cold = [sample for sample in store.samples(before) if sample.arm.startswith("process")]
    assert len(cold) == AFTER_START
    assert all(sample.answer is not None and sample.answer.cached_tokens == 0 for sample in cold)
    assert engine.snapshot().generation >= 2
    assert result["verdict"] != "invalid", "a restart that was asked for is no change of the server"
    # The estimate was made right after a start, when the first requests still warm kernels up.
    facts = [block for block in store.samples(before) if not block.arm.startswith("process")]
    took = max(sample.started_at + (sample.answer.seconds if sample.answer else 0) for sample in facts) - min(
        sample.started_at for sample in facts
    )
    estimate = store.run(before).plan["seconds"]
    assert took / 3 < estimate < 3 * took, (estimate, took)

    again = diagnose_work(spec, profile="serial", before=before, loads=(2,), size=4)
    after = manager.start_work(again, spec, planned.base_url, kind="diagnose", engine=engine)
    result = finished(manager, after).result
    running = engine.snapshot().spec
    assert result is not None and running is not None
    assert (result["profile"], running.profile) == ("serial", "serial")
    assert "--max-num-seqs 1" in running.command()
    shown = outcomes.before_after(store.run(after), "en")
    assert "Time of a request" in shown and "throughput" in shown
    assert "<small>default</small>" in shown and "<small>serial</small>" in shown

    keep_profile(settings, running.model, result["profile"])
    assert plan_start(load_settings(data_dir=settings.data_dir))[0].profile == "serial"
    forget_profile(settings, running.model)
    assert plan_start(load_settings(data_dir=settings.data_dir))[0].profile == "default"
    manager.close()
    store.close()
