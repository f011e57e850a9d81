"""How much of a GPU's memory an engine needs: weights, KV cache and room to compute, looked up without reading weights.

vLLM takes 92 % of each GPU unless told otherwise, whatever the model: 132 GB for the 32 MB demo model on an H200, and
everybody else's memory on a shared one. The share planned here is the model's own, and never more than is free.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vqa.engine.folder import read_json, weight_files
from vqa.engine.machine import Gpu, Machine
from vqa.engine.spec import EngineSpec
from vqa.errors import InputError
from vqa.text import Language, t

GB = 1e9
SEQUENCES, SEQUENCE_TOKENS = 32, 4096
"""The KV cache holds so many sequences of at most so many tokens each, and one whole context in any case."""
ROOM_BYTES, ROOM_SHARE = 3.0 * GB, 0.2
"""To compute in: the CUDA context, activations of the largest batch, the profiling of the picture encoder; the share is
of the weights. Seen on an H200 beside weights and KV cache, vLLM 0.33: 1.4 GB (demo model), 4.5 GB (InternVL2_5-1B's
shape) and 5 GB (Qwen2.5-VL-3B's). vLLM takes what it needs of it, and is only held to what is free."""
KEPT_FREE = 1.0 * GB
"""Left to others of what is free: the driver's own, and what moves while the engine starts."""
VLLM_SHARE = 0.92
"""vLLM's own default."""
FLAGS = ("--gpu-memory-utilization", "--kv-cache-memory-bytes")
BLOCK = 16
"""Tokens of a block of the KV cache on a GPU; others are multiples."""
_TEXT_CONFIGS = ("text_config", "llm_config", "language_config")
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2}
_HALF = {"F64", "F32", "F16", "BF16"}
"""What vLLM loads in the dtype of the engine; packed and quantized numbers stay as they are."""


@dataclass(frozen=True)
class Share:
    """What is planned for each GPU, in bytes."""

    weights: int
    kv_cache: int
    room: int
    sequences: int
    sequence_tokens: int
    total: int
    free: int

    @property
    def need(self) -> int:
        """Weights, KV cache and room together."""
        return self.weights + self.kv_cache + self.room

    @property
    def usable(self) -> int:
        """What may be taken of the free memory."""
        return round(min(self.free - KEPT_FREE, VLLM_SHARE * self.total))

    @property
    def fits(self) -> bool:
        """Whether all that is planned can be had now."""
        return self.need <= self.usable

    @property
    def others(self) -> bool:
        """Whether somebody else uses so much that vLLM's own default could not be had."""
        return self.free < VLLM_SHARE * self.total

    @property
    def utilization(self) -> float | None:
        """The share of the GPU to ask for; None leaves vLLM's own, for a large model on a GPU that nobody else uses."""
        if self.fits:
            return math.ceil(1000 * self.need / self.total) / 1000
        if self.others and self.usable > 0:
            return max(0.001, math.floor(1000 * self.usable / self.total) / 1000)
        return None

    @property
    def kv_cache_memory_bytes(self) -> int | None:
        """What the KV cache shall have; None leaves it to vLLM: whatever the weights leave."""
        return self.kv_cache if self.fits else None

    def explanation(self, language: Language = "en") -> str:
        """Returns in a sentence or two what is taken and why."""
        code = "share_fits" if self.fits else "share_free" if self.others else "share_all"
        return t(
            f"models.{code}",
            language,
            need=_gb(self.need),
            usable=_gb(self.usable),
            total=_gb(self.total),
            free=_gb(self.free),
            weights=_gb(self.weights),
            kv=_gb(self.kv_cache),
            room=_gb(self.room),
            sequences=self.sequences,
            tokens=self.sequence_tokens,
        )


def plan_share(spec: EngineSpec, machine: Machine) -> Share | None:
    """Returns the share that an engine of `spec` should take of each GPU it runs on.

    None where that is not for us to say: without a GPU, before the model is here, of a model whose configuration does
    not tell its KV cache, of a length that vLLM chooses itself (`--max-model-len auto`), with a quantization that is
    computed at the start, or where the operator's own flags say it.
    """
    gpus = machine.gpus[: spec.world_size]
    own = any(word.partition("=")[0] in FLAGS for word in spec.extra_args)
    if machine.device != "cuda" or not gpus or spec.quantization is not None or own:
        return None
    try:
        config = read_json(Path(spec.model) / "config.json")
        weights = _weight_bytes(Path(spec.model), spec)
    except (InputError, OSError):
        return None
    text = _text_config(config)
    context = _context(spec, text)
    token = _token_bytes(spec, text)
    if not context or not token or not weights:
        return None
    sequences = min(SEQUENCES, spec.max_num_seqs or SEQUENCES)
    length = min(context, SEQUENCE_TOKENS)
    tokens = math.ceil(max(context, sequences * length) / BLOCK + 1) * BLOCK
    return _on(gpus, spec, weights, tokens * token, sequences, length)


