"""`python -m tests.lifecycle.fault_table`: runs the test of every fault and writes docs/fault-table.md."""

import argparse
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vqa.engine.machine import Machine
from vqa.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "fault-table.md"


@dataclass(frozen=True)
class Fault:
    """One row: what goes wrong, what must happen, and the tests (file::name, without parameters) that show it."""

    what: str
    must: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """How often the tests of a row passed and failed, and the seconds that the slowest took."""

    passed: int
    failed: int
    skipped: int
    slowest: float

    @property
    def word(self) -> str:
        """`passed`, `FAILED`, or `not run`."""
        return "FAILED" if self.failed else "passed" if self.passed else "not run"


START, STOP, SERVE, ADOPT, LOOK, APP = (
    f"tests/lifecycle/test_{name}.py::test_"
    for name in ("start", "stop", "serving", "adoption", "looking", "app_process")
)
DOWNLOAD, PLACES, STORE, RUNS = (
    "tests/models/test_download.py::test_",
    "tests/models/test_download_places.py::test_",
    "tests/store/test_store.py::test_",
    "tests/lab/run/test_runs.py::test_",
)
FAULTS = (
    Fault(
        "exits 1 with an out-of-memory or unknown-flag text",
        "FAILED within 2 s, cause and last 50 lines shown, no retry",
        (START + "exit_with_a_known_text_fails_within_two_seconds_without_retry",),
    ),
    Fault(
        "never healthy and silent",
        "FAILED at the stall limit",
        (START + "a_silent_start_fails_at_the_stall_limit",),
    ),
    Fault(
        "never healthy but still logging",
        "STARTING until the hard limit",
        (START + "a_start_that_goes_on_logging_fails_only_at_the_hard_limit",),
    ),
    Fault(
        "port taken: plain, by SO_REUSEPORT, bound but not listening",
        "FAILED before spawning, owner named, another port offered",
        (
            START + "a_taken_port_fails_before_anything_is_spawned",
            START + "a_port_that_is_bound_but_not_listening_is_taken",
        ),
    ),
    Fault(
        "a stranger answers 200 on the port",
        "never READY",
        (
            START + "a_stranger_that_answers_on_the_port_never_makes_it_ready",
            START + "another_model_on_the_port_never_makes_it_ready",
        ),
    ),
    Fault(
        "leader ignores SIGTERM; grandchild ignores it, has its own session, or is spawned at the last moment",
        "STOPPED within the budget, group empty",
        (STOP + "what_ignores_sigterm_is_gone_within_the_budget",),
    ),
    Fault(
        "something that not even SIGKILL ends",
        "FAILED, its PID shown; nothing starts beside it; swept once it can be",
        (STOP + "what_not_even_sigkill_ends_is_named_and_nothing_starts_beside_it",),
    ),
    Fault(
        "the kernel kills the leader, or a part of the engine, for memory during the start",
        "FAILED as killed, memory named, the rest swept",
        (
            START + "a_start_that_the_kernel_kills_for_memory_says_killed_and_sweeps_the_rest",
            START + "exit_with_a_known_text_fails_within_two_seconds_without_retry",
        ),
    ),
    Fault(
        "leader killed, grandchild alive",
        "FAILED; swept before the next start",
        (
            SERVE + "a_killed_leader_fails_and_its_grandchildren_are_swept",
            ADOPT + "what_a_dead_engine_left_is_swept_by_the_next_app",
        ),
    ),
    Fault(
        "/health 200 but chat hangs, or answers 500",
        "UNHEALTHY within the limit, a clear message",
        (
            SERVE + "a_server_that_stops_answering_is_unhealthy_until_it_answers_again",
            SERVE + "a_server_that_is_healthy_but_never_answers_is_not_ready",
        ),
    ),
    Fault(
        "stream dies in mid-answer",
        "the partial answer kept and marked; never a lab sample",
        (
            "tests/lifecycle/test_stream.py::test_an_engine_that_dies_in_mid_answer_leaves_the_partial_answer",
            RUNS + "a_stream_that_breaks_is_an_error_with_its_partial_text",
        ),
    ),
    Fault(
        "100 MB of log",
        "nothing blocks; memory and file bounded",
        (START + "a_hundred_megabytes_of_log_block_nothing_and_stay_bounded",),
    ),
    Fault("20 starts at once", "one process", (START + "twenty_starts_at_once_are_one_process",)),
    Fault(
        "stop while DOWNLOADING, STARTING, STOPPING",
        "STOPPED; harmless twice",
        (
            STOP + "stop_while_downloading_cancels_it",
            STOP + "stop_while_starting_and_twice",
            STOP + "stop_while_stopping_is_harmless",
        ),
    ),
    Fault(
        "start while STOPPING",
        "the new one READY only after the old is gone",
        (STOP + "start_while_stopping_waits_until_the_old_one_is_gone",),
    ),
    Fault(
        "200 random start/stop pairs",
        "no deadlock, only legal transitions",
        ("tests/lifecycle/test_random.py::test_two_hundred_random_pairs_of_start_and_stop",),
    ),
    Fault(
        "the app is SIGKILLed and started again",
        "adopted, log continues, stop works",
        (
            ADOPT + "a_killed_app_leaves_an_engine_that_the_next_one_adopts",
            ADOPT + "an_engine_that_was_still_starting_is_adopted_as_such",
            ADOPT + "an_adopted_engine_that_does_not_answer_is_unhealthy",
        ),
    ),
    Fault(
        "the app ends and leaves its engine, and nobody manages it",
        "status tells what it answers; the next app adopts it and takes it along in the end",
        (
            APP + "an_engine_that_is_to_be_left_outlives_its_app_and_is_adopted_by_the_next",
            LOOK + "an_engine_that_was_ready_and_no_longer_answers_is_not_called_ready",
            LOOK + "an_engine_that_became_ready_while_nobody_looked_is_ready",
        ),
    ),
    Fault("stale record, reused PID", "nothing is signalled", (ADOPT + "a_reused_pid_is_never_signalled",)),
    Fault(
        "a second app on the same state folder",
        "refuses, names the holder",
        (
            ADOPT + "a_second_app_on_the_same_folder_refuses_and_names_the_first",
            APP + "a_second_app_on_the_same_folder_ends_names_the_first_and_touches_nothing",
        ),
    ),
    Fault(
        "app gets SIGTERM; SIGINT twice",
        "child gone; the second forces",
        (
            ADOPT + "sigterm_to_the_app_takes_the_engine_along",
            ADOPT + "a_second_ctrl_c_forces_the_end",
            ADOPT + "a_second_ctrl_c_forces_an_engine_that_came_down_to_the_page",
        ),
    ),
    Fault(
        "the command that manages the page's engine is killed, or ends",
        "the page manages the engine itself: adopted, or stopped and startable",
        (ADOPT + "a_page_manages_the_engine_itself_when_the_command_that_did_is_gone",),
    ),
    Fault(
        "disk full / killed / corrupt during download",
        "FAILED with the bytes needed / resumes / never marked complete",
        (
            PLACES + "too_small_a_disk_is_told_before_anything_is_fetched",
            PLACES + "a_disk_that_fills_up_on_the_way_is_told_and_the_rest_resumed",
            DOWNLOAD + "a_killed_child_is_told_and_the_next_download_goes_on_where_it_stopped",
            DOWNLOAD + "a_wrong_hash_is_never_marked_complete",
        ),
    ),
    Fault(
        "a model is to be deleted while an engine, also one beside the page's, starts, serves or waits to restart",
        "refused, the engine named; deleted once it is stopped",
        (
            "tests/lifecycle/test_model_in_use.py::test_a_served_model_is_kept_and_its_engine_named",
            "tests/lifecycle/test_model_in_use.py::test_a_model_that_waits_for_its_restart_is_kept",
            "tests/lifecycle/test_model_in_use.py::test_a_model_that_the_lab_serves_beside_the_engine_is_kept",
        ),
    ),
    Fault(
        "crash loop",
        "waits grow, then FAILED",
        (SERVE + "a_crash_loop_waits_longer_each_time_and_then_fails",),
    ),
    Fault(
        "a start is asked for while a crashed engine is swept",
        "it follows the sweep, and no restart gets in between",
        (SERVE + "a_start_asked_for_while_a_crashed_engine_is_swept_follows",),
    ),
    Fault(
        "kill −9 while a run is being stored",
        "every earlier sample is readable, the run says 'interrupted'",
        (
            STORE + "a_run_whose_process_was_killed_is_interrupted_and_its_samples_are_readable",
            RUNS + "killing_the_app_in_mid_run_loses_no_stored_sample",
        ),
    ),
)


