"""What a checkpoint's weights are: names, shapes and spreads, and the layers that many models share. Draws nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

QUIET = 0.02
"""By how much the rows of tokens are shrunk that a model with random weights had better not say."""


@dataclass(frozen=True)
class Tensor:
    """One weight: normally distributed around zero, or all of one value.

    Attributes:
        name: its name in the checkpoint.
        shape: its sizes; the first is the number of outputs.
        spread: the standard deviation. None: one over the root of the inputs, which keeps the size of activations.
        value: when given, every element is that and nothing is drawn.
        quiet: ranges of rows, (first, end), whose spread is `QUIET` times that of the others.
    """

    name: str
    shape: tuple[int, ...]
    spread: float | None = None
    value: float | None = None
    quiet: tuple[tuple[int, int], ...] = ()

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def deviation(self) -> float:
        """The standard deviation that is drawn."""
        return 1 / math.sqrt(math.prod(self.shape[1:])) if self.spread is None else self.spread


Tensors = Iterator[Tensor]


@dataclass(frozen=True)
class Decoder:
    """The sizes of a text model as most published ones have them (names as in Llama, Qwen2 and Qwen3)."""

    hidden: int
    layers: int
    inner: int
    heads: int
    kv_heads: int
    vocabulary: int
    head_dim: int
    tied: bool = False
    """The output layer is the embedding."""
    qkv_bias: bool = False
    qk_norm: bool = False

    def config(self, **more: object) -> dict[str, object]:
        """Returns the keys of config.json that say these sizes."""
        return {
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "intermediate_size": self.inner,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.tied,
            "hidden_act": "silu",
            **more,
        }


def linear(name: str, outputs: int, inputs: int, *, bias: bool = False) -> Tensors:
    """Yields a linear layer's weight, [outputs, inputs], and its bias."""
    yield Tensor(f"{name}.weight", (outputs, inputs))
    if bias:
        yield Tensor(f"{name}.bias", (outputs,), value=0.0)


def norm(name: str, width: int, *, bias: bool = False, value: float = 1.0) -> Tensors:
    """Yields a norm's scale and its shift."""
    yield Tensor(f"{name}.weight", (width,), value=value)
    if bias:
        yield Tensor(f"{name}.bias", (width,), value=0.0)


def embedding(name: str, size: Decoder, quiet: tuple[tuple[int, int], ...]) -> Tensors:
    """Yields the embedding, [vocabulary, hidden]; small where it is the output layer too, as in published models.

    With large rows a tied output layer would say the last token again and again: it is what the residual stream
    still holds. What the layers add must outweigh it.
    """
    yield Tensor(name, (size.vocabulary, size.hidden), 0.03 if size.tied else 1.0, quiet=quiet if size.tied else ())


def head(name: str, size: Decoder, quiet: tuple[tuple[int, int], ...]) -> Tensors:
    """Yields the output layer, [vocabulary, hidden], of a model whose embedding is not also that."""
    if not size.tied:
        yield Tensor(name, (size.vocabulary, size.hidden), quiet=quiet)


def decoder_layer(at: str, size: Decoder) -> Tensors:
    """Yields one layer of the text model."""
    for name, outputs in (("q", size.heads), ("k", size.kv_heads), ("v", size.kv_heads)):
        yield from linear(f"{at}.self_attn.{name}_proj", outputs * size.head_dim, size.hidden, bias=size.qkv_bias)
    yield from linear(f"{at}.self_attn.o_proj", size.hidden, size.heads * size.head_dim)
    if size.qk_norm:
        yield from norm(f"{at}.self_attn.q_norm", size.head_dim)
        yield from norm(f"{at}.self_attn.k_norm", size.head_dim)
    yield from linear(f"{at}.mlp.gate_proj", size.inner, size.hidden)
    yield from linear(f"{at}.mlp.up_proj", size.inner, size.hidden)
    yield from linear(f"{at}.mlp.down_proj", size.hidden, size.inner)
    yield from norm(f"{at}.input_layernorm", size.hidden)
    yield from norm(f"{at}.post_attention_layernorm", size.hidden)


def decoder(at: str, head_name: str, size: Decoder, quiet: tuple[tuple[int, int], ...]) -> Tensors:
    """Yields a whole text model: embedding, layers, last norm, output layer."""
    yield from embedding(f"{at}.embed_tokens.weight", size, quiet)
    for layer in range(size.layers):
        yield from decoder_layer(f"{at}.layers.{layer}", size)
    yield from norm(f"{at}.norm", size.hidden)
    yield from head(head_name, size, quiet)
