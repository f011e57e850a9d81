"""Fine-tuned folders as trainers leave them: which files of the base model they lack, and copying those from it.

Trainers (ms-swift, LLaMA-Factory, PEFT) write config and weights, but not always the tokenizer, the processor's files
or the chat template, which vLLM needs too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from vqa.engine.folder import read_json
from vqa.errors import InputError

_TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
_TOKENIZER_TOO = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
_PROCESSOR = ("preprocessor_config.json", "processor_config.json")
_PROCESSOR_TOO = ("video_preprocessor_config.json", "image_processor_config.json")
_TEMPLATE = ("chat_template.jinja", "chat_template.json")
_TEMPLATE_KEPT = ("tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
"""Where a chat template may stand too, under `chat_template`."""
_NEEDS_NO_TEMPLATE = (
    "blip-2", "clip", "colpali", "deepseek_ocr", "deepseek_vl_v2", "minicpmv", "paligemma", "siglip", "unlimited"
)  # fmt: skip
"""How model types begin for which vLLM 0.32 brings one of its own (vllm/transformers_utils/chat_templates)."""
_CONFIGS = ("args.json", "config.json", "adapter_config.json")
_BASE_KEYS = ("model_id_or_path", "model", "base_model_name_or_path", "model_name_or_path", "_name_or_path")


def check_complete(folder: Path, *, templated: bool = False) -> None:
    """Returns nothing when a checkpoint has, beside its weights, what vLLM needs to read and to show things to it.

    With `templated` the chat template comes from elsewhere.

    Raises:
        InputError: it lacks a tokenizer, or takes pictures and lacks a processor's files or a chat template, without
            which vLLM starts and refuses every question; the error names the base model, where the folder does.
    """
    if lacking := [each for each in lacking_files(folder) if not (templated and each in _TEMPLATE)]:
        values = {"path": str(folder), "files": ", ".join(lacking)}
        if base := base_model(folder):
            raise InputError("model_folder_lacks", **values, base=base)
        raise InputError("model_folder_lacks_unnamed", **values)


def lacking_files(folder: Path) -> list[str]:
    """Returns one name of each kind of file that is not there: tokenizer, processor, chat template."""
    if not (folder / "config.json").is_file():
        return []  # Mistral's own layout has neither.
    lacking = []
    if not any((folder / name).is_file() for name in _TOKENIZER):
        lacking.append("tokenizer.json")
    config = read_json(folder / "config.json")
    if "vision_config" not in config:
        return lacking
    if not any((folder / name).is_file() for name in _PROCESSOR):
        lacking.append("preprocessor_config.json")
    if not (str(config.get("model_type")).startswith(_NEEDS_NO_TEMPLATE) or _has_template(folder)):
        lacking.append(_TEMPLATE[0])
    return lacking


def _has_template(folder: Path) -> bool:
    """Returns whether a chat template lies in a folder, in a file of its own or within another."""
    if (folder / "tekken.json").is_file() or any(folder.glob("*.jinja")) or (folder / _TEMPLATE[1]).is_file():
        return True  # Mistral's own tokenizer needs none
    return any(_kept_template(folder / name) for name in _TEMPLATE_KEPT)


def _kept_template(path: Path) -> object:
    """Returns the chat template, or the list of several, that stands in a JSON file; None without one."""
    return read_json(path).get("chat_template") if path.is_file() else None


def base_model(folder: Path) -> str | None:
    """Returns what a fine-tuned folder calls the model that it was made from: an id or a folder; None if nothing."""
    for name in _CONFIGS:
        try:
            config = read_json(folder / name)
        except InputError:
            continue
        for key in _BASE_KEYS:
            if isinstance(value := config.get(key), str) and value and Path(value) != folder:
                return value
    return None


def copy_from_base(folder: Path, base: Path) -> list[str]:
    """Copies tokenizer, processor and chat template files that `folder` lacks from `base`; returns their names.

    A kind of file that is there stays as it is: a trainer may have changed the vocabulary.

    Raises:
        InputError: the folder cannot be written, or the base lacks the same.
    """
    wanted: list[str] = []
    for one_of, too in ((_TOKENIZER, _TOKENIZER_TOO), (_PROCESSOR, _PROCESSOR_TOO)):
        if not any((folder / name).is_file() for name in one_of):
            wanted += [*one_of, *too]
    template = None
    if not _has_template(folder):
        wanted += _TEMPLATE
        template = next((kept for name in _TEMPLATE_KEPT if isinstance(kept := _kept_template(base / name), str)), None)
    copied = []
    try:
        for name in wanted:
            if (base / name).is_file() and not (folder / name).exists():
                shutil.copyfile(base / name, folder / name)
                copied.append(name)
        if template and not _has_template(folder):
            (folder / _TEMPLATE[0]).write_text(template, encoding="utf-8")
            copied.append(_TEMPLATE[0])
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise InputError("model_folder_unwritable", path=str(folder), reason=reason) from problem
    check_complete(folder)
    return copied
