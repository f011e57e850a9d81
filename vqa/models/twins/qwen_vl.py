"""Qwen2.5-VL and Qwen3-VL by shape: a vision part of any size and proportion, and a Qwen text model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from vqa.models.twins.checkpoint import CLIP, HALF, Checkpoint, chatml
from vqa.models.twins.qwen_text import QWEN2_MARKERS, QWEN3_MARKERS, QWEN_WORDS
from vqa.models.twins.tensors import Decoder, Tensor, Tensors, decoder, linear, norm
from vqa.models.twins.vocabulary import Vocabulary

MERGE, FRAMES = 2, 2
"""`MERGE` x `MERGE` patches become one image token; a patch spans `FRAMES` frames of a video."""
_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


@dataclass(frozen=True)
class Size:
    """The sizes of one model.

    Attributes:
        text: of the language part.
        family: which of the two architectures.
        vision: hidden size, layers, width of the MLP and heads of the vision part.
        marked_layers: with Qwen2.5-VL those whose attention sees the whole picture, with Qwen3-VL those whose output
            the text model's first layers also get.
    """

    text: Decoder
    family: Literal["qwen2_5_vl", "qwen3_vl"]
    vision: tuple[int, int, int, int]
    marked_layers: tuple[int, ...]

    @property
    def patch(self) -> int:
        """Pixels of a patch's side."""
        return 14 if self.family == "qwen2_5_vl" else 16


def _qwen2_5(hidden: int, layers: int, inner: int, heads: int, kv_heads: int, vocabulary: int, *, tied: bool) -> Size:
    text = Decoder(hidden, layers, inner, heads, kv_heads, vocabulary, 128, tied=tied, qkv_bias=True)
    return Size(text, "qwen2_5_vl", (1280, 32, 3420, 16), (7, 15, 23, 31))


def _qwen3(hidden: int, layers: int, inner: int, heads: int, *, large: bool = False) -> Size:
    text = Decoder(hidden, layers, inner, heads, 8, 151936, 128, tied=not large, qk_norm=True)
    if large:
        return Size(text, "qwen3_vl", (1152, 27, 4304, 16), (8, 16, 24))
    return Size(text, "qwen3_vl", (1024, 24, 4096, 16), (5, 11, 17))


FULL = {
    "Qwen/Qwen2.5-VL-3B-Instruct": _qwen2_5(2048, 36, 11008, 16, 2, 151936, tied=True),
    "Qwen/Qwen2.5-VL-7B-Instruct": _qwen2_5(3584, 28, 18944, 28, 4, 152064, tied=False),
    "Qwen/Qwen3-VL-2B-Instruct": _qwen3(2048, 28, 6144, 16),
    "Qwen/Qwen3-VL-4B-Instruct": _qwen3(2560, 36, 9728, 32),
    "Qwen/Qwen3-VL-8B-Instruct": _qwen3(4096, 36, 12288, 32, large=True),
}


def tiny(size: Size) -> Size:
    """Returns the same structure in miniature: two layers of text, two of vision, 4,096 tokens."""
    text = replace(size.text, hidden=256, layers=2, inner=512, heads=2, kv_heads=1, vocabulary=4096)
    return replace(size, text=text, vision=(128, 2, 256, 2), marked_layers=(1,))


def checkpoint(size: Size) -> Checkpoint:
    """Returns the checkpoint of that size."""
    old = size.family == "qwen2_5_vl"
    markers = QWEN2_MARKERS if old else QWEN3_MARKERS
    words = Vocabulary((), markers, min(QWEN_WORDS, size.text.vocabulary - len(markers)), size.text.vocabulary)
    name = "Qwen2_5_VL" if old else "Qwen3VL"
    pictures: dict[str, object] = {
        "patch_size": size.patch,
        "temporal_patch_size": FRAMES,
        "merge_size": MERGE,
        "processor_class": f"{name}Processor",
        **(CLIP if old else HALF),
    }
    new_bounds = {"size": {"shortest_edge": 65536, "longest_edge": 16777216}}
    pictures |= {"min_pixels": 3136, "max_pixels": 12845056} if old else new_bounds
    video = "Qwen2VLVideoProcessor" if old else "Qwen3VLVideoProcessor"
    return Checkpoint(
        config=_config(size, words),
        vocabulary=words,
        end="<|im_end|>",
        pad="<|endoftext|>",
        chat_template=chatml(_IMAGE, system="Answer questions about pictures." if old else ""),
        tensors=lambda: _tensors(size, words),
        tokenizer={"tokenizer_class": "Qwen2Tokenizer", "model_max_length": 131072 if old else 262144},
        files={
            "preprocessor_config.json": {"image_processor_type": "Qwen2VLImageProcessor", **pictures},
            "video_preprocessor_config.json": {"video_processor_type": video, **pictures},
        },
    )


