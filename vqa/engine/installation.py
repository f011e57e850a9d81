"""A start that has to wait until the engine's environment is installed, and what is said where it is not."""

from __future__ import annotations

import time

from vqa.engine.environments import engine_environment, installing
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Cancelled, DownloadBytes, Prepare, Report
from vqa.errors import EngineError
from vqa.settings import Settings

POLL_SECONDS = 0.5


def after_installation(settings: Settings, prepare: Prepare | None) -> Prepare:
    """Returns what waits for the installation under way and then fetches the model, where that is needed."""

    def wait_then(spec: EngineSpec, report: Report, cancelled: Cancelled) -> EngineSpec:
        while (now := installing(settings)) and not cancelled():
            report(DownloadBytes(installing=now.name, detail=now.doing))
            time.sleep(POLL_SECONDS)
        if cancelled():
            return spec
        used = engine_environment(settings)
        if used is not None and used.state == "failed":
            raise not_installed(settings, str(used.python))
        return prepare(spec, report, cancelled) if prepare else spec

    return wait_then


def not_installed(settings: Settings, python: str) -> EngineError:
    """Returns why there is no vLLM to start: its installation failed, or it was never installed in `python`."""
    used = engine_environment(settings)
    if used is not None and used.state == "failed":
        lines = [line for line in used.reason.splitlines() if line.strip()]
        return EngineError(
            "engine_install_failed", name=used.name, reason=lines[-1] if lines else "interrupted", log=used.log
        )
    return EngineError("engine_not_installed", python=python)