def main() -> int:
    """Runs the tests, prints the table and writes it; exit status 1 when a row did not pass."""
    parser = argparse.ArgumentParser(prog="python -m tests.lifecycle.fault_table", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    wanted = parser.parse_args()
    rows = [(fault, judge(fault, outcomes)) for outcomes in [run_tests()] for fault in FAULTS]
    text = page(rows)
    print(text)
    wanted.out.write_text(text, encoding="utf-8")
    return 0 if all(result.word == "passed" for _, result in rows) else 1


def run_tests() -> dict[str, list[tuple[str, float]]]:
    """Returns, for every test without its parameters, (passed, failed or skipped, seconds) of each time it ran."""
    names = [name for fault in FAULTS for name in fault.tests]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--durations=0", f"--junitxml={path}", *names]
        subprocess.run(command, cwd=ROOT, check=False)
        cases = list(ET.parse(path).iter("testcase"))
    outcomes: dict[str, list[tuple[str, float]]] = {}
    for case in cases:
        bad = case.find("failure") is not None or case.find("error") is not None
        word = "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"
        file = (case.get("classname") or "").replace(".", "/") + ".py"
        name = (case.get("name") or "").partition("[")[0]
        outcomes.setdefault(f"{file}::{name}", []).append((word, float(case.get("time") or 0)))
    return outcomes


def judge(fault: Fault, outcomes: dict[str, list[tuple[str, float]]]) -> Result:
    """Returns how the tests of one row went; a test that did not run counts as failed."""
    runs = [run for name in fault.tests for run in outcomes.get(name, [("failed", 0.0)])]
    words = [word for word, _ in runs]
    slowest = max(seconds for _, seconds in runs)
    return Result(words.count("passed"), words.count("failed"), words.count("skipped"), slowest)


def page(rows: list[tuple[Fault, Result]]) -> str:
    """Returns the table as Markdown."""
    machine = Machine.load(load_settings())
    passed = sum(result.word == "passed" for _, result in rows)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        "# What may go wrong with the engine, and what then happens",
        "",
        "Every row is injected by tests with real child processes; each also asserts that no process, port, lock,",
        "socket, open file or thread is left. Written by `python -m tests.lifecycle.fault_table`.",
        "",
        f"{when}, Python {platform.python_version()}, {platform.system()}, {machine.cores} cores: "
        f"**{passed} of {len(rows)} rows passed.**",
        "",
        "| fault | passes when | tests | slowest | result |",
        "| --- | --- | --- | --- | --- |",
    ]
    for fault, result in rows:
        count = result.passed + result.failed + result.skipped
        lines.append(f"| {fault.what} | {fault.must} | {count} | {result.slowest:.1f} s | {result.word} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
