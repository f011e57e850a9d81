"""What settings mean for the engine: the operator's own flags, and a look at its state that takes over nothing."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from vqa import loopback
from vqa.engine import adopt, health, log, logfile, process, record
from vqa.engine.attach import AttachedEngine
from vqa.engine.opening import engine_folder, remote_engine
from vqa.engine.state import EngineState, Failure, Limits, Phase, Snapshot
from vqa.errors import EngineError, InputError
from vqa.settings import Settings

_MANAGED = (
    "--model", "--served-model-name", "--host", "--port", "--api-key", "--uds", "--ssl-keyfile", "--ssl-certfile",
    "--headless",
)  # fmt: skip
"""What has a place of its own, or would let the engine answer where, how or by a name that nobody here asks for."""
_ASKABLE = (*loopback.ANY, loopback.HOST, "localhost")
"""Hosts at which the engine can still be asked from this machine."""
_DYING = 2.0
"""Seconds that a process may take to be gone after SIGKILL."""
_WRONG = ("stranger", "other_model")
"""Findings that no further loading mends."""


def peek(settings: Settings) -> Snapshot:
    """Returns the engine's state without taking over anything: from its holder, else from the engine itself.

    Where nobody manages it, it is asked one question, as an app that adopts it would do; that takes seconds at most.
    Where its first process is gone and others of it live on, they are ended.

    Raises:
        EngineError: the process that manages the engine does not answer.
    """
    if settings.base_url:
        attached = AttachedEngine(settings.base_url, settings.api_key.get_secret_value(), model=settings.model or None)
        try:
            return attached.wait(timeout=30)
        finally:
            attached.close()
    if remote := remote_engine(settings):
        return remote.snapshot()
    folder = engine_folder(settings)
    path = folder / "engine.log"
    written = record.load(folder / "engine.json")
    if written is None:
        return Snapshot(EngineState.STOPPED, log_path=str(path))
    group = adopt.group_of(written)
    if group.leader() is None:
        return _swept(group, Snapshot(EngineState.STOPPED, written.generation, log_path=str(path)), path)
    group.refresh()
    key = settings.api_key.get_secret_value()
    found = adopt.look(written, group, "" if key == "EMPTY" else key, Limits())
    return _judged(replace(adopt.snapshot_of(written, group), log_path=str(path)), found, logfile.tail(path, 50))


def _swept(group: process.Group, stopped: Snapshot, log_path: Path) -> Snapshot:
    """Ends what an engine left whose first process is gone, and returns what is true of it then.

    Nobody manages it, and its worker would keep its memory for as long as nobody starts another one.
    """
    group.refresh(thorough=True)
    left = group.alive()
    if not left:
        return stopped
    lines = logfile.tail(log_path, 50)
    group.kill()
    _, alive = psutil.wait_procs(left, timeout=_DYING)
    failure = Failure("left_behind", {"pids": ", ".join(str(each.pid) for each in left)}, log_tail=lines)
    return replace(stopped, state=EngineState.FAILED, failure=failure, survivors=tuple(each.pid for each in alive))


def _judged(now: Snapshot, found: health.Probe, lines: Sequence[str]) -> Snapshot:
    """Returns what is written down of a living engine, with what it really answered."""
    if found.fine:
        return replace(
            now,
            state=EngineState.READY,
            phase=Phase.READY,
            model_id=found.model_id,
            max_model_len=found.max_model_len,
            takes_images=found.takes_images,
            vllm_version=found.version or now.vllm_version,
        )
    now = replace(now, model_id=None)
    told = found.code or ""
    if now.ready_at is None and not told.startswith("chat_") and told not in _WRONG:  # it is still loading
        phase = Phase.IMPORTING
        for line in lines:
            phase = log.later(phase, log.phase_of(line)) or phase
        return replace(now, phase=phase)
    failure = Failure(told, found.values, log_tail=tuple(lines))
    return replace(now, state=EngineState.UNHEALTHY, failure=failure)


def in_use(settings: Settings) -> Snapshot | None:
    """Returns the engine of these settings if it has processes or is about to; asks it nothing. None when it rests."""
    try:
        remote = remote_engine(settings)
        now = remote.snapshot() if remote else None
    except EngineError:  # its holder hangs, which ends no engine
        now = None
    if now is None and (written := record.load(engine_folder(settings) / "engine.json")):
        group = adopt.group_of(written)
        now = adopt.snapshot_of(written, group) if group.leader() else None
    return now if now and now.state not in (EngineState.STOPPED, EngineState.FAILED) else None


def engine_args(settings: Settings) -> tuple[str, ...]:
    """Returns the operator's own flags for vLLM.

    Raises:
        InputError: they cannot be split, or name what has a setting or a field of its own. A part of such a name is
            refused too, since vLLM's parser completes it.
    """
    try:
        words = shlex.split(settings.engine_args)
    except ValueError as problem:
        raise InputError("engine_args_invalid", reason=str(problem)) from problem
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        flag = _managed(name)
        if flag and not (flag == "--host" and (value if equals else following) in _ASKABLE):
            raise InputError("engine_args_managed", flag=flag)
    return tuple(words)


def _managed(name: str) -> str | None:
    """Returns the managed flag that vLLM's parser takes `name` for, or None."""
    if len(name) < 3 or not name.startswith("--"):
        return None
    plain = name.partition(".")[0].replace("_", "-")
    return next((flag for flag in _MANAGED if flag.startswith(plain)), None)
