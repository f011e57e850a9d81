"""The models that are offered, what was tried of them, and whether they fit on this machine.

Sizes are those of the safetensors files that the hubs list (rounded to three digits; last looked up in November
2026). Where a hub page could not be seen, the size is the published number of parameters times two bytes, which is
what bfloat16 weights take: InternVL2_5-8B (8.08e9), InternVL3-1B and InternVL3_5, Qwen2.5-VL-7B (8.29e9), Qwen3-VL-2B
(2.13e9) and 8B (8.77e9), Qwen3.5 and LFM2.5-VL, SmolVLM-500M (0.51e9).
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType

from vqa.engine.flags import flag_of
from vqa.engine.machine import Machine
from vqa.models.tried import tried
from vqa.text import Language, t

GB = 10**9
DEMO_ID = "demo"
_SLOW_ON_CPU = 8 * GB
"""Weights are read once a token, so beyond this a CPU gives less than a few tokens a second."""


@dataclass(frozen=True)
class CatalogEntry:
    """One model that is offered.

    Attributes:
        id: owner/name on the hubs; "demo" for the bundled model.
        name: what people call it.
        bytes_on_disk: size of the download in bytes.
        memory_bytes: bytes of GPU memory (or RAM without a GPU) that serving it needs.
        licence: the SPDX name, or the publisher's own name of it.
        flags: fields of the engine's specification that it needs, under vLLM's names.
        languages: the languages that it answers in; "multilingual" for many.
        sources: hub -> id there.
        needs_torchvision: vLLM's code for it does not import without torchvision.
        architecture: the class in its config.json.
    """

    id: str
    name: str
    bytes_on_disk: int
    memory_bytes: int
    licence: str
    architecture: str
    flags: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    languages: tuple[str, ...] = ("multilingual",)
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    needs_torchvision: bool = True

    @property
    def notes_key(self) -> str:
        """The key of the sentence that says what it is good for."""
        family = self.id.rsplit("/", 1)[-1].split("-")[0].replace(".", "_").lower()
        return f"models.notes_{family}"

    @property
    def command_flags(self) -> str:
        """The flags as `vllm serve` takes them; empty when it needs none."""
        return command_flags(self.flags)

    def tried(self, language: Language = "en") -> str:
        """Returns a sentence that says by which vLLM it was served, and whether with weights of its own."""
        return tried(self.id, language)

    def notes(self, language: Language = "en") -> str:
        """Returns a sentence that says what it is good for."""
        return t(self.notes_key, language)


def command_flags(flags: Mapping[str, object]) -> str:
    """Returns fields of the engine's specification as `vllm serve` takes them."""
    words = (
        flag_of(name) if value is True else f"{flag_of(name)} {shlex.quote(str(value))}"
        for name, value in flags.items()
    )
    return " ".join(words)


class Fit(StrEnum):
    """Whether a model can be served here."""

    YES = "yes"
    TIGHT = "tight"
    NO = "no"


@dataclass(frozen=True)
class FitVerdict:
    """Whether it fits, and why in words: `code` names the text, `values` fill its placeholders."""

    fit: Fit
    code: str
    values: Mapping[str, object] = field(default_factory=dict)

    def reason(self, language: Language = "en") -> str:
        """Returns the reason in a sentence."""
        return t(f"models.{self.code}", language, **self.values)


def _entry(
    id_: str,
    gigabytes: float,
    licence: str,
    architecture: str,
    *,
    max_model_len: int = 8192,
    images: int = 4,
    custom_code: bool = False,
    languages: tuple[str, ...] = ("multilingual",),
    needs_torchvision: bool = True,
    max_num_batched_tokens: int | None = None,
) -> CatalogEntry:
    size = round(gigabytes * GB)
    flags: dict[str, object] = {"max_model_len": max_model_len, "limit_mm_per_prompt": json.dumps({"image": images})}
    if custom_code:
        flags["trust_remote_code"] = True
    if max_num_batched_tokens is not None:
        flags["max_num_batched_tokens"] = max_num_batched_tokens
    return CatalogEntry(
        id=id_,
        name=id_.rsplit("/", 1)[-1],
        bytes_on_disk=size,
        memory_bytes=memory_needed(size),
        licence=licence,
        architecture=architecture,
        flags=MappingProxyType(flags),
        languages=languages,
        sources=MappingProxyType({"modelscope": id_, "huggingface": id_}),
        needs_torchvision=needs_torchvision,
    )


def memory_needed(weight_bytes: int) -> int:
    """Returns the bytes of memory to serve weights of that size: 1.2 times them plus 1.5 GB.

    A rule of thumb: the fifth on top is activations and the KV cache of one 8,192-token sequence, the constant is
    the runtime's own. vLLM takes more when it may (`gpu_memory_utilization`) and uses it for a larger KV cache.
    """
    return round(weight_bytes * 1.2 + 1.5 * GB)


def _internvl(name: str, gigabytes: float, licence: str) -> CatalogEntry:
    return _entry(f"OpenGVLab/{name}", gigabytes, licence, "InternVLChatModel", custom_code=True)


def _smolvlm(name: str, gigabytes: float) -> CatalogEntry:
    architecture = "Idefics3ForConditionalGeneration"
    return _entry(
        f"HuggingFaceTB/{name}", gigabytes, "Apache-2.0", architecture, languages=("en",), needs_torchvision=False
    )


def _lfm2_vl(name: str, gigabytes: float) -> CatalogEntry:
    # vLLM plans its room for pictures by one tile of 256 tokens, and then refuses a picture of ten (2,816).
    return _entry(
        f"LiquidAI/{name}",
        gigabytes,
        "LFM Open License v1.0",
        "Lfm2VlForConditionalGeneration",
        max_num_batched_tokens=8192,
    )


