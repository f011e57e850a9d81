"""What a twin consists of beside its weights, and how it is laid into a folder; knows no architecture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vqa.models.twins.tensors import Tensors
from vqa.models.twins.vocabulary import Vocabulary
from vqa.models.twins.weights import write_weights

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
PARTS = (
    "{{%- macro parts(content) -%}}{{%- if content is string -%}}{{{{ content }}}}{{%- else -%}}"
    "{{%- for part in content -%}}{{%- if part['type'] == 'text' -%}}{{{{ part['text'] }}}}"
    "{{%- else -%}}{image}{{%- endif -%}}{{%- endfor -%}}{{%- endif -%}}{{%- endmacro -%}}"
)
"""A macro that writes a message's parts; `image` stands for a picture (to be filled in with `format`)."""


@dataclass(frozen=True)
class Checkpoint:
    """One model, ready to be written.

    Attributes:
        config: the content of config.json.
        vocabulary: its tokens.
        end: the marker that ends an answer.
        pad: the marker that fills up.
        chat_template: jinja, in the form of the published one.
        tensors: yields the weights.
        tokenizer: further keys of tokenizer_config.json.
        files: further files: JSON objects, or text.
    """

    config: Mapping[str, object]
    vocabulary: Vocabulary
    end: str
    pad: str
    chat_template: str
    tensors: Callable[[], Tensors]
    tokenizer: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, object] | str] = field(default_factory=dict)


def write_checkpoint(folder: Path, checkpoint: Checkpoint, seed: int) -> int:
    """Writes all files into an existing folder; returns the bytes of the weights.

    Raises:
        OSError: the folder cannot be written.
    """
    ids = checkpoint.vocabulary.ids
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": checkpoint.end,
        "pad_token": checkpoint.pad,
        "clean_up_tokenization_spaces": False,
        **checkpoint.tokenizer,
        "chat_template": checkpoint.chat_template,
    }
    _dump(folder / "config.json", {**checkpoint.config, "vqa_twin": {"seed": seed}})
    _dump(folder / "tokenizer.json", checkpoint.vocabulary.tokenizer_json())
    _dump(folder / "tokenizer_config.json", tokenizer)
    _dump(
        folder / "generation_config.json",
        {"do_sample": False, "eos_token_id": ids[checkpoint.end], "pad_token_id": ids[checkpoint.pad]},
    )
    (folder / "chat_template.jinja").write_text(checkpoint.chat_template, encoding="utf-8")
    for name, content in checkpoint.files.items():
        if isinstance(content, str):
            (folder / name).write_text(content, encoding="utf-8")
        else:
            _dump(folder / name, content)
    return write_weights(folder, checkpoint.tensors(), seed)


def chatml(image: str | None, *, system: str = "", before_answer: str = "") -> str:
    """Returns a template of `<|im_start|>role … <|im_end|>` turns.

    Args:
        image: what stands for a picture. None: contents are strings, and the server puts its own mark for a picture
            in front of the text (as vLLM does for templates that know of no parts).
        before_answer: what stands at the start of the answer to come.
        system: what is said when the conversation does not begin with a system message.
    """
    first = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    opening = f"{{%- if messages[0]['role'] != 'system' -%}}{{{{ {first!r} }}}}{{%- endif -%}}" if first else ""
    start = f"<|im_start|>assistant\n{before_answer}"
    content = "message['content']" if image is None else "parts(message['content'])"
    macro = "" if image is None else PARTS.format(image=image)
    return (
        f"{macro}{opening}{{%- for message in messages -%}}"
        f"{{{{ '<|im_start|>' + message['role'] + '\\n' + {content} + '<|im_end|>\\n' }}}}{{%- endfor -%}}"
        f"{{%- if add_generation_prompt -%}}{{{{ {start!r} }}}}{{%- endif -%}}"
    )


def _dump(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
