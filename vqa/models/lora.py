"""LoRA adapters beside a base model: from `--lora NAME=FOLDER` to vLLM's own flags."""

from __future__ import annotations

from pathlib import Path

from vqa.engine.folder import ADAPTER, read_json
from vqa.errors import InputError

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for --max-lora-rank (vllm/config/lora.py)."""
_FLAG = "--lora"


def split_lora(words: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Returns the other words, and vLLM's flags for every `--lora NAME=FOLDER` among them.

    Raises:
        InputError: one is not NAME=FOLDER, or its folder holds no adapter.
    """
    rest: list[str] = []
    adapters: dict[str, Path] = {}
    waiting = iter(words)
    for word in waiting:
        if word == _FLAG or word.startswith(f"{_FLAG}="):
            given = next(waiting, "") if word == _FLAG else word.partition("=")[2]
            name, sign, folder = given.partition("=")
            if not sign or not name or not folder:
                raise InputError("lora_invalid", word=given)
            adapters[name] = Path(folder).expanduser().absolute()
        else:
            rest.append(word)
    if not adapters:
        return rest, ()
    rank = max(map(_rank, adapters.values()))
    modules = [f"{name}={folder}" for name, folder in adapters.items()]
    fitting = next((each for each in _RANKS if each >= rank), rank)
    return rest, ("--enable-lora", f"--max-lora-rank={fitting}", "--lora-modules", *modules)


def _rank(folder: Path) -> int:
    """Returns the rank of an adapter.

    Raises:
        InputError: the folder holds none that is whole.
    """
    if not (folder / ADAPTER).is_file():
        raise InputError("lora_no_adapter", path=str(folder), reason=ADAPTER)
    config = read_json(folder / ADAPTER)
    weights = [folder / f"adapter_model.{kind}" for kind in ("safetensors", "bin")]
    if not any(each.is_file() and each.stat().st_size for each in weights):
        raise InputError("lora_no_adapter", path=str(folder), reason=weights[0].name)
    ranks = config.get("rank_pattern")
    largest = max(ranks.values(), default=0) if isinstance(ranks, dict) else 0
    rank = config.get("r")
    if not isinstance(rank, int) or rank < 1:
        raise InputError("lora_no_adapter", path=str(folder), reason="r")
    return max(rank, int(largest))
