"""GLM-4.1V by shape (the Glm4v architecture): a vision part whose patches a convolution merges, and GLM-4."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vqa.models.twins.checkpoint import CLIP, PARTS, Checkpoint
from vqa.models.twins.tensors import Decoder, Tensor, Tensors, embedding, head, linear, norm
from vqa.models.twins.vocabulary import Vocabulary

_PATCH, _MERGE, _FRAMES, _SIDE = 14, 2, 2, 336
_WORDS_END = 151329
_MARKERS = (
    "<|endoftext|>",
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|image|>",
    "<|video|>",
)


@dataclass(frozen=True)
class Size:
    """The sizes of one model: its text part; hidden size, layers and heads of its vision part; the merger's width."""

    text: Decoder
    vision: tuple[int, int, int]
    merger: int


FULL = {
    "zai-org/GLM-4.1V-9B-Thinking": Size(
        Decoder(4096, 40, 13696, 32, 2, 151552, 128, qkv_bias=True), (1536, 24, 12), 13696
    ),
}


def tiny(size: Size) -> Size:
    """Returns the same structure in miniature."""
    text = replace(size.text, hidden=256, layers=2, inner=512, heads=2, kv_heads=1, vocabulary=4096)
    return Size(text, (128, 2, 2), 512)


def checkpoint(size: Size) -> Checkpoint:
    """Returns the checkpoint of that size."""
    vocabulary = size.text.vocabulary
    words = Vocabulary((), _MARKERS, min(_WORDS_END, vocabulary - len(_MARKERS)), vocabulary)
    pictures: dict[str, object] = {
        "processor_class": "Glm4vProcessor",
        "patch_size": _PATCH,
        "temporal_patch_size": _FRAMES,
        "merge_size": _MERGE,
        "size": {"shortest_edge": 12544, "longest_edge": 9633792},
        **CLIP,
    }
    return Checkpoint(
        config=_config(size, words),
        vocabulary=words,
        end="<|user|>",
        pad="<|endoftext|>",
        chat_template=_template(),
        tensors=lambda: _tensors(size, words),
        tokenizer={"model_max_length": 65536},
        files={
            "preprocessor_config.json": {"image_processor_type": "Glm4vImageProcessor", **pictures},
            "video_preprocessor_config.json": {"video_processor_type": "Glm4vVideoProcessor", **pictures},
        },
    )


def _template() -> str:
    return (
        f"{PARTS.format(image='<|begin_of_image|><|image|><|end_of_image|>')}[gMASK]<sop>"
        "{%- for message in messages -%}"
        "{{ '<|' + message['role'] + '|>\\n' + parts(message['content']) }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}"
    )


def _config(size: Size, words: Vocabulary) -> dict[str, object]:
    ids = words.ids
    hidden, layers, heads = size.vision
    text = size.text.config(
        model_type="glm4v_text",
        attention_bias=True,
        max_position_embeddings=65536,
        rms_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 1e4,
            "partial_rotary_factor": 0.5,
            "mrope_section": [8, 12, 12],
        },
        eos_token_id=[ids["<|endoftext|>"], ids["<|user|>"], ids["<|observation|>"]],
        pad_token_id=ids["<|endoftext|>"],
        torch_dtype="bfloat16",
    )
    vision = {
        "model_type": "glm4v_vision",
        "depth": layers,
        "hidden_size": hidden,
        "num_heads": heads,
        "intermediate_size": size.merger,
        "out_hidden_size": size.text.hidden,
        "image_size": _SIDE,
        "patch_size": _PATCH,
        "spatial_merge_size": _MERGE,
        "temporal_patch_size": _FRAMES,
        "in_channels": 3,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rms_norm_eps": 1e-5,
    }
    return {
        "architectures": ["Glm4vForConditionalGeneration"],
        "model_type": "glm4v",
        "image_token_id": ids["<|image|>"],
        "video_token_id": ids["<|video|>"],
        "image_start_token_id": ids["<|begin_of_image|>"],
        "image_end_token_id": ids["<|end_of_image|>"],
        "video_start_token_id": ids["<|begin_of_video|>"],
        "video_end_token_id": ids["<|end_of_video|>"],
        "text_config": text,
        "vision_config": vision,
        "tie_word_embeddings": size.text.tied,
        "torch_dtype": "bfloat16",
    }


def _tensors(size: Size, words: Vocabulary) -> Tensors:
    yield from _vision("model.visual", size)
    at, text = "model.language_model", size.text
    yield from embedding(f"{at}.embed_tokens.weight", text, words.unsaid)
    for layer in range(text.layers):
        here = f"{at}.layers.{layer}"
        for name, heads in (("q_proj", text.heads), ("k_proj", text.kv_heads), ("v_proj", text.kv_heads)):
            yield from linear(f"{here}.self_attn.{name}", heads * text.head_dim, text.hidden, bias=True)
        yield from linear(f"{here}.self_attn.o_proj", text.hidden, text.heads * text.head_dim)
        yield from linear(f"{here}.mlp.gate_up_proj", 2 * text.inner, text.hidden)
        yield from linear(f"{here}.mlp.down_proj", text.hidden, text.inner)
        for name in ("input", "post_attention", "post_self_attn", "post_mlp"):
            yield from norm(f"{here}.{name}_layernorm", text.hidden)
    yield from norm(f"{at}.norm", text.hidden)
    yield from head("lm_head.weight", text, words.unsaid)


def _vision(at: str, size: Size) -> Tensors:
    (hidden, layers, _), out = size.vision, size.text.hidden
    yield Tensor(f"{at}.patch_embed.proj.weight", (hidden, 3, _FRAMES, _PATCH, _PATCH))
    yield Tensor(f"{at}.patch_embed.proj.bias", (hidden,), value=0.0)
    yield from norm(f"{at}.post_conv_layernorm", hidden)
    yield Tensor(f"{at}.embeddings.position_embedding.weight", ((_SIDE // _PATCH) ** 2, hidden), 0.5)
    for layer in range(layers):
        here = f"{at}.blocks.{layer}"
        yield from norm(f"{here}.norm1", hidden)
        yield from norm(f"{here}.norm2", hidden)
        yield from linear(f"{here}.attn.qkv", 3 * hidden, hidden)
        yield from linear(f"{here}.attn.proj", hidden, hidden)
        yield from _gated(f"{here}.mlp", hidden, out)
    yield from norm(f"{at}.post_layernorm", hidden)
    yield Tensor(f"{at}.downsample.weight", (out, hidden, _MERGE, _MERGE))
    yield Tensor(f"{at}.downsample.bias", (out,), value=0.0)
    yield from linear(f"{at}.merger.proj", out, out)
    yield from norm(f"{at}.merger.post_projection_norm", out, bias=True)
    yield from _gated(f"{at}.merger", out, size.merger)


def _gated(at: str, width: int, inner: int) -> Tensors:
    yield from linear(f"{at}.gate_proj", inner, width)
    yield from linear(f"{at}.up_proj", inner, width)
    yield from linear(f"{at}.down_proj", width, inner)
