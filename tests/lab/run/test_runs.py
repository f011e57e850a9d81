"""Runs over real HTTP: stored as they land, stopped, refused, interrupted, disturbed; nothing lost, nothing claimed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.fakes.behaviour import Behaviour
from tests.fakes.engine_stand_in import StandIn
from tests.fakes.openai_server import FakeServer
from tests.lab.made import picture
from vqa.answers import Sampling
from vqa.engine.spec import EngineSpec
from vqa.errors import InputError
from vqa.lab.diagnosis.verdict import manager_sentence
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.manager import RunManager, server_place
from vqa.lab.stats.agreement import Level
from vqa.media.images import ImagePayload, load_image
from vqa.models.listing import HubFile, Listing, write_complete
from vqa.settings import Settings
from vqa.store import Store

ROOT = Path(__file__).resolve().parents[3]


def spec(image: ImagePayload, **fields: object) -> RunSpec:
    values: dict[str, object] = {"n": 12, "sampling": Sampling(max_tokens=32)} | fields
    return RunSpec(("What is shown?",), (image,), **values)  # type: ignore[arg-type]


def test_every_sample_is_a_request_of_its_own_and_is_stored(
    manager: RunManager, store: Store, image: ImagePayload
) -> None:
    with FakeServer() as server:
        run = manager.start(spec(image), server.base_url)
        status = manager.wait(run, timeout=30)
        assert len(server.bodies) == 12
    assert (status.status, status.done, status.total) == ("finished", 12, 12)
    assert [sample.index for sample in store.samples(run)] == list(range(12))
    assert len({sample.answer.request_id for sample in store.samples(run) if sample.answer}) == 12
    assert store.run(run).result == status.result
    assert status.result is not None
    assert (status.result["level"], status.result["holds"], status.result["exit_code"]) == ("bitwise", True, 0)


def test_a_run_looks_the_same_after_the_app_was_started_again(
    manager: RunManager, store: Store, settings: Settings, image: ImagePayload
) -> None:
    with FakeServer(race=0.4) as server:
        run = manager.start(spec(image), server.base_url)
        manager.wait(run, timeout=30)
    later = RunManager(store, settings)
    assert later.status(run).status == "finished"
    before, after = manager.summaries(run), later.summaries(run)
    assert [group.indexes for group in before["repeat"].questions[0].groups] == [
        group.indexes for group in after["repeat"].questions[0].groups
    ]
    assert before["repeat"].questions[0].drift == after["repeat"].questions[0].drift
    later.close()


@pytest.mark.parametrize("concurrency", [2, 8])
def test_so_many_requests_are_under_way_at_a_time(concurrency: int, manager: RunManager, image: ImagePayload) -> None:
    with FakeServer(prefill_seconds=0.02) as server:
        seen: list[int] = []
        answer = server._words
        server._words = lambda *args: (seen.append(server.state.in_flight), answer(*args))[1]  # type: ignore[method-assign]
        run = manager.start(spec(image, n=3 * concurrency, concurrency=concurrency), server.base_url)
        assert manager.wait(run, timeout=30).status == "finished"
    assert max(seen) == concurrency


def test_stop_keeps_what_was_measured_and_aborts_the_rest(
    manager: RunManager, store: Store, image: ImagePayload
) -> None:
    with FakeServer(prefill_seconds=0.05) as server:
        run = manager.start(spec(image, n=1000, concurrency=4), server.base_url)
        manager.wait(run, after=7, timeout=30)
        manager.stop(run)
        status = manager.wait(run, timeout=30)
        assert status.status == store.run(run).status == "stopped"
        assert 8 <= status.done < 1000
        assert len(store.samples(run)) == status.done
        assert status.result is not None
        assert status.result["n"] == status.done
        assert len(server.bodies) <= status.done + 8


def test_an_image_that_vanishes_in_mid_run_does_not_matter(manager: RunManager, tmp_path: Path) -> None:
    path = tmp_path / "circle.png"
    path.write_bytes(picture().data)
    with FakeServer(prefill_seconds=0.02) as server:
        run = manager.start(spec(load_image(path), n=30), server.base_url)
        manager.wait(run, after=3, timeout=30)
        path.unlink()
        status = manager.wait(run, timeout=30)
    assert (status.status, status.failed, status.done) == ("finished", 0, 30)


def test_a_server_that_goes_away_and_comes_back_gives_errors_and_no_verdict(
    manager: RunManager, image: ImagePayload
) -> None:
    server = FakeServer(prefill_seconds=0.02).start()
    try:
        run = manager.start(spec(image, n=60), server.base_url)
        manager.wait(run, after=10, timeout=30)
        server.stop()
        after = manager.status(run).done
        manager.wait(run, after=after + 3, timeout=30)
        server.start()
        status = manager.wait(run, timeout=60)
    finally:
        server.stop()
    summary = manager.summaries(run)["repeat"]
    assert status.status == "finished"
    assert 0 < summary.failed < 60
    assert summary.ok + summary.failed == 60
    assert summary.holds(Level.TEXT) is None
    assert status.result is not None
    assert status.result["exit_code"] == 2
    assert str(summary.failed) in manager_sentence(summary)


def test_a_server_that_is_not_there_fails_the_run_with_a_message(manager: RunManager, image: ImagePayload) -> None:
    run = manager.start(spec(image), FakeServer().base_url)
    status = manager.wait(run, timeout=30)
    assert status.status == "failed"
    assert status.done == 0
    assert "No server answers" in (status.error or "")


def test_two_runs_at_once_on_one_server_are_refused(
    manager: RunManager, store: Store, settings: Settings, image: ImagePayload
) -> None:
    with FakeServer(prefill_seconds=0.05) as server, FakeServer() as other:
        run = manager.start(spec(image, n=5000), server.base_url)
        with pytest.raises(InputError) as refused:
            manager.start(spec(image), server.base_url)
        assert refused.value.code == "run_busy"
        assert run in refused.value.message()
        elsewhere = RunManager(store, settings)
        with pytest.raises(InputError):
            elsewhere.start(spec(image), server.base_url)
        assert manager.wait(manager.start(spec(image), other.base_url), timeout=30).status == "finished"
        manager.stop(run)
        manager.wait(run, timeout=30)
        again = manager.start(spec(image, n=2), server.base_url)
        assert manager.wait(again, timeout=30).status == "finished"


def test_another_name_of_this_machine_is_the_same_server(
    manager: RunManager, store: Store, settings: Settings, image: ImagePayload
) -> None:
    with FakeServer(prefill_seconds=0.05) as server:
        run = manager.start(spec(image, n=5000), server.base_url.replace("127.0.0.1", "localhost"))
        elsewhere = RunManager(store, settings)
        for each in (manager, elsewhere):
            with pytest.raises(InputError) as refused:
                each.start(spec(image), server.base_url)
            assert refused.value.code == "run_busy"
        elsewhere.close()
        manager.stop(run)
        manager.wait(run, timeout=30)
        again = manager.start(spec(image, n=2), server.base_url)
        assert manager.wait(again, timeout=30).status == "finished"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://localhost:8000/v1", "http://127.0.0.1:8000/v1", True),
        ("http://localhost:8000/v1", "http://[::1]:8000/v1", True),
        ("http://127.0.0.1/v1", "http://localhost:80/v1/", True),
        ("https://Example.org/v1", "https://example.org:443/v1", True),
        ("http://localhost:8000/v1", "http://localhost:8001/v1", False),
        ("http://localhost:8000/a/v1", "http://localhost:8000/b/v1", False),
        ("http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1", False),
    ],
)
def test_addresses_are_told_apart_by_machine_port_and_path(one: str, other: str, same: bool) -> None:
    assert (server_place(one) == server_place(other)) is same


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"n": 0}, "repeats_invalid"),
        ({"n": 10**9}, "repeats_invalid"),
        ({"n": -3}, "repeats_invalid"),
        ({"n": True}, "repeats_invalid"),
        ({"n": 4, "concurrency": 8}, "concurrency_over_repeats"),
        ({"concurrency": 0}, "number_invalid"),
        ({"require": Level.NONE}, "level_unknown"),
    ],
)
def test_bad_numbers_are_refused_before_anything_is_asked(
    fields: dict[str, object], code: str, manager: RunManager, store: Store, image: ImagePayload
) -> None:
    with FakeServer() as server, pytest.raises(InputError) as refused:
        manager.start(spec(image, **fields), server.base_url)
    assert refused.value.code == code
    assert store.runs() == []
    assert server.bodies == []


@pytest.mark.parametrize("questions", [(), ("",), ("What?", " \n ")])
def test_an_empty_question_is_refused(questions: tuple[str, ...], manager: RunManager) -> None:
    with FakeServer() as server, pytest.raises(InputError) as refused:
        manager.start(RunSpec(questions), server.base_url)
    assert refused.value.code == "question_empty"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_the_run_and_keeps_what_was_stored(
    settings: Settings, image: ImagePayload, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        small = Store(f"sqlite:///{disk / 'vqa.db'}")
        manager = RunManager(small, settings)
        with FakeServer(samples_anyway=True) as server:
            run = manager.start(spec(image, n=5000, concurrency=8), server.base_url)
            status = manager.wait(run, timeout=60)
        assert status.status == "failed"
        assert "full" in (status.error or "")
        stored = len(small.samples(run))
        assert 0 < stored < 5000
        assert stored == manager.summaries(run)["concurrent_8"].n
        manager.close()
        small.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_killing_the_app_in_mid_run_loses_no_stored_sample(settings: Settings, store: Store, tmp_path: Path) -> None:
    program = (
        "import sys; from tests.lab.made import picture; from vqa.lab.plan.arms import RunSpec\n"
        "from vqa.lab.run.manager import RunManager\n"
        "from vqa.settings import load_settings; from vqa.store import Store\n"
        "settings = load_settings(); manager = RunManager(Store(settings.database), settings)\n"
        "run = manager.start(RunSpec(('What?',), (picture(),), n=5000), sys.argv[1])\n"
        "print(run, flush=True)\n"
        "while True: print(manager.wait(run, after=manager.status(run).done).done, flush=True)\n"
    )
    environment = os.environ | {"VQA_DATA_DIR": str(settings.data_dir)}
    with FakeServer() as server:
        child = subprocess.Popen(
            [sys.executable, "-c", program, server.base_url],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        run, told = child.stdout.readline().strip(), 0
        while told < 30:
            told = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    assert store.run(run).status == "interrupted"
    kept = store.samples(run)
    assert len(kept) >= told
    assert [sample.index for sample in kept] == list(range(len(kept)))
    assert all(sample.answer is not None and sample.answer.text for sample in kept)


def test_failed_requests_are_samples_with_the_servers_words(
    manager: RunManager, store: Store, image: ImagePayload
) -> None:
    with FakeServer(fails_every=4) as server:
        run = manager.start(spec(image), server.base_url)
        manager.wait(run, timeout=30)
        assert len(server.bodies) == 12
    failed = [sample for sample in store.samples(run) if sample.error]
    assert [sample.index for sample in failed] == [3, 7, 11]
    assert all("illegal memory access" in sample.error.message for sample in failed if sample.error)


@pytest.mark.parametrize("fault", ["breaks_every", "error_in_stream_every"])
def test_a_stream_that_breaks_is_an_error_with_its_partial_text(
    fault: str, manager: RunManager, store: Store, image: ImagePayload
) -> None:
    with FakeServer(**{fault: 6}) as server:
        run = manager.start(spec(image), server.base_url)
        status = manager.wait(run, timeout=30)
    failed = [sample for sample in store.samples(run) if sample.error]
    assert [sample.index for sample in failed] == [5, 11]
    assert all(sample.answer is None and sample.error and sample.error.partial for sample in failed)
    assert manager.summaries(run)["repeat"].questions[0].broken == 2
    assert status.result is not None
    assert status.result["holds"] is None


def test_several_images_and_questions_are_repeated_each(manager: RunManager, image: ImagePayload) -> None:
    wanted = RunSpec(("What?", "Where?"), (image, image), each_image=True, n=3)
    with FakeServer() as server:
        run = manager.start(wanted, server.base_url)
        assert manager.wait(run, timeout=30).done == 12
        parts = [len(body["messages"][0]["content"]) for body in server.bodies]
    assert set(parts) == {2}
    assert [each.ok for each in manager.summaries(run)["repeat"].questions] == [3, 3, 3, 3]


def test_varied_seeds_and_cold_salts_reach_the_server(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer() as server:
        run = manager.start(spec(image, seed_policy="varied", cache="cold", n=5), server.base_url)
        status = manager.wait(run, timeout=30)
        assert [body["seed"] for body in server.bodies] == [1, 2, 3, 4, 5]
        salts = {body["cache_salt"] for body in server.bodies}
        assert len(salts) == 5
        assert all(set(salt) <= set("0123456789abcdef") and len(salt) <= 128 for salt in salts)
    assert manager.summaries(run)["cold"].questions[0].cached_tokens == (0,) * 5
    assert status.status == "finished"


def test_a_warm_run_primes_once_and_then_hits_every_time(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer() as server:
        run = manager.start(spec(image, cache="warm", n=5), server.base_url)
        manager.wait(run, timeout=30)
        assert len(server.bodies) == 6
    assert all(manager.summaries(run)["warm"].questions[0].cached_tokens)


def test_cache_policies_are_refused_where_the_server_does_not_know_them(
    manager: RunManager, image: ImagePayload
) -> None:
    with FakeServer(vllm=False) as server:
        run = manager.start(spec(image, cache="cold"), server.base_url)
        status = manager.wait(run, timeout=30)
    assert status.status == "failed"
    assert "cache_salt" in (status.error or "")


def test_the_header_holds_what_fixes_the_run(manager: RunManager, store: Store, image: ImagePayload) -> None:
    with FakeServer() as server:
        run = manager.start(spec(image), server.base_url)
        manager.wait(run, timeout=30)
    header = store.run(run).header
    assert header["images"][0]["sha256"] == image.sha256
    assert header["sampling"]["temperature"] == 0.0
    assert header["server"] == {"model_ids": ["vqa-demo"], "model_root": "models/demo", "vllm_version": "0.32.0"}
    assert header["cache_config"]["enable_prefix_caching"] == "True"
    assert header["app_version"]
    assert store.image(image.sha256).data == image.data


def test_the_header_holds_the_revision_of_a_downloaded_model_and_none_for_another_folder(
    manager: RunManager, store: Store, image: ImagePayload, tmp_path: Path
) -> None:
    found = []
    for commit, revision in (("4f3c2b", "main"), (None, "v1.2"), (None, None)):
        folder = tmp_path / f"model{len(found)}"
        folder.mkdir()
        if revision is not None:
            files = (HubFile("config.json", 2),)
            write_complete(folder, Listing("owner/name", "modelscope", revision, commit, files))
        engine = StandIn({"default": Behaviour()}, spec=EngineSpec(str(folder)))
        engine.restart()
        run = manager.start(spec(image, n=2), engine.server.base_url, engine=engine)  # type: ignore[arg-type]
        assert manager.wait(run, timeout=30).status == "finished"
        engine.stop()
        kept = store.run(run).header["engine"]
        found.append(tuple(kept[f"model_{name}"] for name in ("id", "source", "revision")))
    assert found == [
        ("owner/name", "modelscope", "4f3c2b"),
        ("owner/name", "modelscope", "v1.2"),
        (None, None, None),
    ]


def test_waiting_threads_are_told_of_every_end(manager: RunManager, image: ImagePayload) -> None:
    with FakeServer() as server:
        run = manager.start(spec(image), server.base_url)
        ended: list[str] = []
        threads = [
            threading.Thread(target=lambda: ended.append(manager.wait(run, timeout=30).status)) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert ended == ["finished"] * 3


def test_a_plan_tells_requests_and_time_before_anything_is_started(
    manager: RunManager, store: Store, image: ImagePayload
) -> None:
    with FakeServer() as server:
        plan = manager.plan(spec(image), server.base_url)
        assert len(server.bodies) == 2
    assert [arm.name for arm in plan.arms][:2] == ["positive_control", "repeat"]
    assert plan.requests == sum(arm.requests for arm in plan.arms) > 100
    assert plan.seconds > 0
    assert store.runs() == []
