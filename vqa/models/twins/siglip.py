"""SigLIP's vision part, which Idefics3, LFM2-VL, Gemma 3 and LLaVA-OneVision use."""

from __future__ import annotations

from dataclasses import dataclass

from vqa.models.twins.tensors import Tensor, Tensors, linear, norm


@dataclass(frozen=True)
class Vision:
    """Its sizes; `positions` is the number of patches that have a position embedding."""

    hidden: int
    layers: int
    inner: int
    heads: int
    patch: int
    positions: int

    def config(self, **more: object) -> dict[str, object]:
        """Returns the keys of config.json that say these sizes."""
        return {
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "intermediate_size": self.inner,
            "num_attention_heads": self.heads,
            "patch_size": self.patch,
            "num_channels": 3,
            "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-6,
            "attention_dropout": 0.0,
            **more,
        }


BASE = Vision(768, 12, 3072, 12, 16, 256)
SO400M = Vision(1152, 27, 4304, 16, 14, 729)
TINY = Vision(128, 2, 256, 2, 16, 256)


def tensors(at: str, size: Vision, *, flat: bool = False, post: bool = True) -> Tensors:
    """Yields the weights; with `flat` patches come as rows of numbers (SigLIP 2 for pictures of any shape)."""
    inputs = (3 * size.patch * size.patch,) if flat else (3, size.patch, size.patch)
    yield Tensor(f"{at}.embeddings.patch_embedding.weight", (size.hidden, *inputs))
    yield Tensor(f"{at}.embeddings.patch_embedding.bias", (size.hidden,), value=0.0)
    yield Tensor(f"{at}.embeddings.position_embedding.weight", (size.positions, size.hidden), 0.5)
    for layer in range(size.layers):
        here = f"{at}.encoder.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{here}.self_attn.{name}", size.hidden, size.hidden, bias=True)
        yield from linear(f"{here}.mlp.fc1", size.inner, size.hidden, bias=True)
        yield from linear(f"{here}.mlp.fc2", size.hidden, size.inner, bias=True)
        yield from norm(f"{here}.layer_norm1", size.hidden, bias=True)
        yield from norm(f"{here}.layer_norm2", size.hidden, bias=True)
    if post:
        yield from norm(f"{at}.post_layernorm", size.hidden, bias=True)
