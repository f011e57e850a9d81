"""What a certificate or a horizon is to measure: each profile, of each engine where there are several to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vqa.answers import Json
from vqa.engine.environments import environments
from vqa.engine.machine import Machine
from vqa.engine.profiles import PROFILES, TRIALS
from vqa.errors import EngineError, InputError, ModelError
from vqa.models.probe import PROBE_ID, ensure_probe
from vqa.models.serve import plan_start
from vqa.settings import Settings

if TYPE_CHECKING:
    from vqa.engine.spec import EngineSpec
    from vqa.engine.state import Engine


@dataclass(frozen=True)
class Certified:
    """One profile that is to be measured, or why it cannot be."""

    name: str
    """The profile's; where several engines are compared with the engine's after it."""
    spec: EngineSpec
    reason: str | None = None
    vllm: str | None = None
    """The vLLM that runs it, such as `vllm-0.33.0`, where several are compared."""
    settings: Settings | None = None
    """Those that name its Python; None for the managed engine's own."""


def able_profiles(settings: Settings) -> list[str]:
    """Returns the profiles that can run on this machine."""
    machine = Machine.load(settings)
    return [name for name, profile in PROFILES.items() if profile.available(machine) is None]


def wanted_profiles(
    engine: Engine, settings: Settings, profiles: Sequence[str], model: str | None = None, **fields: Json
) -> list[Certified]:
    """Returns what to start under each profile: the probe, or `model` where one is named; at the running one's port.

    `fields` are further ones of the spec, named as `EngineSpec` names them.

    Raises:
        InputError: there is no such profile, or none is named.
        VQAError: the model is not on this machine, or the probe cannot be written.
        EngineError: the engine is not managed from here.
    """
    if settings.base_url is not None:
        raise EngineError("engine_not_managed")
    known = {**PROFILES, **TRIALS}
    unknown = [profile for profile in profiles if profile not in known]
    if unknown or not profiles:
        raise InputError("profile_unknown", name=", ".join(unknown) or "–", known=", ".join(known))
    machine = Machine.load(settings)
    if machine.device == "cuda" and model in {None, PROBE_ID}:
        model, fields = str(ensure_probe(settings.models_path, "llava")), {"served_model_name": PROBE_ID, **fields}
    spec, prepare = plan_start(settings, model or PROBE_ID, **fields)
    if prepare is not None:
        raise ModelError("model_not_local", id=model, known=PROBE_ID)
    running = engine.snapshot().spec
    if running is not None:
        spec = replace(spec, port=running.port)
    return [
        Certified(profile, spec.with_profile(profile), known[profile].available(machine))
        for profile in dict.fromkeys(profiles)
    ]


def wanted_engines(
    engine: Engine, settings: Settings, profiles: Sequence[str], engines: Sequence[str]
) -> list[Certified]:
    """Returns what to start under each profile of each of several engines, those of one profile next to each other.

    `engines` are names of environments, or Pythons that have a vLLM. The first is taken for the earlier one.

    Raises:
        InputError: there is no such profile or engine, or two of them are the same vLLM.
        VQAError: as `wanted_profiles` raises it.
    """
    there = {each.name: each for each in environments(settings)}
    found: dict[str, list[Certified]] = {}
    for name in dict.fromkeys(engines):
        known = there.get(name)
        if known is not None and known.state != "ready":
            raise InputError("engine_environment_unknown", name=name)
        own = settings.model_copy(update={"vllm_python": known.python if known else name})
        machine = Machine.load(own)
        if machine.vllm_version is None:
            raise InputError("engine_environment_unknown", name=name)
        vllm = f"{machine.vllm_distribution}-{machine.vllm_version}"
        if vllm in found:
            raise InputError("engines_alike", vllm=vllm)
        found[vllm] = [
            replace(each, name=f"{each.name} ({vllm})", vllm=vllm, settings=own)
            for each in wanted_profiles(engine, own, profiles)
        ]
    return [each for row in zip(*found.values(), strict=True) for each in row]
