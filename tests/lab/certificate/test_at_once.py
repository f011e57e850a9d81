"""A certificate that asks the engines of all profiles at the same time finds what one finds that asks them in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from tests.fakes.behaviour import Behaviour
from tests.fakes.engine_stand_in import SPEC, StandIn
from vqa.answers import Json
from vqa.engine.spec import EngineSpec
from vqa.errors import EngineError
from vqa.lab.certificate import measuring
from vqa.lab.certificate.certify import certificate_plan, certificate_spec
from vqa.lab.certificate.measuring import How, certify_work
from vqa.lab.certificate.side_by_side import Started
from vqa.lab.certificate.wanted import Certified
from vqa.lab.report import outcomes
from vqa.lab.report.say import certificate_lines
from vqa.lab.run.manager import RunManager
from vqa.settings import Settings
from vqa.store import Run, Store

BEHAVIOURS = {
    "default": Behaviour(splits_under_load=True),
    "float32": Behaviour(),
    "serial": Behaviour(ignores_temperature=True),
}
MISSING = "no-prefix-cache"
"""A profile whose engine does not come up."""


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that behave as told, each at an address of its own, instead of started processes."""

    @asynccontextmanager
    async def started(
        settings: Settings, specs: Mapping[str, EngineSpec], own: Mapping[str, Settings] | None = None
    ) -> AsyncIterator[Started]:
        engines = {name: StandIn({name: BEHAVIOURS[name]}) for name in specs if name != MISSING}
        found: dict[str, object] = {name: (each, each.restart(specs[name])) for name, each in engines.items()}
        if MISSING in specs:
            found[MISSING] = EngineError("engine_not_managed")
        try:
            yield found  # type: ignore[misc]
        finally:
            for each in engines.values():
                each.stop()

    monkeypatch.setattr(measuring, "side_by_side", started)


def certified(manager: RunManager, store: Store, how: How) -> Run:
    engine = StandIn({name: BEHAVIOURS[name] for name in BEHAVIOURS})
    engine.restart(SPEC.with_profile("default"))
    wanted = [Certified(name, SPEC.with_profile(name)) for name in [*BEHAVIOURS, MISSING]]
    spec = certificate_spec()
    work = certify_work(certificate_plan(spec, (1, 8)), wanted, None, how=how)
    run = manager.start_work(work, spec, engine.server.base_url, kind="certify", engine=engine)  # type: ignore[arg-type]
    status = manager.wait(run, timeout=120)
    engine.stop()
    assert status.status == "finished", status.error
    return store.run(run)


def spans(store: Store, run: Run) -> dict[str, tuple[float, float]]:
    """Returns when the first and the last question was sent under each profile, in seconds since 1970."""
    taken: dict[str, list[float]] = {}
    for sample in store.samples(run.id):
        taken.setdefault(sample.arm.partition("/")[0], []).append(sample.started_at)
    return {name: (min(times), max(times)) for name, times in taken.items()}


def told(run: Run) -> list[Json]:
    """Returns what each profile's row concludes."""
    assert run.result is not None
    return [
        (
            row["name"],
            row["reason"],
            [(load["load"], load["n"], load["failed"], load["holds"], load["invalid"]) for load in row["loads"]],
            row.get("control"),
            sorted(cause["cause"] for cause in row.get("causes") or ()),
        )
        for row in run.result["profiles"]
    ]


@pytest.mark.usefixtures("beside")
def test_what_is_asked_at_once_ends_in_the_same_verdicts(manager: RunManager, store: Store) -> None:
    at_once, side_by_side = certified(manager, store, "at_once"), certified(manager, store, "side_by_side")
    assert told(at_once) == told(side_by_side)
    assert [row[1] is None for row in told(at_once)] == [True, True, True, False]
    assert at_once.result is not None
    assert side_by_side.result is not None
    assert (at_once.result["at_once"], side_by_side.result.get("at_once")) == (3, None)
    assert (at_once.result["holds"], at_once.header is not None) == (False, True)
    begun, ended = zip(*spans(store, at_once).values(), strict=True)
    assert max(begun) < min(ended)
    in_turn = sorted(spans(store, side_by_side).values())
    assert all(former[1] < later[0] for former, later in pairwise(in_turn))


@pytest.mark.usefixtures("beside")
def test_a_certificate_that_was_asked_at_once_says_that_its_costs_are_shared(manager: RunManager, store: Store) -> None:
    at_once, side_by_side = certified(manager, store, "at_once"), certified(manager, store, "side_by_side")
    said = "Asked of 3 engines at the same time"
    assert certificate_lines(at_once.result)[0].startswith(said)
    assert said in outcomes.of_run(at_once, "en")
    assert "同时向本 GPU 上的 3 个引擎提问" in outcomes.of_run(at_once, "zh")
    assert not any(said in line for line in certificate_lines(side_by_side.result))


@pytest.mark.usefixtures("beside")
def test_stop_ends_all_that_is_asked_at_once(manager: RunManager, store: Store) -> None:
    engine = StandIn(dict(BEHAVIOURS))
    engine.restart(SPEC.with_profile("default"))
    spec = certificate_spec()
    wanted = [Certified(name, SPEC.with_profile(name)) for name in BEHAVIOURS]
    work = certify_work(certificate_plan(spec, (1, 8)), wanted, None, how="at_once")
    run = manager.start_work(work, spec, engine.server.base_url, kind="certify", engine=engine)  # type: ignore[arg-type]
    manager.wait(run, after=5, timeout=30)
    manager.stop(run)
    assert manager.wait(run, timeout=30).status == "stopped"
    stored = len(store.samples(run))
    assert 5 <= stored < len(BEHAVIOURS) * certificate_plan(spec, (1, 8)).samples
    engine.stop()
