"""Mistral Small 3.1 by shape (the Mistral3 architecture): Pixtral's vision part, patches merged in fours, Mistral."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vqa.models.twins.checkpoint import CLIP, PARTS, Checkpoint
from vqa.models.twins.siglip import Vision
from vqa.models.twins.tensors import Decoder, Tensor, Tensors, decoder, linear, norm
from vqa.models.twins.vocabulary import Vocabulary

_SIDE, _PATCH, _MERGE = 1540, 14, 2
_FIRST = (
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
)
_MARKERS = 1000
"""That many ids at the start are kept for markers."""


@dataclass(frozen=True)
class Size:
    """The sizes of one model."""

    text: Decoder
    vision: Vision
    markers: int = _MARKERS


FULL = {
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": Size(
        Decoder(5120, 40, 32768, 32, 8, 131072, 128), Vision(1024, 24, 4096, 16, _PATCH, 0)
    ),
}


def tiny(size: Size) -> Size:
    """Returns the same structure in miniature."""
    text = replace(size.text, hidden=256, layers=2, inner=512, heads=4, kv_heads=2, vocabulary=4096, head_dim=64)
    return Size(text, replace(size.vision, hidden=128, layers=2, inner=256, heads=2), markers=100)


def checkpoint(size: Size) -> Checkpoint:
    """Returns the checkpoint of that size."""
    reserved = (f"<SPECIAL_{number}>" for number in range(len(_FIRST), size.markers))
    words = Vocabulary((*_FIRST, *reserved), (), size.text.vocabulary, size.text.vocabulary)
    return Checkpoint(
        config=_config(size, words),
        vocabulary=words,
        end="</s>",
        pad="<pad>",
        chat_template=_template(),
        tensors=lambda: _tensors(size, words),
        tokenizer={"bos_token": "<s>", "unk_token": "<unk>", "model_max_length": 131072},
        files={
            "processor_config.json": {
                "processor_class": "PixtralProcessor",
                "patch_size": _PATCH,
                "spatial_merge_size": _MERGE,
                "image_token": "[IMG]",
                "image_break_token": "[IMG_BREAK]",
                "image_end_token": "[IMG_END]",
            },
            "preprocessor_config.json": {
                "image_processor_type": "PixtralImageProcessor",
                "processor_class": "PixtralProcessor",
                "do_convert_rgb": True,
                "do_resize": True,
                "do_rescale": True,
                "do_normalize": True,
                "patch_size": {"height": _PATCH, "width": _PATCH},
                "resample": 3,
                "size": {"longest_edge": _SIDE},
                **CLIP,
            },
        },
    )


def _template() -> str:
    return (
        f"{PARTS.format(image='[IMG]')}<s>"
        "{%- for message in messages -%}{%- if message['role'] == 'system' -%}"
        "{{ '[SYSTEM_PROMPT]' + parts(message['content']) + '[/SYSTEM_PROMPT]' }}"
        "{%- elif message['role'] == 'assistant' -%}{{ parts(message['content']) + '</s>' }}"
        "{%- else -%}{{ '[INST]' + parts(message['content']) + '[/INST]' }}{%- endif -%}{%- endfor -%}"
    )


def _config(size: Size, words: Vocabulary) -> dict[str, object]:
    text = size.text.config(
        model_type="mistral",
        head_dim=size.text.head_dim,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        rope_theta=1e9,
        sliding_window=None,
        torch_dtype="bfloat16",
    )
    vision = size.vision.config(model_type="pixtral", image_size=_SIDE, hidden_act="silu", rope_theta=1e4)
    return {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "model_type": "mistral3",
        "image_token_index": words.ids["[IMG]"],
        "multimodal_projector_bias": False,
        "projector_hidden_act": "gelu",
        "spatial_merge_size": _MERGE,
        "vision_feature_layer": -1,
        "text_config": text,
        "vision_config": {**vision, "head_dim": size.vision.hidden // size.vision.heads},
        "tie_word_embeddings": size.text.tied,
        "torch_dtype": "bfloat16",
    }


def _tensors(size: Size, words: Vocabulary) -> Tensors:
    yield from _vision("vision_tower", size.vision)
    yield from norm("multi_modal_projector.norm", size.vision.hidden)
    joined = size.vision.hidden * _MERGE**2
    yield from linear("multi_modal_projector.patch_merger.merging_layer", size.vision.hidden, joined)
    yield from linear("multi_modal_projector.linear_1", size.text.hidden, size.vision.hidden)
    yield from linear("multi_modal_projector.linear_2", size.text.hidden, size.text.hidden)
    yield from decoder("language_model.model", "language_model.lm_head.weight", size.text, words.unsaid)


def _vision(at: str, size: Vision) -> Tensors:
    yield Tensor(f"{at}.patch_conv.weight", (size.hidden, 3, _PATCH, _PATCH))
    yield from norm(f"{at}.ln_pre", size.hidden)
    for layer in range(size.layers):
        here = f"{at}.transformer.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield from linear(f"{here}.attention.{name}", size.hidden, size.hidden)
        yield from norm(f"{here}.attention_norm", size.hidden)
        yield from linear(f"{here}.feed_forward.gate_proj", size.inner, size.hidden)
        yield from linear(f"{here}.feed_forward.up_proj", size.inner, size.hidden)
        yield from linear(f"{here}.feed_forward.down_proj", size.hidden, size.inner)
        yield from norm(f"{here}.ffn_norm", size.hidden)
