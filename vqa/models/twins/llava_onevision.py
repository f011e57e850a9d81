"""LLaVA-OneVision by shape: SigLIP on tiles of a picture, a projector of two layers, and Qwen2."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vqa.models.twins import siglip
from vqa.models.twins.checkpoint import HALF, Checkpoint, chatml
from vqa.models.twins.qwen_text import QWEN_WORDS
from vqa.models.twins.siglip import Vision
from vqa.models.twins.tensors import Decoder, Tensor, Tensors, decoder, linear
from vqa.models.twins.vocabulary import Vocabulary

_SIDE, _TILES = 384, 6
_MARKERS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
_GRID = [[_SIDE * rows, _SIDE * columns] for rows in range(1, _TILES + 1) for columns in range(1, _TILES + 1)]


@dataclass(frozen=True)
class Size:
    """The sizes of one model."""

    text: Decoder
    vision: Vision


FULL = {
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": Size(
        Decoder(896, 24, 4864, 14, 2, 152000, 64, tied=True, qkv_bias=True), replace(siglip.SO400M, layers=26)
    ),
}


def tiny(size: Size) -> Size:
    """Returns the same structure in miniature."""
    text = replace(size.text, hidden=256, layers=2, inner=512, heads=4, kv_heads=2, vocabulary=4096)
    return Size(text, replace(size.vision, hidden=128, layers=2, inner=256, heads=2))


def checkpoint(size: Size) -> Checkpoint:
    """Returns the checkpoint of that size."""
    words = Vocabulary((), _MARKERS, min(QWEN_WORDS, size.text.vocabulary - len(_MARKERS)), size.text.vocabulary)
    square = {"height": _SIDE, "width": _SIDE}
    pictures: dict[str, object] = {
        "processor_class": "LlavaOnevisionProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "resample": 3,
        "size": square,
        **HALF,
    }
    return Checkpoint(
        config=_config(size, words),
        vocabulary=words,
        end="<|im_end|>",
        pad="<|endoftext|>",
        chat_template=chatml("<image>\n"),
        tensors=lambda: _tensors(size, words),
        tokenizer={"model_max_length": 32768},
        files={
            "processor_config.json": {
                "processor_class": "LlavaOnevisionProcessor",
                "image_token": "<image>",
                "video_token": "<video>",
                "num_image_tokens": size.vision.positions,
                "vision_feature_select_strategy": "full",
                "vision_aspect_ratio": "anyres_max_9",
            },
            "preprocessor_config.json": {
                "image_processor_type": "LlavaOnevisionImageProcessor",
                "image_grid_pinpoints": _GRID,
                "do_pad": True,
                **pictures,
            },
            "video_preprocessor_config.json": {"video_processor_type": "LlavaOnevisionVideoProcessor", **pictures},
        },
    )


def _config(size: Size, words: Vocabulary) -> dict[str, object]:
    text = size.text.config(
        model_type="qwen2",
        architectures=["Qwen2ForCausalLM"],
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        use_sliding_window=False,
        bos_token_id=words.ids["<|endoftext|>"],
        eos_token_id=words.ids["<|im_end|>"],
        torch_dtype="bfloat16",
    )
    return {
        "architectures": ["LlavaOnevisionForConditionalGeneration"],
        "model_type": "llava_onevision",
        "image_grid_pinpoints": _GRID,
        "image_token_index": words.ids["<image>"],
        "video_token_index": words.ids["<video>"],
        "multimodal_projector_bias": True,
        "projector_hidden_act": "gelu",
        "vision_aspect_ratio": "anyres_max_9",
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "use_image_newline_parameter": True,
        "text_config": text,
        "vision_config": size.vision.config(model_type="siglip_vision_model", image_size=_SIDE, vision_use_head=False),
        "tie_word_embeddings": size.text.tied,
        "torch_dtype": "bfloat16",
    }


def _tensors(size: Size, words: Vocabulary) -> Tensors:
    yield Tensor("image_newline", (size.text.hidden,), 1.0)
    yield from siglip.tensors("vision_tower.vision_model", size.vision)
    yield from linear("multi_modal_projector.linear_1", size.text.hidden, size.vision.hidden, bias=True)
    yield from linear("multi_modal_projector.linear_2", size.text.hidden, size.text.hidden, bias=True)
    yield from decoder("language_model.model", "language_model.lm_head.weight", size.text, words.unsaid)
