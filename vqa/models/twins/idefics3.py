"""SmolVLM by shape (the Idefics3 architecture): SigLIP, patches folded into tokens, and a Llama text model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vqa.models.twins import siglip
from vqa.models.twins.checkpoint import HALF, PARTS, Checkpoint
from vqa.models.twins.siglip import Vision
from vqa.models.twins.tensors import Decoder, Tensor, Tensors, decoder
from vqa.models.twins.vocabulary import Vocabulary

_FIRST = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<repo_name>",
    "<reponame>",
    "<file_sep>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<jupyter_script>",
    "<empty_output>",
)
_WORDS_END = 49152
_TILES = 6
"""Rows and columns into which a large picture is cut at most; each place has a marker in the smaller models."""
_RESERVED = 88


@dataclass(frozen=True)
class Size:
    """The sizes of one model.

    Attributes:
        text: of the language part.
        vision: of the vision part, for pictures of `side` x `side` pixels.
        fold: `fold` x `fold` patches become one token.
        place_markers: row and column of a tile are one token each time, not text.
    """

    text: Decoder
    vision: Vision
    side: int
    fold: int
    place_markers: bool

    @property
    def tokens(self) -> int:
        """Image tokens of one tile."""
        return (self.side // self.vision.patch // self.fold) ** 2


def _small(hidden: int, layers: int, inner: int, heads: int, kv_heads: int) -> Size:
    vision = replace(siglip.BASE, positions=1024)
    return Size(Decoder(hidden, layers, inner, heads, kv_heads, 49280, 64), vision, 512, 4, place_markers=True)


FULL = {
    "HuggingFaceTB/SmolVLM-256M-Instruct": _small(576, 30, 1536, 9, 3),
    "HuggingFaceTB/SmolVLM-500M-Instruct": _small(960, 32, 2560, 15, 5),
    "HuggingFaceTB/SmolVLM-Instruct": Size(
        Decoder(2048, 24, 8192, 32, 32, 49155, 64), siglip.SO400M, 384, 3, place_markers=False
    ),
}


def tiny(size: Size) -> Size:
    """Returns the same structure in miniature."""
    text = replace(size.text, hidden=256, layers=2, inner=512, heads=4, kv_heads=2, vocabulary=4096)
    return replace(size, text=text, vision=replace(size.vision, hidden=128, layers=2, inner=256, heads=2))


def checkpoint(size: Size) -> Checkpoint:
    """Returns the checkpoint of that size."""
    words = _vocabulary(size)
    side, largest = {"longest_edge": size.side}, {"longest_edge": 4 * size.side}
    return Checkpoint(
        config=_config(size, words),
        vocabulary=words,
        end="<end_of_utterance>",
        pad="<|im_end|>",
        chat_template=_template(),
        tensors=lambda: _tensors(size, words),
        tokenizer={
            "bos_token": "<|im_start|>",
            "model_max_length": 8192,
            "additional_special_tokens": ["<fake_token_around_image>", "<image>", "<end_of_utterance>"],
        },
        files={
            "processor_config.json": {"processor_class": "Idefics3Processor", "image_seq_len": size.tokens},
            "preprocessor_config.json": {
                "image_processor_type": "Idefics3ImageProcessor",
                "processor_class": "Idefics3Processor",
                "do_convert_rgb": True,
                "do_image_splitting": True,
                "do_pad": True,
                "do_resize": True,
                "do_rescale": True,
                "do_normalize": True,
                "resample": 1,
                "size": largest,
                "max_image_size": side,
                **HALF,
            },
        },
    )


def _template() -> str:
    return (
        f"{PARTS.format(image='<image>')}<|im_start|>"
        "{%- for message in messages -%}{{ message['role'] | capitalize }}"
        "{%- if message['content'] is not string and message['content'][0]['type'] != 'text' -%}{{ ':' }}"
        "{%- else -%}{{ ': ' }}{%- endif -%}{{ parts(message['content']) }}{{ '<end_of_utterance>\\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}"
    )


def _vocabulary(size: Size) -> Vocabulary:
    around = ("<fake_token_around_image>", "<image>")
    if size.place_markers:
        places = (f"<row_{row}_col_{column}>" for row in range(1, _TILES + 1) for column in range(1, _TILES + 1))
        reserved = (f"<|reserved_special_token_{number}|>" for number in range(_RESERVED))
        last = ("<global-img>", *places, *around, *reserved, "<end_of_utterance>")
    else:
        last = (*around, "<end_of_utterance>")
    return Vocabulary(_FIRST, last, min(_WORDS_END, size.text.vocabulary - len(last)), size.text.vocabulary)


def _config(size: Size, words: Vocabulary) -> dict[str, object]:
    ids = words.ids
    ends = {"bos_token_id": ids["<|im_start|>"], "pad_token_id": ids["<|im_end|>"]}
    text = size.text.config(
        model_type="llama",
        head_dim=size.text.head_dim,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_theta=100000.0,
        attention_bias=False,
        mlp_bias=False,
        torch_dtype="bfloat16",
        eos_token_id=ids["<end_of_utterance>"],
        **ends,
    )
    return {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "model_type": "idefics3",
        "image_token_id": ids["<image>"],
        "scale_factor": size.fold,
        "text_config": text,
        "vision_config": size.vision.config(model_type="idefics3_vision", image_size=size.side),
        "tie_word_embeddings": size.text.tied,
        "torch_dtype": "bfloat16",
        "eos_token_id": ids["<end_of_utterance>"],
        **ends,
    }


def _tensors(size: Size, words: Vocabulary) -> Tensors:
    yield from siglip.tensors("model.vision_model", size.vision)
    folded = size.vision.hidden * size.fold**2
    yield Tensor("model.connector.modality_projection.proj.weight", (size.text.hidden, folded))
    yield from decoder("model.text_model", "lm_head.weight", size.text, words.unsaid)
