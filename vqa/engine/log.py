"""What vLLM's log says: which phase a start is in, and why it failed. Pure over lines.

The lines are those of vLLM 0.24 and 0.32; each pattern stands for what both write.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vqa.engine.state import Failure, Phase

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


@dataclass(frozen=True)
class _Cause:
    code: str
    pattern: re.Pattern[str]


def _cause(code: str, pattern: str) -> _Cause:
    return _Cause(code, re.compile(pattern, re.I))


_CAUSES = (
    _cause("port_taken", r"address already in use|\[Errno 98\]|EADDRINUSE"),
    _cause(
        "kv_cache_small",
        r"(?:max seq(?:uence)? len \((?P<wanted>\d+)\).*larger than the available KV cache|"
        r"larger than the maximum number of tokens that can be stored in KV cache|estimated maximum model length is)",
    ),
    _cause("kv_cache_none", r"No available memory for the cache blocks|not enough memory.*cache blocks"),
    _cause(
        "out_of_memory",
        r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|HIP out of memory|"
        r"Free memory on device .* is less than desired|DefaultCPUAllocator: (?:can't|not enough)|"
        r"Cannot allocate memory|MemoryError|std::bad_alloc|"
        r"(?:available|free) (?:CPU |system )?memory.*less than (?:the )?(?:required|requested)",
    ),
    _cause(
        "remote_code",
        r"trust_remote_code=True|contains custom code which must be executed|"
        r"--trust-remote-code.{0,60}(?:flag|set|pass)",
    ),
    _cause(
        "architecture",
        r"Model architectures? (?P<names>\[.*?\]).*(?:not supported|failed to be inspected)|"
        r"model type `?(?P<kind>[\w-]+)`? but Transformers does not recognize|"
        r"has no vLLM implementation|not compatible with vLLM|Cannot find model module",
    ),
    _cause("unknown_flag", r"error: unrecognized arguments?: (?P<flag>.*)|error: ambiguous option: (?P<which>.*)"),
    _cause(
        "flag_value",
        r"error: argument (?P<flag>[^:]+): (?P<reason>.*)|(?:api_server\.py|vllm serve): error: (?P<rest>.*)",
    ),
    _cause("disk_full", r"No space left on device|\[Errno 28\]|Disk quota exceeded|\[Errno 122\]"),
    _cause(
        "no_torchvision",
        r"operator torchvision::nms does not exist|requires? the torchvision library|No module named 'torchvision'",
    ),
    # Before 0.31 vLLM took an Idefics3 picture that is not split, as the demo model's, for one without any part.
    _cause("vllm_old", r"cannot reshape tensor of 0 elements into shape \[0, -1\]"),
    _cause("not_installed", r"No module named '?vllm\b|Error while finding module specification for 'vllm"),
    _cause(
        "no_gpu",
        r"No CUDA GPUs are available|Found no NVIDIA driver|Failed to infer device type|no CUDA-capable device|"
        r"CUDA driver version is insufficient|Torch not compiled with CUDA|NVML Shared Library Not Found",
    ),
    _cause(
        "tensor_parallel",
        r"World size \(\d+\) is larger than the number of available GPUs|"
        r"tensor[- ]parallel[- ]size.{0,60}(?:larger|greater|exceeds|more than|less than or equal)|"
        r"not enough (?:GPUs|NUMA nodes|memory nodes)|invalid device ordinal|"
        r"world size .* (?:exceeds|is larger than)|number of required GPUs exceeds",
    ),
    _cause(
        "heads_not_divisible",
        r"attention heads .* must be divisible by tensor parallel|divisible by tensor[- ]parallel",
    ),
    _cause(
        "context_long",
        r"max_model_len \((?P<wanted>\d+)\) is greater than the derived max_model_len|"
        r"max_model_len.{0,40}greater than.{0,60}(?:derived|max_position_embeddings)",
    ),
    _cause(
        "model_incomplete",
        r"Cannot find any model weights|does not appear to have a file named|No such file or directory: '(?P<file>[^']*"
        r"\.(?:safetensors|bin|json|model|txt|jinja))'|MetadataIncompleteBuffer|SafetensorError|HeaderTooLarge|InvalidHeader|"
        r"(?:Incorrect path_or_model_id|not a valid model identifier|Invalid repository ID or local directory)|"
        r"Can't load (?:the )?(?:configuration|tokenizer|image processor|feature extractor)|"
        r"weights were not initialized",
    ),
    _cause("permission", r"Permission denied|\[Errno 13\]"),
    _cause(
        "part_killed",
        r"Failed core proc\(s\): \{[^}]*'(?P<core>[^']+)': -9\b|"
        r"Worker proc (?P<worker>\S+) died unexpectedly \(exit code: -9\)|"
        r"Process (?P<process>\S+) \(PID: \d+\) died with exit code -9\b",
    ),
)
NEVER_RETRY = frozenset(
    {
        "out_of_memory", "kv_cache_small", "kv_cache_none", "unknown_flag", "flag_value", "disk_full", "not_installed",
        "vllm_old",
    }
)  # fmt: skip
"""Causes that the same start would only meet again."""
_ERROR = re.compile(r"(?:^|\s)(?:\w+\.)*\w*(?:Error|Exception)\b\s*[:(]|: error: |\bERROR\b .*\S|^Killed")
_ELSEWHERE = re.compile(r"See root cause above|See stack trace \(above\)", re.I)
"""What one process says of another's error."""
_CALM = re.compile(r"\b(INFO|WARNING|DEBUG) \d\d-\d\d \d\d:\d\d")
"""A line of vLLM's own logger below the level of an error."""
_KILLED = (-9, 137)


def failure_of(lines: Sequence[str], exit_code: int | None, *, was_ready: bool, shown: int = 50) -> Failure:
    """Returns why an engine ended, judged by the end of its log; `exit_code` is negative for a signal.

    The first line of the log that shows a known cause counts, since what follows are its consequences; causes higher
    in the table go first. Without one it is `killed`, `died` (had been ready) or `exited`, and the line shown is
    the last that is an error of its own.
    """
    tail = tuple(lines[-shown:])
    for cause in _CAUSES:
        for line in lines:
            if (match := cause.pattern.search(line)) and not _CALM.search(line):
                return Failure(cause.code, _values(match, exit_code), line.strip(), tail, exit_code)
    errors = [line.strip() for line in reversed(lines) if _ERROR.search(line)]
    line = next((line for line in errors if not _ELSEWHERE.search(line)), errors[0] if errors else "")
    code = "killed" if exit_code in _KILLED else "died" if was_ready else "exited"
    return Failure(code, {"code": _exit_text(exit_code)}, line, tail, exit_code)


def _values(match: re.Match[str], exit_code: int | None) -> dict[str, str]:
    named = {name: value.strip() for name, value in match.groupdict().items() if value}
    detail = next(iter(named.values()), "")
    return {"code": _exit_text(exit_code), "detail": detail}


def _exit_text(exit_code: int | None) -> str:
    if exit_code is None:
        return "?"
    return f"SIG {-exit_code}" if exit_code < 0 else str(exit_code)
