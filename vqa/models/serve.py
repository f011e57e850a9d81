"""From the name of a model to what starts it: the engine's spec with the flags that it needs, and its download."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqa.engine.access import engine_args
from vqa.engine.kept_profile import USUAL, kept_profile
from vqa.engine.machine import Machine
from vqa.engine.opening import Supervisor
from vqa.engine.spec import PROFILES, EngineSpec
from vqa.engine.state import Cancelled, DownloadBytes, Engine, EngineState, Prepare, Report
from vqa.errors import VQAError
from vqa.models.catalog import DEMO_ID, find
from vqa.models.ids import split_revision, with_revision
from vqa.models.local import NeedsDownload, resolve
from vqa.models.share import with_share
from vqa.settings import DEMO_MODEL, Settings

log = logging.getLogger("vqa.app")
DEMO_NAME = "vqa-demo"
WHOLE_PREFILL = "--no-enable-chunked-prefill"
"""vLLM 0.32 on a CPU dies of a split prefill whose request has a seed and a temperature above 0: it rewinds the
request's random generator, and PyTorch's for CPUs cannot be rewound ('CPU Generator does not use offset')."""

DEMO_BLOCKS = "--num-gpu-blocks-override=512"
"""The CPU backend reserves whole GiB for the KV cache; 65,536 tokens are 32 whole contexts of the demo model, and leave
a laptop 0.6 GB more."""

DEMO_JSON = (
    "--structured-outputs-config.backend=guidance", "--structured-outputs-config.disable_any_whitespace=true",
)  # fmt: skip
"""A JSON answer may hold white space wherever JSON may, and the demo model, which never learnt JSON, writes nothing
else. vLLM takes this for a whole server alone, and with a named backend."""


def plan_start(settings: Settings, model: str | None = None, **fields: Any) -> tuple[EngineSpec, Prepare | None]:
    """Returns the spec for a model (a folder, an id, `demo`; the configured one when None) and how it gets here.

    `fields` override what the settings, the catalog and a kept profile give. The second value is None when the
    checkpoint is on this machine already.

    Raises:
        VQAError: the name, a setting or a field cannot be used, or the folder is no checkpoint.
    """
    wanted = settings.model if model is None else model
    extra_args = engine_args(settings)
    templated = bool(fields.get("chat_template")) or any(word.startswith("--chat-template") for word in extra_args)
    found = resolve(settings, wanted, templated=templated)
    folder = found.folder if isinstance(found, NeedsDownload) else found
    machine = Machine.load(settings)
    on_cpu = machine.device == "cpu"
    if on_cpu and "max_num_batched_tokens" not in fields and not any("chunked-prefill" in word for word in extra_args):
        extra_args = (*extra_args, WHOLE_PREFILL)
    if on_cpu and folder == DEMO_MODEL and not any("num-gpu-blocks" in word for word in extra_args):
        extra_args = (*extra_args, DEMO_BLOCKS)
    if folder == DEMO_MODEL and not any("structured-outputs" in word for word in extra_args):
        extra_args = (*extra_args, *DEMO_JSON)
    spec = EngineSpec(
        model=str(folder),
        served_model_name=_served_name(wanted, folder),
        port=settings.engine_port,
        # torch.compile costs a CPU half a minute at every first start and gains little on small models. On an H200 it
        # and the CUDA graphs took 22 of the seconds that the demo model's start needed after its imports, 17 without.
        enforce_eager=on_cpu or folder == DEMO_MODEL,
        profile=_profile(settings, str(folder), machine),
        extra_args=extra_args,
    )
    entry = find(wanted or DEMO_ID)
    # That a model needs its own Python code run is for the user to allow, not for a catalog.
    needed = {name: value for name, value in (entry.flags if entry else {}).items() if name != "trust_remote_code"}
    spec = replace(spec, **{**needed, **fields})
    if not {"gpu_memory_utilization", "kv_cache_memory_bytes"} & fields.keys():
        spec = with_share(spec, machine)
    return spec, _prepare(settings, found) if isinstance(found, NeedsDownload) else None


def _profile(settings: Settings, folder: str, machine: Machine) -> str:
    """Returns the profile that was kept for a model, unless this machine cannot run it (the data folder has moved)."""
    kept = kept_profile(settings, folder)
    return USUAL if kept is None or PROFILES[kept].available(machine) else kept


def fetch_for(settings: Settings) -> Prepare:
    """Returns what fetches the model of a spec whose folder is not here yet: for starts that another process asks for.

    A download's folder lies under the models folder by its id, so the id is read from the path.
    """

    def fetch(spec: EngineSpec, report: Report, cancelled: Cancelled) -> EngineSpec:
        folder = Path(spec.model)
        inside = folder.is_relative_to(settings.models_path)
        found = resolve(settings, str(folder.relative_to(settings.models_path)) if inside else spec.model)
        if isinstance(found, NeedsDownload):
            return _prepare(settings, found)(spec, report, cancelled)
        return replace(spec, model=str(found))

    return fetch


def _served_name(wanted: str, folder: Path) -> str:
    """Returns what clients call the model: its id, or the last part of its folder's path."""
    if folder == DEMO_MODEL:
        return DEMO_NAME
    entry, (_, revision) = find(wanted), split_revision(wanted)
    if entry:
        return with_revision(entry.id, revision)
    return wanted if not Path(wanted).expanduser().is_dir() else folder.name


def _prepare(settings: Settings, wanted: NeedsDownload) -> Prepare:
    def prepare(spec: EngineSpec, report: Report, cancelled: Cancelled) -> EngineSpec:
        from vqa.models.download import Progress, download

        def on_progress(now: Progress) -> None:
            report(
                DownloadBytes(
                    done_bytes=now.bytes_done,
                    total_bytes=now.bytes_total,
                    done_files=now.files_done,
                    total_files=now.files_total,
                    bytes_per_second=now.bytes_per_second,
                    seconds_left=now.seconds_left,
                    detail=", ".join(now.current_files),
                )
            )

        here = replace(spec, model=str(download(settings, wanted.model_id, on_progress, cancelled)))
        chosen = spec.gpu_memory_utilization is not None or spec.kv_cache_memory_bytes is not None
        # How much of a GPU it needs stands in files that were not here when the start was planned.
        return here if chosen else with_share(here, Machine.load(settings))

    return prepare


def start_configured(engine: Engine, settings: Settings) -> None:
    """Starts the configured model, unless one is running or the server is somebody else's.

    A problem is logged, and shown as the engine's failure where it is managed here.
    """
    if settings.base_url or engine.snapshot().state is not EngineState.STOPPED:
        return
    try:
        engine.start(*plan_start(settings))
    except VQAError as problem:
        log.warning("%s %s", problem.message(), problem.hint())
        if isinstance(engine, Supervisor):
            engine.refuse(problem)
