"""What a command says of the phases of a start."""

from __future__ import annotations

from collections.abc import Iterator

from vqa.cli import cli_language
from vqa.engine.state import EngineState, Phase, Snapshot
from vqa.text import t


class PhaseLines:
    """That one begins, and how long it took once the next has begun.

    The seconds of a phase stand beside its own name; beside the moment of its beginning they were taken for them.
    """

    def __init__(self) -> None:
        self._begun: set[Phase] = set()
        self._ended: set[Phase] = set()

    def lines(self, now: Snapshot) -> Iterator[str]:
        """Yields what is new in `now`; of a start that failed, no further phase begins."""
        failed = now.state is EngineState.FAILED
        for place, mark in enumerate(now.phases):
            name = t(f"engine.phase_{mark.phase}", cli_language())
            last = place == len(now.phases) - 1
            if mark.phase is Phase.READY:
                if mark.phase not in self._begun:
                    yield f"{now.elapsed:8.1f} s  {name}"
            elif last and not failed and mark.phase not in self._begun:
                yield f"{'':8}    {name} …"
            elif not last and mark.phase not in self._ended:
                self._ended.add(mark.phase)
                yield f"{mark.elapsed:8.1f} s  {name}"
            self._begun.add(mark.phase)
