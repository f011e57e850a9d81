"""Opens the one engine of some settings, whoever manages it: attached, managed here, or by another process."""

from collections.abc import Callable

from vqa.engine.attach import AttachedEngine
from vqa.engine.control import RemoteEngine
from vqa.engine.lock import Kind, read_holder
from vqa.engine.state import Engine, EngineState, Failure, Limits, Prepare, Snapshot
from vqa.engine.supervisor import Supervisor, engine_folder
from vqa.engine.takeover import Takeover
from vqa.errors import EngineError
from vqa.settings import Settings

__all__ = ["Engine", "EngineState", "Failure", "Limits", "Snapshot", "Supervisor", "engine_folder", "open_engine"]


def open_engine(
    settings: Settings,
    *,
    kind: Kind = "cli",
    on_change: Callable[[Snapshot], None] | None = None,
    preparer: Prepare | None = None,
    limits: Limits | None = None,
) -> Engine:
    """Returns the one engine of `settings`: attached to `base_url`, managed here, or by another process.

    A page outlives the commands of a terminal, so it manages the engine itself from when the command that did is gone.

    Raises:
        EngineError: another page manages the engine of this data folder and `kind` is "page", or its holder is silent,
            or nothing can be written there.
    """
    if settings.base_url:
        return AttachedEngine(
            settings.base_url,
            settings.api_key.get_secret_value(),
            model=settings.model or None,
            on_change=on_change,
            limits=limits,
        )

    def open_once() -> Engine:
        if remote := remote_engine(settings, kind):
            return remote
        try:
            return Supervisor(settings, on_change=on_change, preparer=preparer, kind=kind, limits=limits)
        except EngineError:
            if remote := remote_engine(settings, kind):  # somebody was quicker
                return remote
            raise

    try:
        opened = open_once()
    except OSError as problem:
        folder, reason = engine_folder(settings), problem.strerror or str(problem)
        raise EngineError("engine_folder_unusable", folder=folder, reason=reason) from problem
    return Takeover(opened, open_once) if kind == "page" and isinstance(opened, RemoteEngine) else opened


def remote_engine(settings: Settings, kind: Kind = "cli") -> RemoteEngine | None:
    """Returns the engine that another process manages, or None when nobody does.

    Raises:
        EngineError: it is a page, and `kind` is one too.
    """
    holder = read_holder(engine_folder(settings))
    if holder is None or holder.socket is None:
        return None
    if holder.kind == kind == "page":
        raise EngineError("engine_locked", holder=str(holder), folder=engine_folder(settings))
    return RemoteEngine(holder)
