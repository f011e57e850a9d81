"""More than one server behind one address: by which signs it is seen, and that nothing else is said then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_server import FakeServer
from tests.ports import free_port
from vqa.cli import main
from vqa.lab.diagnosis.findings import Confidence
from vqa.lab.diagnosis.several import Fleet, Seen, several
from vqa.lab.plan.arms import RunSpec
from vqa.lab.report.export import collect, load_report, to_html, to_junit
from vqa.lab.report.outcomes import diagnosis_of
from vqa.lab.report.reproduce import run_argv
from vqa.lab.run.manager import RunManager
from vqa.lab.verify.verdicts import verdicts
from vqa.media.images import ImagePayload
from vqa.store import Run, Store

SAID = "More than one server answers behind this address (2 seen); ask one directly"


@pytest.mark.parametrize(
    ("sign", "fleet", "seen"),
    [
        ("workers", Fleet(("http://a", "http://b")), Seen()),
        ("readiness", Fleet(total=3), Seen()),
        ("versions", Fleet(versions=("0.32.0", "0.33.0", "0.32.0")), Seen()),
        ("names", Fleet(), Seen(names=[["m a", "m b", "m a"]])),
        ("counters", Fleet(), Seen(finished=[10, 4, 11, 5], ours=2)),
        ("counters", Fleet(), Seen(finished=[400, 4, 402], ours=6)),
        ("short", Fleet(), Seen(ours=20, short=8)),
        ("caches", Fleet(), Seen(cached=[[0, 0, 48, 48]])),
    ],
)
def test_each_sign_alone_is_enough(sign: str, fleet: Fleet, seen: Seen) -> None:
    found = several(fleet, seen)
    assert found is not None
    assert found.signs == (sign,)
    assert found.n == (3 if sign == "readiness" else 2)


@pytest.mark.parametrize(
    ("fleet", "seen"),
    [
        (
            Fleet(("http://a",), 1, ("0.32.0", "0.32.0")),
            Seen(names=[["m", "m"]], cached=[[0, 48, 48]], finished=[1, 2, 3]),
        ),
        (Fleet(), Seen(names=[["m a", "m b", "m b"]])),  # replaced once, by a newer one
        (Fleet(), Seen(finished=[400, 0, 6], ours=6)),  # restarted once
        (Fleet(), Seen(cached=[[0, 0, 0]])),  # nothing is kept
        (Fleet(), Seen(cached=[[0, 48, 48, 0, 48]], finished=[90, 95, 3], ours=8)),  # restarted in the middle
        (Fleet(), Seen(cached=[[0, 48, 48, 0, 48]], finished=[90, 900], ours=8)),  # others' requests took its place
        (Fleet(), Seen(finished=[])),
    ],
)
def test_one_server_that_is_replaced_restarted_or_caches_nothing_is_one(fleet: Fleet, seen: Seen) -> None:
    assert several(fleet, seen) is None


HIDDEN = Behaviour(replicas=2, replicas_differ=True)
TOLD = Behaviour(replicas=2, turns=False, tells_workers=True)


def ran(manager: RunManager, store: Store, behaviour: Behaviour, spec: RunSpec, kind: str) -> Run:
    with FakeServer(behaviour) as server:
        run = manager.start(spec, server.base_url, kind=kind)
        status = manager.wait(run, timeout=100)
    assert status.status == "finished", status.error
    return store.run(run)


@pytest.mark.parametrize(
    ("behaviour", "signs"),
    [
        (HIDDEN, {"caches"}),
        (TOLD, {"workers", "readiness", "short"}),
    ],
)
def test_a_repeat_says_nothing_else(
    behaviour: Behaviour, signs: set[str], manager: RunManager, store: Store, image: ImagePayload
) -> None:
    run = ran(manager, store, behaviour, RunSpec(("What?",), (image,), n=6), "repeat")
    assert run.result is not None
    assert signs <= set(run.result["several"]["signs"])
    assert (run.result["holds"], run.result["exit_code"], run.result["server_changed"]) == (None, 2, False)
    page = to_html(collect(store, run.id))
    assert SAID in page
    assert "restart" not in page.partition("<main")[2].partition("<details")[0].lower()
    assert SAID in to_junit(collect(store, run.id))


def test_causes_are_consistent_at_most_and_nothing_is_called_restarted(
    manager: RunManager, store: Store, image: ImagePayload
) -> None:
    behaviour = replace(TOLD, splits_under_load=True, metrics=False)
    run = ran(manager, store, behaviour, RunSpec(("What?",), (image,)), "diagnose")
    found = diagnosis_of(run)
    assert found is not None
    assert (str(found.verdict), found.values["servers"]) == ("several", 2)
    assert found.findings
    assert all(finding.confidence is not Confidence.CONFIRMED for finding in found.findings)
    assert found.profiles == ()
    assert (run.result or {})["holds"] is None
    page = to_html(collect(store, run.id))
    assert SAID in page
    assert "Ask each of the 2 by itself first" in page
    assert "batch-invariant" not in page.partition("<main")[2].partition("<details")[0]
    assert "server changed" not in page


def test_a_clean_server_under_load_is_one(manager: RunManager, store: Store, image: ImagePayload) -> None:
    run = ran(manager, store, Behaviour(), RunSpec(("What?",), (image,)), "diagnose")
    assert (run.result or {})["facts"]["several"] is None
    assert (run.result or {})["verdict"] == "identical"


def test_the_servers_behind_an_address_are_asked_one_by_one_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], image: ImagePayload
) -> None:
    monkeypatch.setenv("VQA_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "p.png").write_bytes(image.data)
    words = ["repeat", str(tmp_path / "p.png"), "What?", "-n", "2", "--each-server", "--json", str(tmp_path / "r.json")]
    with FakeServer() as one, FakeServer(lone_differs=True) as same, FakeServer(cold_differs=True) as other:
        for workers, status, said in (
            ((one, same), 0, "All 2 servers give the same answers"),
            ((one, other), 1, "do not give the same answers"),
        ):
            with FakeServer(workers_at=tuple(worker.base_url.removesuffix("/v1") for worker in workers)) as router:
                assert main([*words, "--base-url", router.base_url]) == status
            told = capsys.readouterr().out
            assert said in told
            assert all(worker.base_url in told for worker in workers)
            report = load_report(tmp_path / "r.json")
            assert run_argv(report.run)[-2:] == ["--base-url", router.base_url]
            assert {"repeat", "--each-server", "-n"} <= set(run_argv(report.run))
            assert [arm["name"].rpartition("/")[2] for arm in report.run.plan["arms"]] == ["repeat"] * 2
            assert [row["ok"] for row in (report.run.result or {})["servers"]] == [2, 2]
            assert all(check.agrees for check in verdicts(report))
            assert said in to_html(report)
            (report.run.result or {})["servers"][0]["level"] = "none"
            assert not all(check.agrees for check in verdicts(report))
        gone = one.base_url.replace(one.base_url.rpartition(":")[2], f"{free_port()}/v1")
        with FakeServer(workers_at=(gone, one.base_url)) as router:
            assert main([*words, "--base-url", router.base_url]) == 2
        assert "it was not asked" in capsys.readouterr().out
        assert main([*words, "--base-url", one.base_url]) == 2
    assert "does not tell which servers" in capsys.readouterr().err
