"""`python -m vqa doctor`: what is installed, which device is used, what would be run, and what is wrong."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from vqa import __version__
from vqa.cli import cli_language
from vqa.engine import shell
from vqa.engine.access import peek
from vqa.engine.bundle import write_bundle
from vqa.engine.environments import Environment, engine_environment, engine_python, environments, installing
from vqa.engine.machine import Machine
from vqa.engine.ports import port_free, port_owner
from vqa.engine.profiles import BATCH_INVARIANT
from vqa.engine.python_facts import facts_of, torchvision_kind
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.engine.supervisor import engine_folder
from vqa.engine.torchvision import Kind
from vqa.errors import VQAError
from vqa.loopback import HOST
from vqa.models.serve import plan_start
from vqa.models.share import plan_share
from vqa.settings import Settings, load_settings
from vqa.store import Store
from vqa.text import t

PACKAGES = ("gradio", "openai", "pillow", "modelscope", "huggingface-hub", "SQLAlchemy")
LEAST_FREE_DISK = 2_000_000_000
GOOD, WARNING, BAD = "ok", "warning", "problem"
MARKS = {GOOD: "✓", WARNING: "!", BAD: "✗"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    level: str
    """`ok`, `warning` or `problem`."""
    what: str
    found: str
    remedy: str = ""


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Also pack versions, flags and the engine's log, without secrets, into this zip file."),
    ] = None,
) -> int:
    """Say what is installed and what is wrong; exit status 0 when questions can be answered here, 1 when not.

    That needs an engine that can be started, or the server of VQA_BASE_URL that answers.
    """
    settings = load_settings()
    findings = examine(settings)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        for finding in findings:
            print(f"{MARKS[finding.level]} {finding.what}: {finding.found}")
            if finding.remedy:
                print(f"    → {finding.remedy}")
    if bundle is not None:
        print(_say("bundled", path=bundle, names=", ".join(_packed(settings, findings, bundle))), file=sys.stderr)
    return 1 if any(finding.level == BAD for finding in findings) else 0


def _packed(settings: Settings, findings: list[Check], path: Path) -> list[str]:
    """Writes the bundle; returns the names of its parts."""
    engine = engine_folder(settings)
    facts = {
        "doctor": [asdict(finding) for finding in findings],
        "engine": peek(settings).to_dict(),
        "machine": asdict(Machine.load(settings)),
        "environment": asdict(facts_of(engine_python(settings), engine)),
    }
    secrets = (settings.api_key.get_secret_value(), settings.auth.get_secret_value() if settings.auth else "")
    return write_bundle(path, facts, (engine / "engine.log", engine / "engine.previous.log"), secrets)


def examine(settings: Settings) -> list[Check]:
    """Returns all findings about this machine under these settings."""
    machine = Machine.load(settings)
    checks: tuple[Callable[[], list[Check]], ...] = (
        _app,
        lambda: _device(machine),
        lambda: _server(settings) if settings.base_url else _vllm(machine, settings),
        lambda: [] if settings.base_url else _model(settings, machine),
        lambda: [] if settings.base_url else [_port("doctor.engine_port", HOST, settings.engine_port)],
        lambda: [_port("doctor.page_port", settings.host, settings.port)],
        lambda: _storage(settings),
    )
    return [finding for check in checks for finding in check()]


def _say(key: str, **values: object) -> str:
    return t(f"doctor.{key}", cli_language(), **values)


def _app() -> list[Check]:
    versions = ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name)))
    return [
        Check(GOOD, "VQA Lab", f"{__version__}, Python {platform.python_version()}, {platform.platform()}"),
        Check(GOOD, _say("packages"), versions),
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device(machine: Machine) -> list[Check]:
    findings = [
        Check(GOOD, gpu.name, _say("gpu", memory=f"{gpu.memory_total / 1e9:.0f}", capability=gpu.capability))
        for gpu in machine.gpus
    ]
    if not findings:
        findings = [Check(GOOD, _say("device"), _say("no_gpu"))]
    elif machine.device == "cpu":
        findings.append(Check(WARNING, _say("device"), _say("gpu_unused"), _say("gpu_unused_remedy")))
    memory = _say("memory", total=f"{machine.ram_total / 1e9:.0f}", free=f"{machine.ram_available / 1e9:.0f}")
    level = GOOD if machine.ram_available > 3e9 else WARNING
    return [*findings, Check(level, _say("ram"), f"{memory}, {_say('cores', count=machine.cores)}")]


def _vllm(machine: Machine, settings: Settings) -> list[Check]:
    coming = installing(settings)
    if coming is not None:
        return [Check(WARNING, _say("engine"), _say("engine_installing", name=coming.name, doing=coming.doing))]
    used = engine_environment(settings)
    if used is not None and used.state == "failed":
        said = _say("engine_failed", name=used.name, reason=(used.reason.strip().splitlines() or ["?"])[-1])
        return [Check(BAD, _say("engine"), said, _say("engine_failed_remedy", log=used.log))]
    if not machine.python_works:
        return [Check(BAD, "vLLM", _say("no_python", path=machine.python), _say("no_python_remedy"))]
    if machine.vllm_version is None:
        return [Check(BAD, "vLLM", _say("no_vllm", path=machine.python), _say("no_vllm_remedy"))]
    findings = [Check(GOOD, "vLLM", f"{machine.vllm_distribution} {machine.vllm_version}")]
    findings += [_torchvision(machine, settings), *_variables(machine), *_environments(machine, used, settings)]
    return findings


def _variables(machine: Machine) -> list[Check]:
    """What an engine that is started from this shell has of it, and what it does not get."""
    if problem := shell.refused(os.environ, machine):
        return [Check(BAD, _say("variables"), problem.message(cli_language()), problem.hint(cli_language()))]
    findings = []
    if found := shell.inherited(os.environ, EngineSpec("").env(os.environ)):
        findings.append(Check(WARNING, _say("variables"), shell.spelled(found), _say("variables_remedy")))
    if (value := shell.set_aside(os.environ)) is not None:
        said = _say("variables_set_aside", name=BATCH_INVARIANT, value=value)
        findings.append(Check(WARNING, _say("variables"), said, _say("variables_set_aside_remedy")))
    return findings


def _torchvision(machine: Machine, settings: Settings) -> Check:
    folder = engine_folder(settings)
    version = facts_of(machine.python, folder).versions.get("torchvision")
    try:
        kind = torchvision_kind(machine.python, folder)
    except OSError:
        kind = Kind.BROKEN
    if kind is Kind.MISSING:
        return Check(WARNING, "torchvision", _say("no_torchvision"), _say("no_torchvision_remedy"))
    if kind is Kind.BROKEN:
        return Check(
            WARNING, "torchvision", _say("torchvision_broken", version=version), _say("torchvision_broken_remedy")
        )
    return Check(GOOD, "torchvision", _say(f"torchvision_{kind}", version=version))


def _environments(machine: Machine, used: Environment | None, settings: Settings) -> list[Check]:
    name = used.name if used else f"{machine.vllm_distribution} {machine.vllm_version}"
    findings = [Check(GOOD, _say("engine"), _say("engine_ready", name=name, python=machine.python))]
    if others := [each.name for each in environments(settings) if used is None or each.name != used.name]:
        findings.append(Check(GOOD, _say("engine"), _say("engine_other", names=", ".join(others))))
    return findings


def _server(settings: Settings) -> list[Check]:
    try:
        now = peek(settings)
    except VQAError as error:
        return [Check(BAD, _say("server"), error.message(cli_language()), error.hint(cli_language()))]
    if now.state is not EngineState.READY:
        reason = now.failure.message(cli_language()) if now.failure else now.state.value
        remedy = now.failure.hint(cli_language()) if now.failure else ""
        return [Check(BAD, _say("server"), f"{settings.base_url}: {reason}", remedy)]
    found = [str(settings.base_url), now.model_id, now.vllm_version and f"vLLM {now.vllm_version}"]
    return [Check(GOOD, _say("server"), ", ".join(str(each) for each in found if each))]


def _model(settings: Settings, machine: Machine) -> list[Check]:
    try:
        spec, prepare = plan_start(settings)
    except VQAError as error:
        return [Check(BAD, _say("model"), error.message(cli_language()), error.hint(cli_language()))]
    found = _say("to_download", model=spec.served_model_name) if prepare else str(spec.served_model_name)
    findings = [Check(GOOD, _say("model"), found), Check(GOOD, _say("command"), spec.command())]
    if share := plan_share(spec, machine):
        findings.append(Check(GOOD, _say("share"), share.explanation(cli_language())))
    return findings


def _port(key: str, host: str, port: int) -> Check:
    what = t(key, cli_language(), port=port)
    try:
        free = port_free(host, port)
    except (OSError, ValueError, TypeError) as problem:  # no address of this machine's, or none at all
        reason = getattr(problem, "strerror", None) or str(problem)
        return Check(BAD, what, _say("host_unusable", host=host, reason=reason), _say("host_unusable_remedy"))
    if free:
        return Check(GOOD, what, _say("free"))
    return Check(WARNING, what, _say("taken", owner=port_owner(port)), _say("taken_remedy"))


def _storage(settings: Settings) -> list[Check]:
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        Store(settings.database).close()
    except OSError as problem:
        return [Check(BAD, _say("data"), f"{folder}: {problem.strerror}", _say("data_remedy"))]
    except VQAError as error:
        return [Check(BAD, _say("data"), error.message(cli_language()), error.hint(cli_language()))]
    if not os.access(folder, os.W_OK):
        return [Check(BAD, _say("data"), _say("not_writable", path=folder), _say("data_remedy"))]
    level = GOOD if free > LEAST_FREE_DISK else WARNING
    return [Check(level, _say("data"), _say("disk", path=_short(folder), free=f"{free / 1e9:.1f}"))]


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
