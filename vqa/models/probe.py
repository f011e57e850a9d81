"""Writes the sensitivity probe: a small vision-language checkpoint with seeded random weights.

Its next-token margins are tiny, so any numeric change inside the engine (another batch, another kernel) soon flips
a token. What flips measures the engine's configuration on this hardware, not anybody's model.
Nothing is downloaded and neither torch nor transformers is imported: numpy draws the weights.

Measured with vLLM 0.32 for CPUs on two cores, `--enforce-eager`, 128 greedy tokens, a prompt of 350 tokens:
- bfloat16, in a row: 20 of 20 identical in tokens and logprobs once the prefix cache is warm; the first one and every
  one with a fresh `cache_salt` agree with each other and differ from those from token 14 on.
- bfloat16, 64 requests 8 at a time, four runs: 2, 5, 3 and 5 token sequences (16 requests 2 at a time: 3).
- a prompt of 350 tokens is blind to much. An AMD EPYC computed cold and warm ones alike at 350, 550, 850 and 1,030
  tokens and unlike at 1,180, 1,400, 1,700 and 1,900; after an unrelated chat lone answers were others from 850 on. So
  the certificate asks a question of about 1,700 tokens as well: nearly all that the context of 2,048 leaves.
- on an H200, vLLM 0.33, `batch-invariant`: lone answers to 347 and 1,659 tokens bitwise identical, to 8,793, which are
  computed in two parts of 8,192 at most, not. So there a third one is longer than what the engine computes at a time.
- float32, 64 requests 8 at a time, two runs: 1 token sequence, 3 logprob sequences each.
"""

import json
import os
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from vqa.errors import ModelError
from vqa.json_file import read_value
from vqa.models.probe_text import IMAGE, SPECIALS, VOCABULARY_SIZE, Architecture, write_text_files
from vqa.models.probe_weights import HEAD_DIM, IMAGE_SIDE, PATCH, DType, Shape, draw, key_value_heads, write_safetensors

PROBE_ID = "probe"
PROBE_QUESTION = "What is in this picture, where does each thing lie, and what stands out about it?"
PROBE_LONG_QUESTION = " ".join([PROBE_QUESTION] * 17)
"""One token a byte: a prompt of about 1,700 tokens."""
PROBE_BEYOND = 256
"""Tokens by which the longest question is longer than what an engine computes at a time."""
PROBE_MAX_TOKENS = 128
MAX_MODEL_LEN: dict[Architecture, int] = {"idefics3": 2048, "llava": 20480}
"""Tokens. On a GPU there is room for a prompt that is longer than what an engine computes at a time."""
LAYERS: dict[Architecture, int] = {"idefics3": 2, "llava": 8}
"""Of the text model. A GPU computes more layers in no time, and every one gives a difference room to grow."""
FORMAT = 3
"""Raised when the same seed would give another checkpoint, so that an older probe on disk is written anew."""


def probe_questions(batched_tokens: int | None = None) -> tuple[str, ...]:
    """Returns a short and a long question, and with `batched_tokens` one that is longer than so many tokens."""
    if batched_tokens is None:
        return (PROBE_QUESTION, PROBE_LONG_QUESTION)
    times = (batched_tokens + PROBE_BEYOND) // (len(PROBE_QUESTION) + 1) + 1
    return (PROBE_QUESTION, PROBE_LONG_QUESTION, " ".join([PROBE_QUESTION] * times))


def probe_image(seed: int = 0) -> bytes:
    """Returns a PNG of 224 x 224 pixels, squares of random colours; the same bytes for the same seed."""
    from PIL import Image

    squares = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(squares.repeat(28, axis=0).repeat(28, axis=1)).save(out, "PNG")
    return out.getvalue()


