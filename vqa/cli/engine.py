"""`python -m vqa serve|start|stop|restart|status|logs`: the one engine that the page sees too."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vqa.cli import cli_language
from vqa.cli.phases import PhaseLines
from vqa.cli.planning import learn_flags, overlay, plan
from vqa.engine import logfile
from vqa.engine.access import peek
from vqa.engine.control import RemoteEngine
from vqa.engine.machine import Machine
from vqa.engine.opening import engine_folder, open_engine
from vqa.engine.shell import spelled
from vqa.engine.spec import check as check_spec
from vqa.engine.state import DownloadBytes, Engine, EngineState, Failure, Snapshot
from vqa.engine.takeover import Takeover
from vqa.engine.vllm_args import check_with_vllm
from vqa.errors import EngineError, InputError
from vqa.settings import Settings, load_settings
from vqa.text import t

_FREE_WORDS = {"allow_extra_args": True, "ignore_unknown_options": True}
_POLL = 0.3
Model = Annotated[str | None, typer.Argument(help="A folder or a model id; VQA_MODEL, else the demo model.")]
ProfileName = Annotated[str | None, typer.Option("--profile", help="An engine profile, such as no-prefix-cache.")]
PresetName = Annotated[str | None, typer.Option("--preset", help="A preset saved on the page.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command(context_settings=_FREE_WORDS)(serve)
    app.command(context_settings=_FREE_WORDS)(start)
    app.command()(stop)
    app.command(context_settings=_FREE_WORDS)(restart)
    app.command()(status)
    app.command()(logs)
    app.command(context_settings=_FREE_WORDS)(check)


def serve(context: typer.Context, model: Model = None, profile: ProfileName = None, preset: PresetName = None) -> int:
    """Serve a model until Ctrl-C. Further flags are vLLM's own, as for `vllm serve`, and --lora NAME=FOLDER."""
    settings = load_settings()
    _no_attach(settings)
    engine = open_engine(settings)
    ours = False
    try:
        spec, prepare = plan(settings, model, profile, preset, context.args)
        _say("serving", command=spec.command())
        engine.start(spec, prepare)
        ours = True
        if _follow(engine).state is not EngineState.READY:
            return 1
        _say("serve_ready", url=engine.snapshot().base_url)
        last = engine.wait(lambda now: not now.serving and now.state is not EngineState.BACKOFF)
        _report_failure(last)
        return 1 if last.state is EngineState.FAILED else 0
    finally:
        if ours:
            _stop_and_close(engine)
        else:  # a wrong flag ends nobody's engine
            engine.close(leave_running=True)


def start(
    context: typer.Context,
    model: Model = None,
    profile: ProfileName = None,
    preset: PresetName = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when it is ready, or at once.")] = True,
) -> int:
    """Start the engine and leave it running. Further flags are vLLM's own, as for `vllm serve`."""
    settings = load_settings()
    _no_attach(settings)
    with _opened(settings) as engine:
        spec, prepare = plan(settings, model, profile, preset, context.args)
        engine.start(spec, prepare)
        if wait:
            return _result(_follow(engine))
        # Only this process can fetch a model for itself, so it stays until the engine's own process runs.
        now = engine.wait(lambda now: now.state is not EngineState.DOWNLOADING)
        return _result(now, (EngineState.STARTING, EngineState.READY))


def stop(force: Annotated[bool, typer.Option("--force", help="Kill it at once.")] = False) -> int:
    """Stop the engine; harmless when none runs."""
    settings = load_settings()
    _no_attach(settings)
    with _opened(settings) as engine:
        engine.stop(force)
        now = engine.wait()
        if now.serving:  # who managed it was killed meanwhile, and this process has taken it over
            engine.stop(force)
            now = engine.wait()
        _report_failure(now)
        stopped = "stopped" if now.killed is None else "stopped_killed"
        seconds = f"{now.killed or 0:.0f}"
        _say(stopped if now.state is EngineState.STOPPED else "not_stopped", seconds=seconds)
        return 0 if now.state is EngineState.STOPPED else 1


def restart(context: typer.Context, profile: ProfileName = None) -> int:
    """Restart the engine, with other vLLM flags when given."""
    settings = load_settings()
    _no_attach(settings)
    with _opened(settings) as engine:
        from vqa.models.share import share_again

        spec = engine.snapshot().spec
        if spec is None:
            raise EngineError("engine_nothing_to_restart")
        wanted = share_again(overlay(spec, context.args, profile), spec, Machine.load(settings))
        learn_flags(wanted, spec, settings)
        begun = engine.restart(wanted)
        engine.wait(lambda now: now.generation >= begun and now.state is not EngineState.STOPPING)
        return _result(_follow(engine))


def status(as_json: Annotated[bool, typer.Option("--json", help="Print everything known as JSON.")] = False) -> int:
    """Say what the engine is doing; exit status 0 when it is ready, else 1."""
    now = peek(load_settings())
    if as_json:
        print(json.dumps(now.to_dict(), ensure_ascii=False, indent=1))
    else:
        for line in _status_lines(now):
            print(line)
    return 0 if now.state is EngineState.READY else 1


