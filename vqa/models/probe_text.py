"""The sensitivity probe's tokenizer, chat template and processor files, made by rule.

The tokenizer is byte-level BPE without merges: whatever is asked costs one token a byte, so a short question already
fills the 128-token blocks in which a CPU's prefix cache works. The other 3,824 tokens are two-syllable nonsense
words; only the model says those, so every answer is plain ASCII and its text differs when its tokens do.
"""

import itertools
import json
from pathlib import Path
from typing import Any, Literal

Architecture = Literal["idefics3", "llava"]

PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<end_of_utterance>"
IMAGE, AROUND_IMAGE, GLOBAL_IMAGE = "<image>", "<fake_token_around_image>", "<global-img>"
SPECIALS = (PAD, BEGIN, END, AROUND_IMAGE, IMAGE, GLOBAL_IMAGE)
VOCABULARY_SIZE = 4096
PREAMBLE = (
    "This is a measuring instrument with random weights. It knows nothing and sees nothing: its words mean nothing. "
    "Only whether the same request gives the same words again is of interest. "
)
_ROLES = "{% for message in messages %}{{ message['role'] | capitalize }}: "
_CONTENT = (
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'image' %}<image>{% endif %}"
    "{% endfor %}{% endif %}"
)
CHAT_TEMPLATE = (
    f"{BEGIN}{PREAMBLE}{_ROLES}{_CONTENT}{END}{{% endfor %}}{{% if add_generation_prompt %}}Assistant:{{% endif %}}"
)
_NORMALISE = {"do_rescale": True, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def byte_alphabet() -> list[str]:
    """Returns the printable stand-in of each byte 0 to 255, as byte-level BPE (GPT-2) maps them."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    spare = itertools.count(256)
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def vocabulary() -> list[str]:
    """Returns the tokens in the order of their ids: specials, bytes, then nonsense words with a leading space."""
    syllables = [c + v for c in "bdfghjklmnprstvwz" for v in "aeiou"]
    words = (f"Ġ{first}{second}" for first, second in itertools.product(syllables, syllables))
    known = [*SPECIALS, *byte_alphabet()]
    return [*known, *itertools.islice(words, VOCABULARY_SIZE - len(known))]


def first_word_id() -> int:
    """Returns the id from which on tokens are nonsense words: the only ones the probe is made to say."""
    return len(SPECIALS) + 256


def write_text_files(
    folder: Path, architecture: Architecture, *, image_side: int, image_tokens: int, patch: int
) -> None:
    """Writes tokenizer, chat template, generation config and processor files of the probe into `folder`."""
    ids = {token: index for index, token in enumerate(vocabulary())}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    _dump(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": ids[token], "content": token, **flags} for token in SPECIALS],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {"type": "BPE", "vocab": ids, "merges": []},
        },
    )
    _dump(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BEGIN,
            "eos_token": END,
            "pad_token": PAD,
            "additional_special_tokens": [AROUND_IMAGE, IMAGE, GLOBAL_IMAGE],
            "model_max_length": 4096,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    _dump(
        folder / "generation_config.json",
        {"bos_token_id": ids[BEGIN], "eos_token_id": ids[END], "pad_token_id": ids[PAD], "do_sample": False},
    )
    processor, images = _processor(architecture, image_side=image_side, image_tokens=image_tokens, patch=patch)
    _dump(folder / "processor_config.json", processor)
    _dump(folder / "preprocessor_config.json", images)


def _processor(
    architecture: Architecture, *, image_side: int, image_tokens: int, patch: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    if architecture == "idefics3":
        size = {"longest_edge": image_side}
        images = {"image_processor_type": "Idefics3ImageProcessor", "do_image_splitting": False, "do_pad": True}
        return (
            {"processor_class": "Idefics3Processor", "image_seq_len": image_tokens},
            {**images, "do_resize": True, "size": size, "max_image_size": size, "resample": 1, **_NORMALISE},
        )
    square = {"height": image_side, "width": image_side}
    return (
        {
            "processor_class": "LlavaProcessor",
            "image_token": IMAGE,
            "patch_size": patch,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
        {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "do_center_crop": True,
            "size": {"shortest_edge": image_side},
            "crop_size": square,
            **_NORMALISE,
        },
    )


def _dump(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
