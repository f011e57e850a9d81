"""The seconds that a command prints of a start are those that each phase took, not the moment at which it began."""

from dataclasses import replace

from vqa.cli.phases import PhaseLines
from vqa.engine.state import EngineState, Phase, PhaseMark, Snapshot


def test_a_phase_is_named_when_it_begins_and_timed_when_it_has_ended() -> None:
    told, now = PhaseLines(), Snapshot(EngineState.STARTING, phases=(PhaseMark(Phase.IMPORTING, 0.0, 0.3),))
    assert [line.split() for line in told.lines(now)] == [["Importing", "libraries", "…"]]
    assert list(told.lines(replace(now, phases=(PhaseMark(Phase.IMPORTING, 0.0, 40.0),)))) == []
    marks = (PhaseMark(Phase.IMPORTING, 0.0, 80.2), PhaseMark(Phase.LOADING, 80.2, 0.1))
    assert [line.split()[:3] for line in told.lines(replace(now, phases=marks))] == [
        ["80.2", "s", "Importing"],
        ["Loading", "weights", "…"],
    ]
    # Two looks apart, one phase came and went.
    marks = (
        marks[0], PhaseMark(Phase.LOADING, 80.2, 2.0), PhaseMark(Phase.KV_CACHE, 82.2, 1.5),
        PhaseMark(Phase.READY, 83.7, 0.0),
    )  # fmt: skip
    ready = Snapshot(EngineState.READY, phases=marks, elapsed=83.7)
    assert [line.split()[0] for line in told.lines(ready)] == ["2.0", "1.5", "83.7"]
    assert list(told.lines(ready)) == []


def test_a_failed_start_begins_nothing_more() -> None:
    marks = (PhaseMark(Phase.IMPORTING, 0.0, 5.0), PhaseMark(Phase.LOADING, 5.0, 1.0))
    lines = list(PhaseLines().lines(Snapshot(EngineState.FAILED, phases=marks)))
    assert len(lines) == 1
    assert lines[0].split()[:2] == ["5.0", "s"]
