"""Draws the sensitivity probe's weights and writes them as safetensors."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from vqa.models.probe_text import VOCABULARY_SIZE, Architecture, first_word_id

DType = Literal["bfloat16", "float32"]
Weights = Iterator[tuple[str, NDArray[np.float32]]]

IMAGE_SIDE = 224
PATCH = 28
HEAD_DIM = 64


@dataclass(frozen=True)
class Shape:
    """Sizes and spreads; what makes the probe sensitive is explained at `_head`."""

    hidden_size: int = 896
    layers: int = 2
    vision_size: int = 256
    vision_layers: int = 3
    twins: int = 4
    """How many tokens share nearly the same row of the output layer."""
    twin_spread: float = 0.01
    """How far twins lie apart, as a share of a row's length."""

    @property
    def intermediate_size(self) -> int:
        """Width of the MLP: 4,864 for 896, the proportion of Qwen2-0.5B; long sums differ more between kernels."""
        return self.hidden_size * 38 // 7


def key_value_heads(shape: Shape) -> int:
    """Returns the number of key/value heads: two, as in small models with grouped queries."""
    return 2 if shape.hidden_size // HEAD_DIM % 2 == 0 else 1


class _Drawer:
    """Draws one weight after the other, so that the order fixes the values."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def normal(self, *size: int, std: float | None = None) -> NDArray[np.float32]:
        """Returns normal values; by default with the variance 1/inputs, which keeps the size of activations."""
        spread = 1 / math.sqrt(math.prod(size[1:])) if std is None else std
        return self._rng.standard_normal(size, dtype=np.float32) * np.float32(spread)


def draw(rng: np.random.Generator, shape: Shape, architecture: Architecture) -> Weights:
    """Yields (name, values) under the names that published checkpoints of the architecture use."""
    of = _Drawer(rng)
    idefics = architecture == "idefics3"
    yield from _text(of, shape, "model.text_model" if idefics else "language_model.model")
    yield ("lm_head.weight" if idefics else "language_model.lm_head.weight"), _head(of, shape)
    # The names of LLaVA 1.5: every vLLM version reads them, unlike those that transformers 5 writes.
    yield from _vision(of, shape, "model.vision_model" if idefics else "vision_tower.vision_model", clip=not idefics)
    yield from _connector(of, shape, architecture)


def _text(of: _Drawer, shape: Shape, at: str) -> Weights:
    width, inner = shape.hidden_size, shape.intermediate_size
    narrow = HEAD_DIM * key_value_heads(shape)
    yield f"{at}.embed_tokens.weight", of.normal(VOCABULARY_SIZE, width, std=1.0)
    for layer in range(shape.layers):
        here = f"{at}.layers.{layer}"
        for name, outputs in (("q", width), ("k", narrow), ("v", narrow), ("o", width)):
            yield f"{here}.self_attn.{name}_proj.weight", of.normal(outputs, width)
        yield f"{here}.mlp.gate_proj.weight", of.normal(inner, width)
        yield f"{here}.mlp.up_proj.weight", of.normal(inner, width)
        yield f"{here}.mlp.down_proj.weight", of.normal(width, inner)
        yield f"{here}.input_layernorm.weight", np.ones(width, np.float32)
        yield f"{here}.post_attention_layernorm.weight", np.ones(width, np.float32)
    yield f"{at}.norm.weight", np.ones(width, np.float32)


def _head(of: _Drawer, shape: Shape) -> NDArray[np.float32]:
    """Returns the output layer, [vocabulary, hidden].

    Tokens come as twins: groups of four rows that differ by a per cent of their length, so the best candidates of
    almost every position lie some thousandths of a nat apart: less than bfloat16 can tell (its logits of 2 to 4 lie
    1/64 apart), more than float32 ever drifts. In bfloat16 any change in how sums are rounded flips one within some
    tokens; in float32 the logprobs move and the tokens hold. Specials and single bytes have rows of zeros:
    their logits are 0 while the best word's is always above, so answers are words and run to `max_tokens`.
    """
    rows = of.normal(VOCABULARY_SIZE, shape.hidden_size)
    shared = rows[: VOCABULARY_SIZE // shape.twins].repeat(shape.twins, axis=0)
    head = shared + np.float32(shape.twin_spread) * of.normal(VOCABULARY_SIZE, shape.hidden_size)
    head[: first_word_id()] = 0
    return head


def _vision(of: _Drawer, shape: Shape, at: str, *, clip: bool) -> Weights:
    width = shape.vision_size
    patches = (IMAGE_SIDE // PATCH) ** 2
    yield f"{at}.embeddings.patch_embedding.weight", of.normal(width, 3, PATCH, PATCH)
    yield f"{at}.embeddings.position_embedding.weight", of.normal(patches + clip, width, std=0.5)
    if clip:
        yield f"{at}.embeddings.class_embedding", of.normal(width, std=0.5)
        # The misspelling is that of the published checkpoints.
        yield from _norm(f"{at}.pre_layrnorm", width)
    else:
        yield f"{at}.embeddings.patch_embedding.bias", np.zeros(width, np.float32)
    for layer in range(shape.vision_layers):
        here = f"{at}.encoder.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(of, f"{here}.self_attn.{name}", width, width)
        yield from _linear(of, f"{here}.mlp.fc1", 2 * width, width)
        yield from _linear(of, f"{here}.mlp.fc2", width, 2 * width)
        yield from _norm(f"{here}.layer_norm1", width)
        yield from _norm(f"{here}.layer_norm2", width)
    yield from _norm(f"{at}.post_layernorm", width)


def _connector(of: _Drawer, shape: Shape, architecture: Architecture) -> Weights:
    if architecture == "idefics3":
        yield "model.connector.modality_projection.proj.weight", of.normal(shape.hidden_size, shape.vision_size)
        return
    yield from _linear(of, "multi_modal_projector.linear_1", shape.hidden_size, shape.vision_size)
    yield from _linear(of, "multi_modal_projector.linear_2", shape.hidden_size, shape.hidden_size)


def _linear(of: _Drawer, at: str, outputs: int, inputs: int) -> Weights:
    yield f"{at}.weight", of.normal(outputs, inputs)
    yield f"{at}.bias", np.zeros(outputs, np.float32)


def _norm(at: str, width: int) -> Weights:
    yield f"{at}.weight", np.ones(width, np.float32)
    yield f"{at}.bias", np.zeros(width, np.float32)


def write_safetensors(path: Path, weights: Weights, dtype: DType) -> None:
    """Writes one safetensors file, the values rounded to the nearest of `dtype`, ties to even.

    Raises:
        OSError: it cannot be written there.
    """
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float32
    tensors = {name: values.astype(kind) for name, values in weights}
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as problem:  # its errors of the file system are not OSErrors
        raise OSError(str(problem)) from problem
