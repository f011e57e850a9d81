"""LFM2-VL by shape: SigLIP 2 for pictures of any shape, and a text model of short convolutions with some attention."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vqa.models.twins import siglip
from vqa.models.twins.checkpoint import HALF, Checkpoint, chatml
from vqa.models.twins.siglip import Vision
from vqa.models.twins.tensors import Decoder, Tensor, Tensors, embedding, linear, norm
from vqa.models.twins.vocabulary import Vocabulary

_IMAGE_ID, _TILES, _KERNEL, _HALVING = 396, 10, 3, 2
_PROJECTOR = 2560
_ATTENTION = (2, 5, 8, 10, 12, 14)


@dataclass(frozen=True)
class Size:
    """The sizes of one model; `attention` are the layers that have it."""

    text: Decoder
    vision: Vision
    attention: tuple[int, ...] = _ATTENTION
    projector: int = _PROJECTOR


FULL = {
    "LiquidAI/LFM2.5-VL-450M": Size(Decoder(1024, 16, 4608, 16, 8, 65536, 64, tied=True), siglip.BASE),
    "LiquidAI/LFM2.5-VL-1.6B": Size(
        Decoder(2048, 16, 8192, 32, 8, 65536, 64, tied=True), replace(siglip.SO400M, patch=16, positions=256)
    ),
}


def tiny(size: Size) -> Size:
    """Returns the same structure in miniature: three layers, the last one with attention."""
    text = replace(size.text, hidden=256, layers=3, inner=512, heads=4, kv_heads=2, vocabulary=4096)
    return Size(text, siglip.TINY, attention=(2,), projector=512)


def checkpoint(size: Size) -> Checkpoint:
    """Returns the checkpoint of that size."""
    words = _vocabulary(size)
    return Checkpoint(
        config=_config(size, words),
        vocabulary=words,
        end="<|im_end|>",
        pad="<|pad|>",
        chat_template="<|startoftext|>" + chatml("<image>"),
        tensors=lambda: _tensors(size, words),
        tokenizer={"bos_token": "<|startoftext|>", "model_max_length": 128000},
        files={
            "processor_config.json": {"processor_class": "Lfm2VlProcessor"},
            "preprocessor_config.json": {
                "image_processor_type": "Lfm2VlImageProcessor",
                "processor_class": "Lfm2VlProcessor",
                "do_image_splitting": True,
                "do_resize": True,
                "do_rescale": True,
                "do_normalize": True,
                "do_pad": True,
                "downsample_factor": _HALVING,
                "encoder_patch_size": size.vision.patch,
                "min_tiles": 2,
                "max_tiles": 10,
                "min_image_tokens": 64,
                "max_image_tokens": 256,
                "max_num_patches": 1024,
                "max_pixels_tolerance": 2.0,
                "tile_size": 512,
                "use_thumbnail": True,
                "resample": 2,
                **HALF,
            },
        },
    )


def _vocabulary(size: Size) -> Vocabulary:
    fills = ("<|fim_pre|>", "<|fim_mid|>", "<|fim_suf|>")
    first = ("<|pad|>", "<|startoftext|>", "<|endoftext|>", *fills, "<|im_start|>", "<|im_end|>")
    reserved = (f"<|reserved_{number}|>" for number in range(len(first), _IMAGE_ID))
    places = (f"<|img_row_{row}_col_{column}|>" for row in range(1, _TILES + 1) for column in range(1, _TILES + 1))
    last = ("<image>", *places, "<|img_thumbnail|>", "<|image_start|>", "<|image_end|>")
    return Vocabulary((*first, *reserved, *last), (), size.text.vocabulary, size.text.vocabulary)


def _config(size: Size, words: Vocabulary) -> dict[str, object]:
    ids = words.ids
    kinds = ["full_attention" if layer in size.attention else "conv" for layer in range(size.text.layers)]
    text = size.text.config(
        model_type="lfm2",
        layer_types=kinds,
        block_auto_adjust_ff_dim=False,
        block_dim=size.text.hidden,
        block_ff_dim=size.text.inner,
        conv_L_cache=_KERNEL,
        conv_bias=False,
        conv_dim=size.text.hidden,
        max_position_embeddings=128000,
        norm_eps=1e-5,
        rope_theta=1e6,
        bos_token_id=ids["<|startoftext|>"],
        eos_token_id=ids["<|im_end|>"],
        pad_token_id=ids["<|pad|>"],
        torch_dtype="bfloat16",
    )
    return {
        "architectures": ["Lfm2VlForConditionalGeneration"],
        "model_type": "lfm2_vl",
        "image_token_id": ids["<image>"],
        "downsample_factor": _HALVING,
        "projector_hidden_act": "gelu",
        "projector_hidden_size": size.projector,
        "projector_bias": True,
        "projector_use_layernorm": False,
        "text_config": text,
        "vision_config": size.vision.config(
            model_type="siglip2_vision_model", num_patches=size.vision.positions, vision_use_head=False
        ),
        "tie_word_embeddings": size.text.tied,
        "torch_dtype": "bfloat16",
    }


def _tensors(size: Size, words: Vocabulary) -> Tensors:
    yield from siglip.tensors("model.vision_tower.vision_model", size.vision, flat=True)
    joined = size.vision.hidden * _HALVING**2
    yield from linear("model.multi_modal_projector.linear_1", size.projector, joined, bias=True)
    yield from linear("model.multi_modal_projector.linear_2", size.text.hidden, size.projector, bias=True)
    at, text = "model.language_model", size.text
    yield from embedding(f"{at}.embed_tokens.weight", text, words.unsaid)
    for layer in range(text.layers):
        here = f"{at}.layers.{layer}"
        if layer in size.attention:
            yield from _attention(f"{here}.self_attn", text)
        else:
            yield from linear(f"{here}.conv.in_proj", 3 * text.hidden, text.hidden)
            yield Tensor(f"{here}.conv.conv.weight", (text.hidden, 1, _KERNEL))
            yield from linear(f"{here}.conv.out_proj", text.hidden, text.hidden)
        yield from linear(f"{here}.feed_forward.w1", text.inner, text.hidden)
        yield from linear(f"{here}.feed_forward.w2", text.hidden, text.inner)
        yield from linear(f"{here}.feed_forward.w3", text.inner, text.hidden)
        yield from norm(f"{here}.operator_norm", text.hidden)
        yield from norm(f"{here}.ffn_norm", text.hidden)
    yield from norm(f"{at}.embedding_norm", text.hidden)


def _attention(at: str, size: Decoder) -> Tensors:
    for name, heads in (("q_proj", size.heads), ("k_proj", size.kv_heads), ("v_proj", size.kv_heads)):
        yield from linear(f"{at}.{name}", heads * size.head_dim, size.hidden)
    yield from linear(f"{at}.out_proj", size.hidden, size.heads * size.head_dim)
    yield from norm(f"{at}.q_layernorm", size.head_dim)
    yield from norm(f"{at}.k_layernorm", size.head_dim)
