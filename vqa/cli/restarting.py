"""`python -m vqa diagnose --restarts`, `--across` and `--then`: what restarts the engine and asks again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vqa.cli import cli_language
from vqa.cli.lab import followed
from vqa.cli.lab_output import Outputs
from vqa.cli.target import target
from vqa.engine.profiles import PROFILES
from vqa.errors import EngineError, InputError
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.manager import RunManager
from vqa.settings import Settings

if TYPE_CHECKING:
    from vqa.lab.run.job import Work


def across_settings(settings: Settings, spec: RunSpec, base_url: str | None, outputs: Outputs) -> int:
    """Restarts the engine with one setting unlike at a time, and tells which of them changes answers.

    Raises:
        EngineError: the server is not managed from here.
    """
    from vqa.lab.run.across import across_work

    return _restarted(settings, spec, base_url, across_work(spec), outputs)


def with_restarts(settings: Settings, spec: RunSpec, base_url: str | None, outputs: Outputs) -> int:
    """Diagnoses with everything that takes a restart, and returns the exit status.

    Raises:
        EngineError: the server is not managed from here.
    """
    from vqa.lab.run.diagnose_job import diagnose_work

    return _restarted(settings, spec, base_url, diagnose_work(spec, restarts=True), outputs)


def _restarted(settings: Settings, spec: RunSpec, base_url: str | None, work: Work, outputs: Outputs) -> int:
    outputs.check(cli_language())
    with target(settings, base_url, model=spec.model) as server:
        if server.engine is None:
            raise EngineError("engine_not_managed")
        named = replace(spec, model=server.model)
        return followed(
            settings,
            lambda manager: manager.start_work(work, named, server.base_url, kind="diagnose", engine=server.engine),
            spec.require,
            outputs,
        )


def checked_again(settings: Settings, spec: RunSpec, base_url: str | None, profile: str, outputs: Outputs) -> int:
    """Diagnoses, restarts the engine under the profile and diagnoses again; the engine stays under it."""
    from vqa.lab.run.diagnose_job import diagnose_work

    if profile not in PROFILES:
        raise InputError("profile_unknown", name=profile, known=", ".join(PROFILES))
    outputs.check(cli_language())
    with target(settings, base_url, model=spec.model) as server:
        if server.engine is None:
            raise EngineError("engine_not_managed")
        before: list[str] = []

        def first(manager: RunManager) -> str:
            before.append(manager.start(spec, server.base_url, kind="diagnose", engine=server.engine))
            return before[0]

        def second(manager: RunManager) -> str:
            work = diagnose_work(spec, profile=profile, before=before[0])
            return manager.start_work(work, spec, server.base_url, kind="diagnose", engine=server.engine)

        followed(settings, first, spec.require, Outputs())
        return followed(settings, second, spec.require, outputs)