def logs(
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many of the last lines.")] = 100,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on printing what comes, until Ctrl-C.")] = False,
) -> int:
    """Print the engine's log."""
    path = engine_folder(load_settings()) / "engine.log"
    for line in logfile.tail(path, lines):
        print(line)
    if follow:
        _follow_log(path)
    return 0


def check(context: typer.Context, model: Model = None, profile: ProfileName = None, preset: PresetName = None) -> int:
    """Ask vLLM's own parser whether it takes these flags, without starting anything; exit status 0 when it does."""
    settings = load_settings()
    spec, _ = plan(settings, model, profile, preset, context.args)
    if problems := check_spec(spec, Machine.load(settings)):
        raise problems[0]
    if reason := check_with_vllm(spec, settings):
        raise InputError("vllm_parser", reason=reason)
    _say("checked", command=spec.command())
    return 0


def _follow_log(path: Path) -> None:
    offset = path.stat().st_size if path.exists() else 0
    follower = logfile.LogFollower(path, 0, 0, offset)
    while True:
        for line in follower.read():
            print(line, flush=True)
        time.sleep(_POLL)


def _no_attach(settings: Settings) -> None:
    if settings.base_url:
        raise EngineError("engine_attached", base_url=settings.base_url)


@contextmanager
def _opened(settings: Settings) -> Iterator[Engine]:
    """Yields the engine, and leaves it running afterwards.

    A command that asks, such as `vqa evaluate`, may manage it, and lets go of it as soon as it is stopped.
    """
    engine = open_engine(settings)
    if isinstance(engine, RemoteEngine):
        engine = Takeover(engine, lambda: open_engine(settings))
    try:
        yield engine
    finally:
        engine.close(leave_running=True)


def _follow(engine: Engine) -> Snapshot:
    """Prints the phases of a start until it has settled; returns the last snapshot."""
    told = PhaseLines()
    percent, variables = -1, ""
    while True:
        now = engine.wait(timeout=_POLL)
        if now.variables and (given := spelled(now.variables)) != variables:
            variables = given
            print(t("engine.cli_variables", cli_language(), variables=given), file=sys.stderr, flush=True)
        for line in told.lines(now):
            print(line, file=sys.stderr, flush=True)
        if now.progress and (reached := _percent(now.progress)) >= percent + 5:
            percent = reached
            print(f"{now.elapsed:6.1f} s  {percent} %", file=sys.stderr, flush=True)
        if now.settled:
            _report_failure(now)
            return now


def _percent(progress: DownloadBytes) -> int:
    return int(100 * progress.done_bytes / progress.total_bytes) if progress.total_bytes else -1


def _stop_and_close(engine: Engine) -> None:
    """Stops and closes; a second Ctrl-C meanwhile kills the engine at once."""
    try:
        engine.stop()
        engine.wait()
    except (KeyboardInterrupt, SystemExit):
        engine.stop(force=True)
        engine.wait(timeout=10)
    finally:
        engine.close()


def _result(now: Snapshot, good: tuple[EngineState, ...] = (EngineState.READY,)) -> int:
    if now.state in good and now.failure is None:  # with one, it is the former model that serves again
        _say("started", url=now.base_url, model=now.model_id or (now.spec.served_model_name if now.spec else ""))
        return 0
    return 1


def _report_failure(now: Snapshot) -> None:
    if now.failure is None:
        return
    language = cli_language()
    for line in (*log_shown(now.failure), ""):
        print(line, file=sys.stderr)
    print(f"{now.failure.message(language)}\n{now.failure.hint(language)}", file=sys.stderr)
    print(t("engine.cli_whole_log", language, path=now.log_path), file=sys.stderr)


def log_shown(failure: Failure) -> list[str]:
    """Returns what to print of the log: the lines around the one that shows the cause, marked, else its end."""
    if not failure.log_around:
        return [f"  | {line}" for line in failure.log_tail]
    return [f"{'> |' if line.strip() == failure.log_line else '  |'} {line}" for line in failure.log_around]


def _say(key: str, **values: object) -> None:
    print(t(f"engine.cli_{key}", cli_language(), **values), flush=True)


def _status_lines(now: Snapshot) -> Iterator[str]:
    language = cli_language()
    rows: list[tuple[str, object]] = [("state", t(f"engine.state_{now.state}", language))]
    if now.phase and now.state in (EngineState.STARTING, EngineState.DOWNLOADING):
        rows.append(("phase", f"{t(f'engine.phase_{now.phase}', language)} ({now.elapsed:.0f} s)"))
    if now.failure:
        rows += [("why", now.failure.message(language)), ("remedy", now.failure.hint(language))]
    rows += [
        ("model", now.model_id),
        ("address", now.base_url),
        ("processes", ", ".join(map(str, now.pids))),
        ("vllm", now.vllm_version),
        ("variables", spelled(now.variables)),
        ("manager", now.holder),
        ("command", now.spec.command() if now.spec and now.pids else None),
        ("log", now.log_path if now.spec else None),
    ]
    for key, value in rows:
        if value:
            yield f"{t(f'engine.row_{key}', language)}: {value}"
