"""Variables of the shell that reach the engine and change how it computes: listed, and one of them refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vqa.engine.profiles import BATCH_INVARIANT
from vqa.errors import InputError

if TYPE_CHECKING:
    from vqa.engine.machine import Machine

COMPUTES = re.compile(
    r"(?:VLLM|CUDA|NVIDIA|NCCL|GLOO|TORCH|TORCHINDUCTOR|TORCHDYNAMO|PYTORCH|TRITON|FLASHINFER|OMP|KMP|GOMP|MKL|OPENBLAS"
    r"|CUBLAS|CUDNN|HF|HUGGINGFACE|TRANSFORMERS|SAFETENSORS|XLA|ONEDNN|DNNL)_\w+|LD_PRELOAD|LD_LIBRARY_PATH|PYTHONPATH"
)
"""Names that vLLM and the libraries under it read."""
SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
QUIET = frozenset({"HF_HUB_DISABLE_TELEMETRY"})
"""What the page sets for itself, and what changes no answer."""
OFF = frozenset({"", "0"})
HIDDEN = "***"
LONGEST = 200


def inherited(shell: Mapping[str, str], engine: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Returns the variables that the engine has from the shell, by name, with their values; secrets are hidden.

    `engine` is the environment that it starts with, in which ours have the last word.
    """
    found = ((name, value) for name, value in sorted(shell.items()) if COMPUTES.fullmatch(name) and name not in QUIET)
    kept = ((name, value) for name, value in found if engine.get(name) == value)
    return tuple((name, HIDDEN if SECRET.search(name) else _short(value)) for name, value in kept)


def spelled(variables: tuple[tuple[str, str], ...]) -> str:
    """Returns variables as one writes them before a command."""
    return " ".join(f"{name}={value}" for name, value in variables)


def refused(shell: Mapping[str, str], machine: Machine) -> InputError | None:
    """Returns why no engine is started from this shell: it asks for batch invariance, which no processor can give.

    With it vLLM starts on a processor and dies at the first question. Elsewhere it is a profile.
    """
    if machine.device == "cpu" and shell.get(BATCH_INVARIANT, "").strip() not in OFF:
        return InputError("batch_invariant_shell", name=BATCH_INVARIANT, value=shell[BATCH_INVARIANT])
    return None


def set_aside(shell: Mapping[str, str]) -> str | None:
    """Returns the value of VLLM_BATCH_INVARIANT that the engine does not get, since a profile says it; None: unset."""
    value = shell.get(BATCH_INVARIANT, "").strip()
    return None if value in OFF else value


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