def _config(size: Size, words: Vocabulary) -> dict[str, object]:
    ids = words.ids
    marks = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }
    hidden, layers, inner, heads = size.vision
    vision: dict[str, object] = {
        "model_type": size.family,
        "depth": layers,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_heads": heads,
        "out_hidden_size": size.text.hidden,
        "patch_size": size.patch,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": FRAMES,
    }
    common: dict[str, object] = {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "rms_norm_eps": 1e-6,
        "torch_dtype": "bfloat16",
        "attention_dropout": 0.0,
    }
    if size.family == "qwen2_5_vl":
        more = {"hidden_act": "silu", "in_chans": 3, "spatial_patch_size": size.patch, "tokens_per_second": 2}
        vision |= {**more, "window_size": 112, "fullatt_block_indexes": list(size.marked_layers)}
        # Its text model's sizes stand at the top level, as they did when it was published.
        return {
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            **size.text.config(),
            **common,
            **marks,
            "vision_token_id": ids["<|vision_pad|>"],
            "max_position_embeddings": 128000,
            "rope_theta": 1e6,
            "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
            "use_sliding_window": False,
            "vision_config": vision,
        }
    vision |= {"in_channels": 3, "hidden_act": "gelu_pytorch_tanh", "num_position_embeddings": 2304}
    vision |= {"deepstack_visual_indexes": list(size.marked_layers)}
    text = size.text.config(
        model_type="qwen3_vl_text",
        head_dim=size.text.head_dim,
        attention_bias=False,
        max_position_embeddings=262144,
        rope_theta=5e6,
        rope_scaling={"rope_type": "default", "mrope_interleaved": True, "mrope_section": [24, 20, 20]},
    )
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "text_config": {**text, **common},
        "vision_config": vision,
        "tie_word_embeddings": size.text.tied,
        "torch_dtype": "bfloat16",
        **marks,
    }


def _tensors(size: Size, words: Vocabulary) -> Tensors:
    if size.family == "qwen2_5_vl":
        yield from _vision_2_5("visual", size)
        yield from decoder("model", "lm_head.weight", size.text, words.unsaid)
    else:
        yield from vision_3("model.visual", size.vision, size.text.hidden, size.marked_layers)
        yield from decoder("model.language_model", "lm_head.weight", size.text, words.unsaid)


def _vision_2_5(at: str, size: Size) -> Tensors:
    hidden, layers, inner, _ = size.vision
    yield Tensor(f"{at}.patch_embed.proj.weight", (hidden, 3, FRAMES, size.patch, size.patch))
    for layer in range(layers):
        here = f"{at}.blocks.{layer}"
        yield from norm(f"{here}.norm1", hidden)
        yield from norm(f"{here}.norm2", hidden)
        yield from linear(f"{here}.attn.qkv", 3 * hidden, hidden, bias=True)
        yield from linear(f"{here}.attn.proj", hidden, hidden, bias=True)
        yield from linear(f"{here}.mlp.gate_proj", inner, hidden, bias=True)
        yield from linear(f"{here}.mlp.up_proj", inner, hidden, bias=True)
        yield from linear(f"{here}.mlp.down_proj", hidden, inner, bias=True)
    joined = MERGE * MERGE * hidden
    yield from norm(f"{at}.merger.ln_q", hidden)
    yield from linear(f"{at}.merger.mlp.0", joined, joined, bias=True)
    yield from linear(f"{at}.merger.mlp.2", size.text.hidden, joined, bias=True)


def vision_3(at: str, vision: tuple[int, int, int, int], out: int, deep: tuple[int, ...]) -> Tensors:
    """Yields the vision part of Qwen3-VL (`vision` as in `Size`), also that of Qwen3.5 with no `deep` layers."""
    hidden, layers, inner, _ = vision
    yield from _patches_3(at, hidden)
    for layer in range(layers):
        here = f"{at}.blocks.{layer}"
        yield from norm(f"{here}.norm1", hidden, bias=True)
        yield from norm(f"{here}.norm2", hidden, bias=True)
        yield from linear(f"{here}.attn.qkv", 3 * hidden, hidden, bias=True)
        yield from linear(f"{here}.attn.proj", hidden, hidden, bias=True)
        yield from linear(f"{here}.mlp.linear_fc1", inner, hidden, bias=True)
        yield from linear(f"{here}.mlp.linear_fc2", hidden, inner, bias=True)
    joined = MERGE * MERGE * hidden
    # The last merger norms each patch, those of the layers between all patches of a token together.
    for name, width in (
        ("merger", hidden),
        *((f"deepstack_merger_list.{index}", joined) for index in range(len(deep))),
    ):
        yield from norm(f"{at}.{name}.norm", width, bias=True)
        yield from linear(f"{at}.{name}.linear_fc1", joined, joined, bias=True)
        yield from linear(f"{at}.{name}.linear_fc2", out, joined, bias=True)


def _patches_3(at: str, hidden: int) -> Tensors:
    yield from linear_patch(f"{at}.patch_embed.proj", hidden, (3, FRAMES, 16, 16))
    yield Tensor(f"{at}.pos_embed.weight", (2304, hidden), 0.5)


def linear_patch(name: str, hidden: int, patch: tuple[int, ...]) -> Tensors:
    """Yields the layer that turns a patch into a vector: a convolution's weight and its bias."""
    yield Tensor(f"{name}.weight", (hidden, *patch))
    yield Tensor(f"{name}.bias", (hidden,), value=0.0)