CATALOG: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        id=DEMO_ID,
        name="VQA Lab demo",
        bytes_on_disk=32_000_000,
        memory_bytes=1 * GB,
        licence="Apache-2.0",
        architecture="Idefics3ForConditionalGeneration",
        languages=("en", "zh"),
        needs_torchvision=False,
    ),
    _internvl("InternVL2_5-1B", 1.88, "MIT"),
    _internvl("InternVL2_5-2B", 4.41, "MIT"),
    _internvl("InternVL2_5-4B", 7.42, "MIT"),
    _internvl("InternVL2_5-8B", 16.2, "MIT"),
    _internvl("InternVL3-1B", 1.88, "Apache-2.0"),
    _internvl("InternVL3-2B", 4.18, "Apache-2.0"),
    _internvl("InternVL3_5-1B", 2.12, "Apache-2.0"),
    _internvl("InternVL3_5-2B", 4.7, "Apache-2.0"),
    _internvl("InternVL3_5-4B", 9.47, "Apache-2.0"),
    _entry("Qwen/Qwen2.5-VL-3B-Instruct", 7.51, "Qwen Research", "Qwen2_5_VLForConditionalGeneration"),
    _entry("Qwen/Qwen2.5-VL-7B-Instruct", 16.6, "Apache-2.0", "Qwen2_5_VLForConditionalGeneration"),
    _entry("Qwen/Qwen3-VL-2B-Instruct", 4.26, "Apache-2.0", "Qwen3VLForConditionalGeneration"),
    _entry("Qwen/Qwen3-VL-4B-Instruct", 8.88, "Apache-2.0", "Qwen3VLForConditionalGeneration"),
    _entry("Qwen/Qwen3-VL-8B-Instruct", 17.5, "Apache-2.0", "Qwen3VLForConditionalGeneration"),
    _entry("Qwen/Qwen3.5-0.8B", 1.75, "Apache-2.0", "Qwen3_5ForConditionalGeneration"),
    _entry("Qwen/Qwen3.5-2B", 4.55, "Apache-2.0", "Qwen3_5ForConditionalGeneration"),
    _smolvlm("SmolVLM-256M-Instruct", 0.513),
    _smolvlm("SmolVLM-500M-Instruct", 1.02),
    _smolvlm("SmolVLM-Instruct", 4.49),
    _lfm2_vl("LFM2.5-VL-450M", 0.9),
    _lfm2_vl("LFM2.5-VL-1.6B", 3.2),
)


def find(model_id: str) -> CatalogEntry | None:
    """Returns the entry of an id, of whatever case and revision; None when the catalog does not know it."""
    wanted = model_id.strip().lower().partition("@")[0]
    return next((entry for entry in CATALOG if entry.id.lower() == wanted), None)


def suggestions(model_id: str, limit: int = 3) -> list[str]:
    """Returns ids of the catalog that a misspelt id may have meant, the nearest first."""
    known = {entry.id.lower(): entry.id for entry in CATALOG}
    names = {entry.id.rsplit("/", 1)[-1].lower(): entry.id for entry in CATALOG}
    wanted = model_id.strip().lower()
    close = [known[match] for match in get_close_matches(wanted, known, limit, 0.6)]
    close += [names[match] for match in get_close_matches(wanted.rsplit("/", 1)[-1], names, limit, 0.7)]
    return list(dict.fromkeys(close))[:limit]


def fits(entry: CatalogEntry, machine: Machine, *, torchvision: bool | None = None) -> FitVerdict:
    """Returns whether `machine` can serve `entry` now, judged from its free memory, with the reason.

    `torchvision` says whether the engine's Python has it (as `machine` knows when None): without a GPU it often cannot
    be had.
    """
    if machine.device == "cuda":
        return _fits_gpus(entry, tuple(gpu.memory_free for gpu in machine.gpus))
    if entry.needs_torchvision and not (machine.torchvision if torchvision is None else torchvision):
        return FitVerdict(Fit.NO, "fit_torchvision")
    free = machine.ram_available
    values = {"need": _gb(entry.memory_bytes), "free": _gb(free)}
    if entry.memory_bytes > free:
        return FitVerdict(Fit.NO, "fit_ram_no", values)
    if entry.memory_bytes > _SLOW_ON_CPU or entry.memory_bytes > 0.8 * free:
        return FitVerdict(Fit.TIGHT, "fit_ram_slow", values)
    return FitVerdict(Fit.YES, "fit_ram_yes", values)


def _fits_gpus(entry: CatalogEntry, gpus_free: tuple[int, ...]) -> FitVerdict:
    best = max(gpus_free)
    values = {"need": _gb(entry.memory_bytes), "free": _gb(best)}
    if entry.memory_bytes <= 0.85 * best:
        return FitVerdict(Fit.YES, "fit_gpu_yes", values)
    if entry.memory_bytes <= best:
        return FitVerdict(Fit.TIGHT, "fit_gpu_tight", values)
    for number in (2, 4, 8):
        shares = sorted(gpus_free, reverse=True)[:number]
        # Every GPU gets an equal share, so the one with the least free memory decides.
        if len(shares) == number and entry.memory_bytes <= 0.85 * number * shares[-1]:
            return FitVerdict(Fit.TIGHT, "fit_gpu_split", {**values, "number": number})
    return FitVerdict(Fit.NO, "fit_gpu_no", values)


def _gb(size: int) -> str:
    return f"{size / GB:.1f}"
