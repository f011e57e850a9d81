"""Which server a command speaks to: the given one, the running engine of this data folder, or one of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vqa.cli import cli_language
from vqa.cli.engine import log_shown
from vqa.client import normalize_base_url
from vqa.engine.state import Engine, EngineState
from vqa.errors import EngineError
from vqa.settings import Settings
from vqa.text import t


@dataclass(frozen=True)
class Target:
    """A server that answers, and the engine behind it where it is ours to restart."""

    base_url: str
    engine: Engine | None
    model: str | None = None
    """What the server calls the model that was asked for; None stands for its first one."""


LOG_LINES = 10


@contextmanager
def target(settings: Settings, base_url: str | None = None, *, model: str | None = None) -> Iterator[Target]:
    """Yields a server that is ready; an engine started for this command, with `model`, is stopped afterwards.

    Raises:
        InputError: the address is none.
        EngineError: no engine runs and none could be started.
    """
    if address := base_url or settings.base_url:
        yield Target(normalize_base_url(address), None, model)
        return
    from vqa.engine.opening import open_engine
    from vqa.models.serve import plan_start

    engine = open_engine(settings)
    ours = False
    try:
        snapshot = engine.snapshot()
        if snapshot.state in {EngineState.STOPPED, EngineState.FAILED}:
            ours = True
            spec, prepare = plan_start(settings, model)
            print(t("cli.starting_engine", cli_language(), model=spec.served_model_name), file=sys.stderr)
            engine.start(spec, prepare)
        snapshot = engine.wait(lambda now: now.serving or now.state in {EngineState.STOPPED, EngineState.FAILED})
        if not snapshot.serving or snapshot.base_url is None:
            failure = snapshot.failure
            language = cli_language()
            for line in log_shown(failure)[-LOG_LINES:] if failure else ():
                print(line, file=sys.stderr)
            reason = failure.message(language) if failure else snapshot.state.value
            raise EngineError("engine_not_started", reason=reason, hint=failure.hint(language) if failure else "")
        yield Target(snapshot.base_url, engine, snapshot.model_id if ours else model)
    finally:
        if ours:
            engine.stop()
            engine.wait(timeout=30)
        engine.close(leave_running=not ours)
