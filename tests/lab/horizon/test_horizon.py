"""The horizon against servers that misbehave in one way each, and its search against thresholds of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.behaviour import Behaviour
from tests.fakes.engine_stand_in import SPEC, StandIn
from tests.fakes.openai_server import FakeServer
from vqa.cli import main
from vqa.lab.certificate.wanted import Certified
from vqa.lab.horizon.asked import Asked
from vqa.lab.horizon.search import Search, Step, doublings
from vqa.lab.horizon.start import horizon_spec, start_horizon
from vqa.lab.horizon.work import horizon_work
from vqa.lab.report import outcomes
from vqa.lab.report.export import collect, dump, load_report, to_html
from vqa.lab.report.horizon import horizon_lines, horizon_sentence
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.settings import Settings
from vqa.store import Run, Store


def test_every_request_of_a_horizon_asks_one_question() -> None:
    assert [len(horizon_spec(*given).cases) for given in ((), ("What?",))] == [1, 1]


def asked(most: int = 8, **more: Any) -> Asked:
    return Asked(horizon_spec(), most, 1, **more)


def searched(thresholds: dict[Level, int], most: int, reaches: int = 10_000) -> Search:
    steps: list[Step] = []
    while (load := Search(steps, most).next_load()) is not None:
        together = min(load, reaches)
        reached = together == load
        held = {level: load <= most_of or None if reached else None for level, most_of in thresholds.items()}
        held |= {level: False for level, most_of in thresholds.items() if load > most_of and reached}
        steps.append(Step(load, held, frozenset(), together, reached))
        assert len(steps) < 60
    return Search(steps, most)


@pytest.mark.parametrize("bitwise", [0, 1, 2, 5, 43, 128, 255, 256])
def test_the_search_finds_any_threshold_and_asks_twice_next_to_it(bitwise: int) -> None:
    search = searched({Level.BITWISE: bitwise, Level.TOKENS: 256, Level.TEXT: 256, Level.ANSWER: 256}, 256)
    found = search.horizon(Level.BITWISE)
    assert (found.good, found.bad) == (bitwise, bitwise + 1 if bitwise < 256 else None)
    assert (search.horizon(Level.TOKENS).good, search.horizon(Level.TOKENS).bad) == (256, None)
    loads = [step.load for step in search.steps]
    assert loads.count(bitwise) == (2 if 1 < bitwise < 256 else int(bitwise > 0))
    assert set(doublings(256)) <= set(loads)


def test_loads_that_are_not_reached_end_the_search_where_requests_still_met() -> None:
    search = searched(dict.fromkeys(LEVELS, 10_000), 256, reaches=24)
    assert search.horizon(Level.BITWISE).good == 24
    assert max(step.load for step in search.steps) == 32


def test_a_load_that_held_once_and_not_again_does_not_hold() -> None:
    def step(load: int, holds: bool) -> Step:
        return Step(load, dict.fromkeys(LEVELS, holds), frozenset(), load)

    once = [step(load, load <= 4) for load in (1, 2, 4, 8, 6, 5)]
    assert Search(once, 8).next_load() == 4
    search = Search([*once, step(4, holds=False)], 8)
    assert (search.horizon(Level.TOKENS).good, search.horizon(Level.TOKENS).bad) == (2, 4)
    assert search.next_load() == 3


def found(manager: RunManager, store: Store, settings: Settings, behaviour: Behaviour, asking: Asked) -> Run:
    with FakeServer(behaviour) as server:
        run = start_horizon(manager, asking, settings, base_url=server.base_url)
        status = manager.wait(run, timeout=100)
    assert status.status == "finished", status.error
    return store.run(run)


ALL = "bitwise and tokens and text and answer"
MISBEHAVING: dict[str, tuple[Behaviour, str]] = {
    "clean": (Behaviour(), "bitwise up to 8 (not seen to fail)"),
    "splits only above 5 together": (Behaviour(splits_above=5), f"{ALL} up to 5 (not at 6)"),
    "splits above 5, logprobs above 2": (
        Behaviour(splits_above=5, drifts_above=2),
        "bitwise up to 2 (not at 3), tokens and text and answer up to 5 (not at 6)",
    ),
    "never overlaps, whatever it says": (
        Behaviour(never_overlaps=True, seconds_per_token=0.01, says_running=99),
        "bitwise up to 1 (more was not reached)",
    ),
    "alone otherwise than at any load": (Behaviour(lone_differs=True), f"{ALL} up to 1 (not at 2)"),
    "not even alone": (Behaviour(samples_anyway=True), f"{ALL}: not even alone"),
    "blind": (
        Behaviour(ignores_temperature=True),
        "bitwise: cannot be told, since the positive control saw no difference",
    ),
    "says that it runs one": (
        Behaviour(says_running=1, seconds_per_token=0.03),
        "bitwise up to 1 (more was not reached)",
    ),
    "caches although every request has a salt of its own": (Behaviour(salts_work=False), "nothing could be told"),
}


@pytest.mark.parametrize("name", MISBEHAVING)
def test_a_server_that_misbehaves_in_one_way_gets_exactly_its_verdict(
    name: str, manager: RunManager, store: Store, settings: Settings
) -> None:
    behaviour, expected = MISBEHAVING[name]
    run = found(manager, store, settings, behaviour, asked())
    assert run.result is not None
    (row,) = run.result["profiles"]
    assert horizon_sentence(row).lower() == expected, [
        (step["load"], step["together"], step["running"], step["looks"], step["invalid"], step["holds"])
        for step in row["steps"]
    ]


def test_profiles_stand_side_by_side_and_one_that_does_not_start_stops_none(
    manager: RunManager, store: Store, tmp_path: Path
) -> None:
    engine = StandIn({"default": Behaviour(splits_above=2), "float32": Behaviour()}, broken=("no-prefix-cache",))
    engine.restart(SPEC.with_profile("default"))
    asking = asked(4, profiles=("default", "no-prefix-cache", "float32"), model="/home/me/models/twin")
    wanted = [Certified(name, SPEC.with_profile(name)) for name in asking.profiles]
    wanted.append(Certified("batch-invariant", SPEC.with_profile("batch-invariant"), "engine.profile_needs_gpu"))
    work = horizon_work(asking, wanted, SPEC.with_profile("float32"))
    run_id = manager.start_work(work, asking.spec, engine.server.base_url, kind="horizon", engine=engine)  # type: ignore[arg-type]
    status = manager.wait(run_id, timeout=100)
    engine.stop()
    assert (status.status, engine.started[-1]) == ("finished", "float32")
    report = collect(store, run_id)
    text = dump(report)
    assert "/home/me" not in text
    (tmp_path / "horizon.json").write_text(text)
    again = load_report(tmp_path / "horizon.json")
    lines = horizon_lines(again.run.result or {}, technical=True)
    heads = [line for line in lines if not line.startswith("  ")]
    assert heads[0] == f"default: {ALL} up to 2 (not at 3)"
    assert heads[1].startswith("no-prefix-cache: ")
    assert "memory" in heads[1]
    assert heads[2] == "float32: bitwise up to 4 (not seen to fail)"
    assert heads[3].startswith("batch-invariant: ")
    assert sum(" at a time: " in line for line in lines) == 8, "1, 2, 4, 3 and 2 again under default; 1, 2, 4 elsewhere"
    assert "really together" in lines[2]
    page = outcomes.of_run(again.run, "en")
    assert page.count("<table") == 2
    assert page in to_html(again)
    command = to_html(again).partition("vqa horizon")[2].partition("<")[0]
    assert command.strip() == "--profiles default,no-prefix-cache,float32 --most 4 --waves 1 --model twin"


def test_a_horizon_that_was_stopped_goes_on_without_asking_a_load_twice(
    manager: RunManager, store: Store, settings: Settings
) -> None:
    with FakeServer(Behaviour(splits_above=4)) as server:
        run_id = start_horizon(manager, asked(8), settings, base_url=server.base_url)
        while manager.status(run_id).notes.get("load") != 4:
            assert manager.wait(run_id, after=manager.status(run_id).done, timeout=30).running
        manager.stop(run_id)
        status = manager.wait(run_id, timeout=30)
        assert status.status == "stopped"
        assert status.result is not None
        assert [step["load"] for step in status.result["profiles"][0]["steps"]] == [1, 2]
        assert (status.result["holds"], status.result["stopped"]["by_hand"]) == (None, True)
        start_horizon(manager, asked(8), settings, base_url=server.base_url, resume=store.run(run_id))
        status = manager.wait(run_id, timeout=100)
        assert status.status == "finished", status.error
        steps = status.result["profiles"][0]["steps"] if status.result else []
        assert [step["load"] for step in steps] == [1, 2, 4, 8, 6, 5, 4]
        assert [step["arm"].count("session 2") for step in steps] == [0, 0, 1, 1, 1, 1, 1]
        assert horizon_lines(status.result or {}, technical=False) == [f"as-is: {ALL} up to 4 (not at 5)"]


def test_a_horizon_whose_process_was_killed_within_its_first_load_asks_it_again_apart_from_what_it_had_asked(
    manager: RunManager, store: Store, settings: Settings
) -> None:
    with FakeServer(Behaviour()) as server:
        run_id = start_horizon(manager, asked(2), settings, base_url=server.base_url)
        assert manager.wait(run_id, after=0, timeout=30).notes["load"] == 1
        left = store.run(run_id).result  # all that a killed process leaves beside its samples
        manager.stop(run_id)
        manager.wait(run_id, timeout=30)
        store.update_run(run_id, result=left)
        start_horizon(manager, asked(2), settings, base_url=server.base_url, resume=store.run(run_id))
        status = manager.wait(run_id, timeout=60)
    steps = status.result["profiles"][0]["steps"] if status.result else []
    assert [(step["load"], step["invalid"], step["holds"]["tokens"]) for step in steps] == [
        (1, None, True),
        (2, None, True),
    ]


def test_a_horizon_goes_on_from_the_beginning_where_the_lone_answers_are_others(
    manager: RunManager, store: Store, settings: Settings
) -> None:
    with FakeServer(Behaviour()) as server:
        run_id = start_horizon(manager, asked(2), settings, base_url=server.base_url)
        while manager.status(run_id).notes.get("load") != 2:
            assert manager.wait(run_id, after=manager.status(run_id).done, timeout=30).running
        manager.stop(run_id)
        manager.wait(run_id, timeout=30)
        server.behaviour = Behaviour(cold_differs=True)
        start_horizon(manager, asked(2), settings, base_url=server.base_url, resume=store.run(run_id))
        status = manager.wait(run_id, timeout=60)
    steps = status.result["profiles"][0]["steps"] if status.result else []
    assert [(step["load"], "session 2" in step["arm"]) for step in steps] == [(1, True), (2, True)]


def test_the_command_says_what_it_will_take_and_its_exit_status_is_that_of_the_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VQA_DATA_DIR", str(tmp_path / "data"))
    out = str(tmp_path / "found.json")
    with FakeServer(Behaviour(splits_above=2)) as server:
        words = ["horizon", "--base-url", server.base_url, "--most", "4", "--waves", "1", "--json", out]
        assert main(words) == 0
        told = capsys.readouterr()
        assert f"as-is: {ALL} up to 2 (not at 3)" in told.out
        assert "Between 54 and 198 requests" in told.err
        assert main(["horizon", "--resume", load_report(tmp_path / "found.json").run.id]) == 0, "nothing is left to ask"
        assert main([*words, "--at-least", "3"]) == 1
    assert main(["horizon", "--resume", "none"]) == 2
    assert main(["horizon", "--most", "0", "--base-url", server.base_url]) == 2
