"""Gemma 3 by shape: SigLIP, pooled to 256 tokens a picture, and a text model whose layers mostly look back 1,024."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vqa.models.twins import siglip
from vqa.models.twins.checkpoint import HALF, PARTS, Checkpoint
from vqa.models.twins.siglip import Vision
from vqa.models.twins.tensors import Decoder, Tensor, Tensors, embedding, linear, norm
from vqa.models.twins.vocabulary import Vocabulary

_TOKENS = 256
_GLOBAL_EVERY, _WINDOW = 6, 1024
_FIRST = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "[multimodal]")
_WORDS_END, _SOFT = 255999, 262144
_UNUSED = 99


@dataclass(frozen=True)
class Size:
    """The sizes of one model; pictures are `side` x `side` pixels."""

    text: Decoder
    vision: Vision
    side: int


FULL = {
    "google/gemma-3-4b-it": Size(
        Decoder(2560, 34, 10240, 8, 4, 262208, 256, tied=True), replace(siglip.SO400M, positions=4096), 896
    ),
}


def tiny(size: Size) -> Size:
    """Returns the same structure in miniature: one group of six layers, 8,192 tokens."""
    text = replace(size.text, hidden=256, layers=_GLOBAL_EVERY, inner=512, heads=2, kv_heads=1, vocabulary=8192)
    return replace(size, text=text, vision=replace(size.vision, hidden=128, layers=2, inner=256, heads=2))


def checkpoint(size: Size) -> Checkpoint:
    """Returns the checkpoint of that size."""
    words = _vocabulary(size)
    marks = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    return Checkpoint(
        config=_config(size, words),
        vocabulary=words,
        end="<end_of_turn>",
        pad="<pad>",
        chat_template=_template(),
        tensors=lambda: _tensors(size, words),
        tokenizer={"bos_token": "<bos>", "unk_token": "<unk>", "extra_special_tokens": marks},
        files={
            "processor_config.json": {"processor_class": "Gemma3Processor", "image_seq_length": _TOKENS},
            "preprocessor_config.json": {
                "image_processor_type": "Gemma3ImageProcessor",
                "processor_class": "Gemma3Processor",
                "do_convert_rgb": True,
                "do_resize": True,
                "do_rescale": True,
                "do_normalize": True,
                "do_pan_and_scan": None,
                "image_seq_length": _TOKENS,
                "resample": 2,
                "size": {"height": size.side, "width": size.side},
                **HALF,
            },
        },
    )


def _template() -> str:
    return (
        f"{PARTS.format(image='<start_of_image>')}<bos>"
        "{%- for message in messages -%}"
        "{%- set role = 'model' if message['role'] == 'assistant' else 'user' -%}"
        "{{ '<start_of_turn>' + role + '\\n' + parts(message['content']) + '<end_of_turn>\\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"
    )


def _vocabulary(size: Size) -> Vocabulary:
    unused = tuple(f"<unused{number}>" for number in range(_UNUSED))
    # New lines are tokens, up to 31 of them in one: the server looks them up as they are.
    lines = tuple("\n" * number for number in range(1, 32))
    first = (*_FIRST, *unused, "<start_of_turn>", "<end_of_turn>", *lines)
    full = size.text.vocabulary > _SOFT
    later = range(_UNUSED, _UNUSED + _SOFT - _WORDS_END - 2) if full else ()
    last = ("<start_of_image>", "<end_of_image>", *(f"<unused{number}>" for number in later), "<image_soft_token>")
    return Vocabulary(first, last, _WORDS_END if full else size.text.vocabulary - len(last), size.text.vocabulary)


def _config(size: Size, words: Vocabulary) -> dict[str, object]:
    ids = words.ids
    layers = range(1, size.text.layers + 1)
    kinds = ["sliding_attention" if layer % _GLOBAL_EVERY else "full_attention" for layer in layers]
    text = size.text.config(
        model_type="gemma3_text",
        head_dim=size.text.head_dim,
        hidden_activation="gelu_pytorch_tanh",
        layer_types=kinds,
        sliding_window=_WINDOW,
        query_pre_attn_scalar=size.text.head_dim,
        max_position_embeddings=131072,
        rms_norm_eps=1e-6,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
        torch_dtype="bfloat16",
    )
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "boi_token_index": ids["<start_of_image>"],
        "eoi_token_index": ids["<end_of_image>"],
        "image_token_index": ids["<image_soft_token>"],
        "mm_tokens_per_image": _TOKENS,
        "bos_token_id": ids["<bos>"],
        "eos_token_id": [ids["<eos>"], ids["<end_of_turn>"]],
        "pad_token_id": ids["<pad>"],
        "text_config": text,
        "vision_config": size.vision.config(
            model_type="siglip_vision_model", image_size=size.side, vision_use_head=False
        ),
        "tie_word_embeddings": size.text.tied,
        "torch_dtype": "bfloat16",
    }


def _tensors(size: Size, words: Vocabulary) -> Tensors:
    yield from siglip.tensors("vision_tower.vision_model", size.vision)
    yield Tensor("multi_modal_projector.mm_input_projection_weight", (size.vision.hidden, size.text.hidden))
    yield from norm("multi_modal_projector.mm_soft_emb_norm", size.vision.hidden, value=0.0)
    at, text = "language_model.model", size.text
    yield from embedding(f"{at}.embed_tokens.weight", text, words.unsaid)
    for layer in range(text.layers):
        here = f"{at}.layers.{layer}"
        for name, heads in (("q_proj", text.heads), ("k_proj", text.kv_heads), ("v_proj", text.kv_heads)):
            yield from linear(f"{here}.self_attn.{name}", heads * text.head_dim, text.hidden)
        yield from linear(f"{here}.self_attn.o_proj", text.hidden, text.heads * text.head_dim)
        # This family's norms multiply by one plus their weight.
        yield from norm(f"{here}.self_attn.q_norm", text.head_dim, value=0.0)
        yield from norm(f"{here}.self_attn.k_norm", text.head_dim, value=0.0)
        yield from linear(f"{here}.mlp.gate_proj", text.inner, text.hidden)
        yield from linear(f"{here}.mlp.up_proj", text.inner, text.hidden)
        yield from linear(f"{here}.mlp.down_proj", text.hidden, text.inner)
        for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            yield from norm(f"{here}.{name}_layernorm", text.hidden, value=0.0)
    yield from norm(f"{at}.norm", text.hidden, value=0.0)
