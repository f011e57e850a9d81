"""Qwen3.5 by shape: three layers of linear attention to one of full attention, and Qwen3-VL's vision part."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vqa.models.twins.checkpoint import HALF, Checkpoint, chatml
from vqa.models.twins.qwen_text import QWEN2_MARKERS
from vqa.models.twins.qwen_vl import vision_3
from vqa.models.twins.tensors import Decoder, Tensor, Tensors, embedding, head, linear, norm
from vqa.models.twins.vocabulary import Vocabulary

_WORDS_END = 248044
_FULL_EVERY = 4
_KEY_DIM, _KERNEL = 128, 4
_LATER = ("<tool_response>", "</tool_response>", "<think>", "</think>")


@dataclass(frozen=True)
class Size:
    """The sizes of one model; `vision` as in `qwen_vl.Size`, `linear_heads` those of the linear attention."""

    text: Decoder
    vision: tuple[int, int, int, int]
    linear_heads: int = 16


FULL = {
    "Qwen/Qwen3.5-0.8B": Size(Decoder(1024, 24, 3584, 8, 2, 248320, 256, tied=True), (768, 12, 3072, 12)),
    "Qwen/Qwen3.5-2B": Size(Decoder(2048, 24, 6144, 8, 2, 248320, 256, tied=True), (1024, 24, 4096, 16)),
}


def tiny(size: Size) -> Size:
    """Returns the same structure in miniature: one group of four layers, 4,096 tokens."""
    text = replace(size.text, hidden=256, layers=_FULL_EVERY, inner=512, heads=2, kv_heads=1, vocabulary=4096)
    return Size(text, (128, 2, 256, 2), linear_heads=2)


def checkpoint(size: Size) -> Checkpoint:
    """Returns the checkpoint of that size."""
    markers = (*QWEN2_MARKERS, *_LATER)
    words = Vocabulary((), markers, min(_WORDS_END, size.text.vocabulary - len(markers)), size.text.vocabulary)
    pictures: dict[str, object] = {
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "processor_class": "Qwen3VLProcessor",
        "size": {"shortest_edge": 65536, "longest_edge": 16777216},
        **HALF,
    }
    # It is told to answer at once: its thoughts are empty.
    template = chatml("<|vision_start|><|image_pad|><|vision_end|>", before_answer="<think>\n\n</think>\n\n")
    return Checkpoint(
        config=_config(size, words),
        vocabulary=words,
        end="<|im_end|>",
        pad="<|endoftext|>",
        chat_template=template,
        tensors=lambda: _tensors(size, words),
        tokenizer={"tokenizer_class": "Qwen2Tokenizer", "model_max_length": 262144},
        files={
            "preprocessor_config.json": {"image_processor_type": "Qwen2VLImageProcessor", **pictures},
            "video_preprocessor_config.json": {"video_processor_type": "Qwen3VLVideoProcessor", **pictures},
        },
    )


def _kinds(size: Size) -> list[str]:
    numbers = range(1, size.text.layers + 1)
    return ["linear_attention" if number % _FULL_EVERY else "full_attention" for number in numbers]


def _config(size: Size, words: Vocabulary) -> dict[str, object]:
    ids = words.ids
    hidden, layers, inner, heads = size.vision
    text = size.text.config(
        model_type="qwen3_5_text",
        head_dim=size.text.head_dim,
        layer_types=_kinds(size),
        full_attention_interval=_FULL_EVERY,
        attn_output_gate=True,
        attention_bias=False,
        linear_conv_kernel_dim=_KERNEL,
        linear_key_head_dim=_KEY_DIM,
        linear_value_head_dim=_KEY_DIM,
        linear_num_key_heads=size.linear_heads,
        linear_num_value_heads=size.linear_heads,
        mamba_ssm_dtype="float32",
        max_position_embeddings=262144,
        rms_norm_eps=1e-6,
        mtp_num_hidden_layers=1,
        eos_token_id=ids["<|im_end|>"],
        torch_dtype="bfloat16",
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 1e7,
            "partial_rotary_factor": 0.25,
            "mrope_interleaved": True,
            "mrope_section": [11, 11, 10],
        },
    )
    return {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "model_type": "qwen3_5",
        "text_config": text,
        "vision_config": {
            "model_type": "qwen3_5",
            "depth": layers,
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_heads": heads,
            "out_hidden_size": size.text.hidden,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "in_channels": 3,
            "hidden_act": "gelu_pytorch_tanh",
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [],
        },
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": size.text.tied,
        "torch_dtype": "bfloat16",
    }


def _tensors(size: Size, words: Vocabulary) -> Tensors:
    at, text = "model.language_model", size.text
    yield from vision_3("model.visual", size.vision, text.hidden, ())
    yield from embedding(f"{at}.embed_tokens.weight", text, words.unsaid)
    for layer, kind in enumerate(_kinds(size)):
        here = f"{at}.layers.{layer}"
        if kind == "linear_attention":
            yield from _linear_attention(f"{here}.linear_attn", text.hidden, size.linear_heads)
        else:
            yield from _full_attention(f"{here}.self_attn", text)
        yield from _rest_of_layer(here, text)
    yield from norm(f"{at}.norm", text.hidden, value=0.0)
    yield from head("lm_head.weight", text, words.unsaid)
    # The part that guesses the token after the next one: there in the published files, used on request only.
    yield from linear("mtp.fc", text.hidden, 2 * text.hidden)
    yield from _full_attention("mtp.layers.0.self_attn", text)
    yield from _rest_of_layer("mtp.layers.0", text)
    for name in ("norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden"):
        yield from norm(f"mtp.{name}", text.hidden, value=0.0)


def _full_attention(at: str, size: Decoder) -> Tensors:
    # Queries come with a gate of the same width.
    yield from linear(f"{at}.q_proj", 2 * size.heads * size.head_dim, size.hidden)
    yield from linear(f"{at}.k_proj", size.kv_heads * size.head_dim, size.hidden)
    yield from linear(f"{at}.v_proj", size.kv_heads * size.head_dim, size.hidden)
    yield from linear(f"{at}.o_proj", size.hidden, size.heads * size.head_dim)
    yield from norm(f"{at}.q_norm", size.head_dim, value=0.0)
    yield from norm(f"{at}.k_norm", size.head_dim, value=0.0)


def _linear_attention(at: str, hidden: int, heads: int) -> Tensors:
    width = heads * _KEY_DIM
    yield from linear(f"{at}.in_proj_qkv", 3 * width, hidden)
    yield from linear(f"{at}.in_proj_z", width, hidden)
    yield from linear(f"{at}.in_proj_b", heads, hidden)
    yield from linear(f"{at}.in_proj_a", heads, hidden)
    yield Tensor(f"{at}.conv1d.weight", (3 * width, 1, _KERNEL))
    yield Tensor(f"{at}.A_log", (heads,), value=1.0)
    yield Tensor(f"{at}.dt_bias", (heads,), value=1.0)
    yield from norm(f"{at}.norm", _KEY_DIM)
    yield from linear(f"{at}.out_proj", hidden, width)


def _rest_of_layer(at: str, size: Decoder) -> Tensors:
    yield from linear(f"{at}.mlp.gate_proj", size.inner, size.hidden)
    yield from linear(f"{at}.mlp.up_proj", size.inner, size.hidden)
    yield from linear(f"{at}.mlp.down_proj", size.hidden, size.inner)
    # This family's norms multiply by one plus their weight.
    yield from norm(f"{at}.input_layernorm", size.hidden, value=0.0)
    yield from norm(f"{at}.post_attention_layernorm", size.hidden, value=0.0)
