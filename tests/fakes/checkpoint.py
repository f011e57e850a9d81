"""Checkpoint folders as hubs, trainers and people leave them, with weights of a few bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def safetensors_bytes() -> bytes:
    """A whole safetensors file with one tensor of one number."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


def write_checkpoint(folder: Path, *, shards: int = 1, tokenizer: bool = True, **config: Any) -> Path:
    """Writes config, index, weights and tokenizer files; `config` is added to config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["LlavaForConditionalGeneration"]} | config
    (folder / "config.json").write_text(json.dumps(config))
    names = [f"model-{at}.safetensors" for at in range(shards)]
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict(enumerate(names))}))
    for name in names:
        (folder / name).write_bytes(safetensors_bytes())
    if tokenizer:
        (folder / "tokenizer.json").write_text("{}")
    return folder


def write_adapter(folder: Path, base: str, *, rank: int = 8) -> Path:
    """Writes a LoRA adapter as PEFT does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": rank, "base_model_name_or_path": base})
    )
    (folder / "adapter_model.safetensors").write_bytes(safetensors_bytes())
    (folder / "README.md").write_text("# adapter")
    return folder
