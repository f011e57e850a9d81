"""What vLLM's log says of the phase that a start is in. Pure over lines.

The lines are those of vLLM 0.24 and 0.32; each pattern stands for what both write.
"""

import re

from vqa.engine.state import Phase

_PHASES: tuple[tuple[Phase, re.Pattern[str]], ...] = (
    (
        Phase.WARMING_UP,
        re.compile(
            r"Capturing CUDA graph|Graph capturing|Started server process|Starting vLLM (API )?server|"
            r"init engine \(profile|Application startup|warm(ing)?[ -]?up (the )?(model|sampler|kernel|deep_gemm|API)",
            re.I,
        ),
    ),
    (
        Phase.KV_CACHE,
        re.compile(
            r"KV cache size|Available KV cache memory|for KV cache|GiB KV cache|"  # a layout is named before compiling
            r"reserved for KV|num_gpu_blocks|# (GPU|CPU|cpu) blocks",
            re.I,
        ),
    ),
    (
        Phase.COMPILING,
        re.compile(r"torch\.compile|Dynamo bytecode|Compiling a graph|backends\.py.*(cache|compile)|AOT comp", re.I),
    ),
    (
        Phase.LOADING,
        re.compile(
            r"Starting to load model|Loading (safetensors|pt|model|weights|drafter)|Loading .*checkpoint shards|"
            r"Model loading took|Loading weights took|Initializing model took",
            re.I,
        ),
    ),
    (
        Phase.IMPORTING,
        re.compile(r"\bversion \d+\.\d+|Initializing a V1 LLM engine|non-default args|Resolved arch", re.I),
    ),
)
_ORDER = list(Phase)


def phase_of(line: str) -> Phase | None:
    """Returns the phase that `line` shows to have begun, or None when it tells nothing."""
    if "non-default args" in line or "Initializing a V1 LLM engine" in line:  # they quote every setting
        return Phase.IMPORTING
    if "disabling torch.compile" in line:
        return None
    return next((phase for phase, pattern in _PHASES if pattern.search(line)), None)


def later(one: Phase | None, other: Phase | None) -> Phase | None:
    """Returns whichever phase comes later: several processes write one log, so an earlier one may show again."""
    known = [phase for phase in (one, other) if phase is not None]
    return max(known, key=_ORDER.index) if known else None