def write_probe(
    folder: Path,
    *,
    seed: int = 0,
    hidden_size: int = 896,
    layers: int | None = None,
    dtype: DType = "bfloat16",
    architecture: Architecture = "idefics3",
) -> Path:
    """Writes the probe into `folder` (replacing a probe that is there) and returns the folder.

    The same arguments give the same bytes. `layers` are the text model's, those of `LAYERS` when None. `hidden_size`
    is a multiple of 128; below about 896 the kernels of a CPU do not change with the batch and nothing splits.
    "idefics3" is served by vLLM without torchvision (vLLM 0.32 for CPUs); "llava" is for GPUs: with random weights,
    Idefics3 failed in vision profiling on vLLM 0.24.

    Raises:
        ValueError: a size cannot be used.
        ModelError: the folder cannot be written, or holds something else.
    """
    layers = LAYERS[architecture] if layers is None else layers
    if hidden_size < 128 or hidden_size % 128 or layers < 1:
        raise ValueError(f"hidden_size {hidden_size} must be a multiple of 128, layers {layers} at least 1")
    shape = Shape(hidden_size, layers)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        if folder.exists() and any(folder.iterdir()) and _made_by(folder) is None:
            raise ModelError("model_target_not_ours", path=folder)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        grid = IMAGE_SIDE // PATCH
        write_text_files(beside, architecture, image_side=IMAGE_SIDE, image_tokens=grid * grid, patch=PATCH)
        config = _config(shape, architecture, dtype) | {"vqa_probe": {"format": FORMAT, "seed": seed}}
        (beside / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        write_safetensors(beside / "model.safetensors", draw(np.random.default_rng(seed), shape, architecture), dtype)
        if folder.exists():
            shutil.rmtree(folder)
        beside.replace(folder)
    except OSError as problem:
        raise ModelError("model_target_invalid", path=folder, reason=problem.strerror or str(problem)) from problem
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def ensure_probe(home: Path, architecture: Architecture = "idefics3") -> Path:
    """Returns the default probe's folder below `home`, written first when it is missing or of an older format.

    Raises:
        ModelError: it cannot be written there.
    """
    folder = home / (PROBE_ID if architecture == "idefics3" else f"{PROBE_ID}-{architecture}")
    if _made_by(folder) == FORMAT and (folder / "model.safetensors").is_file():
        return folder.resolve()
    return write_probe(folder, architecture=architecture).resolve()


def _made_by(folder: Path) -> int | None:
    """Returns the format of the probe in `folder`; None when there is no probe of ours."""
    try:
        return int(read_value(folder / "config.json")["vqa_probe"]["format"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _config(shape: Shape, architecture: Architecture, dtype: DType) -> dict[str, Any]:
    grid = IMAGE_SIDE // PATCH
    ids = {token: index for index, token in enumerate(SPECIALS)}
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    vision = {
        "hidden_size": shape.vision_size,
        "intermediate_size": 2 * shape.vision_size,
        "num_hidden_layers": shape.vision_layers,
        "num_attention_heads": shape.vision_size // HEAD_DIM,
        "image_size": IMAGE_SIDE,
        "patch_size": PATCH,
        "num_channels": 3,
        "layer_norm_eps": 1e-6,
        "attention_dropout": 0.0,
    }
    common = {
        "text_config": _text_config(shape, architecture, dtype) | ends,
        "torch_dtype": dtype,
        "tie_word_embeddings": False,
    }
    if architecture == "idefics3":
        return common | ends | {
            "architectures": ["Idefics3ForConditionalGeneration"],
            "model_type": "idefics3",
            "image_token_id": ids[IMAGE],
            "scale_factor": 1,
            "vision_config": vision | {"model_type": "idefics3_vision", "hidden_act": "gelu_pytorch_tanh"},
        }  # fmt: skip
    clip = {"model_type": "clip_vision_model", "hidden_act": "quick_gelu", "projection_dim": shape.vision_size}
    return common | ends | {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": ids[IMAGE],
        "image_token_id": ids[IMAGE],
        "image_seq_length": grid * grid,
        "projector_hidden_act": "gelu",
        "vision_feature_select_strategy": "default",
        "vision_feature_layer": -2,
        "vision_config": vision | clip,
    }  # fmt: skip


def _text_config(shape: Shape, architecture: Architecture, dtype: DType) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.hidden_size // HEAD_DIM,
        "num_key_value_heads": key_value_heads(shape),
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "max_position_embeddings": MAX_MODEL_LEN[architecture],
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": dtype,
    }