def with_share(spec: EngineSpec, machine: Machine) -> EngineSpec:
    """Returns `spec` with the share that it should take, where there is one to plan."""
    share = plan_share(spec, machine)
    if share is None:
        return spec
    return replace(spec, gpu_memory_utilization=share.utilization, kv_cache_memory_bytes=share.kv_cache_memory_bytes)


def share_again(wanted: EngineSpec, planned: EngineSpec, machine: Machine) -> EngineSpec:
    """Returns `wanted`, the user's changes of `planned`, with the share that follows from them.

    A share or a KV cache of the user's own wins: the planned KV cache is dropped then, since with one vLLM looks at no
    share. Where both were left as planned they are planned anew, for another length, another number of GPUs, or what
    has been taken meanwhile.
    """
    if wanted.kv_cache_memory_bytes != planned.kv_cache_memory_bytes:
        return wanted
    if wanted.gpu_memory_utilization != planned.gpu_memory_utilization:
        return replace(wanted, kv_cache_memory_bytes=None)
    return with_share(wanted, machine) if planned.gpu_memory_utilization is not None else wanted


def _on(gpus: tuple[Gpu, ...], spec: EngineSpec, weights: int, kv_cache: int, sequences: int, length: int) -> Share:
    """Returns the share of the GPU with the least room: all of a group get the same."""
    parts = (spec.tensor_parallel_size or 1) * (spec.pipeline_parallel_size or 1)
    tightest = min(gpus, key=lambda gpu: gpu.memory_free + gpu.memory_ours)
    own = math.ceil(weights / parts)
    return Share(
        weights=own,
        kv_cache=kv_cache,
        room=round(ROOM_BYTES + ROOM_SHARE * own),
        sequences=sequences,
        sequence_tokens=length,
        total=tightest.memory_total,
        free=tightest.memory_free + tightest.memory_ours,
    )


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the part of a configuration that describes the text model."""
    for name in _TEXT_CONFIGS:
        if isinstance(found := config.get(name), dict):
            return found
    return config


def _context(spec: EngineSpec, text: Mapping[str, Any]) -> int | None:
    if spec.max_model_len is not None:
        return spec.max_model_len if spec.max_model_len > 0 else None
    return _whole(text.get("max_position_embeddings"))


def _token_bytes(spec: EngineSpec, text: Mapping[str, Any]) -> int | None:
    """Returns the bytes that one token takes in the KV cache of one GPU: a key and a value in every layer.

    Layers that keep a state instead, or a window, take less: counted as the others, they leave a reserve.
    """
    layers, heads = _whole(text.get("num_hidden_layers")), _whole(text.get("num_attention_heads"))
    if not layers or not heads or "kv_lora_rank" in text:  # a compressed cache has another size
        return None
    hidden = _whole(text.get("hidden_size"))
    size = _whole(text.get("head_dim")) or (hidden // heads if hidden else None)
    shared = _whole(text.get("num_key_value_heads")) or heads
    if not size:
        return None
    own = max(1, math.ceil(shared / (spec.tensor_parallel_size or 1)))
    return 2 * math.ceil(layers / (spec.pipeline_parallel_size or 1)) * own * size * _number_bytes(spec)


def _number_bytes(spec: EngineSpec) -> int:
    """Returns the bytes of a number in the dtype of the engine."""
    wanted = "float32" if spec.profile == "float32" else spec.dtype
    return 4 if wanted in ("float", "float32") else 2


def _weight_bytes(folder: Path, spec: EngineSpec) -> int:
    """Returns the bytes of the weights as they will be loaded, read from the headers where there are any."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in weight_files(folder):
        if path.suffix != ".safetensors":
            total += path.stat().st_size
            continue
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 - it is no dictionary
                    part = file.get_slice(name)
                    kind = part.get_dtype()
                    size = _number_bytes(spec) if kind in _HALF else _BYTES.get(kind, 1)
                    total += size * math.prod(part.get_shape())
        except SafetensorError as problem:
            raise OSError(str(problem)) from problem
    return total


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _gb(size: float) -> str:
    return f"{size / GB:.1f}" if size >= 0.095 * GB else f"{size / GB:.2f}"
