"""Why an engine ended, judged by its log: the first error of its own, and what it is known to mean. Pure over lines.

The lines are those that vLLM 0.24 to 0.33, torch, triton, transformers and the drivers write. docs/failures.md tells
which of them were seen, under which version, and which stand in the sources only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vqa.engine.state import Failure


@dataclass(frozen=True)
class _Cause:
    code: str
    pattern: re.Pattern[str]


def _cause(code: str, *patterns: str) -> _Cause:
    return _Cause(code, re.compile("|".join(patterns), re.I))


CAUSES = (
    _cause("port_taken", r"address already in use", r"\[Errno 98\]", r"EADDRINUSE"),
    _cause(
        "kv_cache_small",
        r"max seq(?:uence)? len \((?P<wanted>\d+)\).*larger than the available KV cache",
        r"larger than the maximum number of tokens that can be stored in KV cache",
        r"estimated maximum model length is",
    ),
    _cause("kv_cache_none", r"No available memory for the cache blocks", r"not enough memory.*cache blocks"),
    _cause("mamba_blocks", r"max_num_seqs \((?P<wanted>\d+)\) exceeds (?:the )?(?:available )?Mamba cache blocks"),
    _cause(
        "picture_over_batch",
        r"Chunked MM input disabled but max_tokens_per_mm_item \((?P<wanted>\d+)\) is larger",
    ),
    _cause("batch_below_length", r"max_num_batched_tokens \((?P<wanted>\d+)\) is smaller than max_model_len"),
    _cause("memory_moved", r"Error in memory profiling"),
    _cause(
        "shared_memory",
        r"No space left on device.{0,80}(?:/dev/shm|psm_|torch_)",
        r"(?:/dev/shm|psm_|torch_\w+).{0,80}No space left on device",
        r"unable to (?:open|write|mmap|resize|allocate).{0,60}(?:shared memory|/torch_|<filename not specified>)",
        r"DataLoader worker .* is killed by signal: Bus error",
        r"insufficient shared memory",
        r"Insufficient space in /dev/shm",
    ),
    _cause(
        "out_of_memory",
        r"CUDA out of memory",
        r"OutOfMemoryError",
        r"CUDA error: out of memory",
        r"HIP out of memory",
        r"Triton Error \[CUDA\]: out of memory",
        r"Cuda failure (?:2 )?'out of memory'",
        r"CUBLAS_STATUS_ALLOC_FAILED",
        r"less than desired (?:GPU|CPU) memory utilization",
        r"The worker already uses [\d.]+ GiB",
        r"DefaultCPUAllocator: (?:can't|not enough)",
        r"Cannot allocate memory",
        r"MemoryError",
        r"std::bad_alloc",
        r"(?:available|free) (?:CPU |system )?memory.*less than (?:the )?(?:required|requested)",
    ),
    _cause(
        "remote_code",
        r"(?:argument|option|set|pass|passing)[^.]{0,40}trust_remote_code=True",
        r"contains custom code which must be executed",
        r"--trust-remote-code.{0,60}(?:flag|set|pass)",
    ),
    _cause("config_without_type", r"Unrecognized model in .*\bmodel_type\b"),
    _cause(
        "architecture",
        r"Model architectures? (?P<names>\[.*?\]).*(?:not supported|failed to be inspected)",
        r"model type `?(?P<kind>[\w-]+)`? but Transformers does not recognize",
        r"has no vLLM implementation",
        r"not compatible with vLLM",
        r"Cannot find model module",
    ),
    _cause("unknown_flag", r"error: unrecognized arguments?: (?P<flag>.*)", r"error: ambiguous option: (?P<which>.*)"),
    _cause(
        "flag_value",
        r"error: argument (?P<flag>[^:]+): (?P<reason>.*)",
        r"(?:api_server\.py|vllm serve): error: (?P<rest>.*)",
    ),
    _cause(
        "not_quantized",
        r"Cannot find the config file for (?P<kind>\w+)",
        r"in the model config \(\w+\) does not match the quantization method specified in [^(]*\((?P<wanted>\w+)\)",
    ),
    _cause(
        "quantization_device",
        r"(?P<kind>\w+) quantization is currently not supported in \w+",
        r"Unknown quantization method: (?P<unknown>\w+)",
    ),
    _cause("no_lscpu", r"Command 'lscpu\b", r"No such file or directory: '(?:\S*/)?lscpu'"),
    _cause(
        "weights_other",
        r"Tried to load weights of size (?P<sizes>.*)",
        r"size mismatch for \S+: (?P<which>.*)",
        r"There is no module or parameter named (?P<name>.*)",
    ),
    _cause("gguf", r"(?:ValueError|Error|Exception)\b.*GGUF", r"GGUF.{0,60}(?:not supported|no longer|removed)"),
    _cause("disk_full", r"No space left on device", r"\[Errno 28\]", r"Disk quota exceeded", r"\[Errno 122\]"),
    _cause(
        "no_torchvision",
        r"operator torchvision::nms does not exist",
        r"requires? the torchvision library",
        r"No module named 'torchvision'",
    ),
    # Before 0.31 vLLM took an Idefics3 picture that is not split, as the demo model's, for one without any part.
    _cause("vllm_old", r"cannot reshape tensor of 0 elements into shape \[0, -1\]"),
    _cause(
        "vllm_broken",
        r"No module named 'vllm\._C",
        r"Failed to import from vllm\._C",
        r"'_OpNamespace' '_C\w*' object has no attribute",
        r"undefined symbol: \S+",
        r"lib(?:c10|cublas|cudart|cudnn|cufft|cupti|cusolver|cusparse|nccl|nvrtc|torch)\S*: cannot open shared object",
    ),
    _cause("not_installed", r"No module named '?vllm\b", r"Error while finding module specification for 'vllm"),
    _cause(
        "gpu_asleep",
        r"Error 802: system not yet initialized",
        r"CUDA_ERROR_SYSTEM_NOT_READY",
        r"system not yet initialized",
    ),
    _cause(
        "driver_old",
        r"NVIDIA driver on your system is too old",
        r"CUDA driver version is insufficient",
        r"Error 80[34]\b",
        r"unsupported display driver / cuda driver combination",
        r"forward compatibility was attempted on non supported HW",
    ),
    _cause(
        "gpu_unknown",
        r"no kernel image is available",
        r"ptxas fatal",
        r"PTXASError",
        r"Value 'sm_\w+' is not defined",
        r"is not compatible with the current PyTorch installation",
    ),
    _cause(
        "gpu_capability",
        r"only supported on GPUs with compute capability of at least (?P<wanted>[\d.]+)",
        r"Minimum capability: (?P<minimum>\d+)",
        r"not supported for the current GPU",
    ),
    _cause(
        "no_gpu",
        r"No CUDA GPUs are available",
        r"Found no NVIDIA driver",
        r"Failed to infer device type",
        r"no CUDA-capable device",
        r"Torch not compiled with CUDA",
        r"NVML Shared Library Not Found",
        r"libcuda\.so\S*: cannot open shared object",
    ),
    _cause(
        "library_missing",
        r"(?P<name>lib[\w.+-]+\.so[\w.]*): cannot open shared object",
        r"version `(?P<version>(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found",
    ),
    _cause(
        "no_cuda_compiler",
        r"Could not find nvcc",
        r"nvcc(?:'|\")?:? (?:command )?not found",
        r"No such file or directory: '(?:\S*/)?(?P<program>nvcc|ninja)'",
        r"Ninja is required to load C\+\+ extensions",
        r"CUDA_HOME environment variable is not set",
    ),
    _cause(
        "no_c_compiler",
        r"Failed to find C compiler",
        r"No working C\+\+ compiler found",
        r"InvalidCxxCompiler",
        r"Python\.h: No such file or directory",
        r"No such file or directory: '(?:\S*/)?(?P<program>gcc|g\+\+|cc|c\+\+|clang)'",
    ),
    _cause(
        "tensor_parallel",
        r"World size \(\d+\) is larger than the number of available GPUs",
        r"tensor[- ]parallel[- ]size.{0,60}(?:larger|greater|exceeds|more than|less than or equal)",
        r"not enough (?:GPUs|NUMA nodes|memory nodes)",
        r"invalid device ordinal",
        r"world size .* (?:exceeds|is larger than)",
        r"number of required GPUs exceeds",
    ),
    _cause(
        "heads_not_divisible",
        r"attention heads .* must be divisible by tensor parallel",
        r"divisible by tensor[- ]parallel",
    ),
    _cause(
        "context_long",
        r"max_model_len \((?P<wanted>\d+)\) is greater than the derived max_model_len",
        r"max_model_len.{0,40}greater than.{0,60}(?:derived|max_position_embeddings)",
    ),
    _cause(
        "model_incomplete",
        r"Cannot find any model weights",
        r"does not appear to have a file named",
        r"No such file or directory: '(?P<file>[^']*\.(?:safetensors|bin|json|model|txt|jinja))'",
        r"MetadataIncompleteBuffer",
        r"SafetensorError",
        r"HeaderTooLarge",
        r"InvalidHeader",
        r"struct\.error: unpack requires a buffer",
        r"Unterminated string starting at",
        r"is not a valid JSON file",
        r"Couldn't instantiate the backend tokenizer",
        r"Incorrect path_or_model_id",
        r"not a valid model identifier",
        r"Invalid repository ID or local directory",
        r"Can't load (?:the )?(?:configuration|tokenizer|image processor|feature extractor)",
        r"weights were not initialized",
    ),
    _cause("permission", r"Permission denied", r"\[Errno 13\]"),
    _cause(
        "part_killed",
        r"Failed core proc\(s\): \{[^}]*'(?P<core>[^']+)': -9\b",
        r"Worker proc (?P<worker>\S+) died unexpectedly \(exit code: -9\)",
        r"Process (?P<process>\S+) \(PID: \d+\) died with exit code -9\b",
    ),
    _cause(
        "package_missing",
        r"ModuleNotFoundError: No module named '(?P<name>[^']+)'",
        r"requires the following packages that were not found in your environment: (?P<names>[\w, -]+)",
        r"ImportError: Please install (?P<wanted>[\w.<>=-]+) via",
    ),
)
"""The first that fits counts, whichever line shows it: what follows a cause may look like another."""
NEVER_RETRY = frozenset(
    {
        "out_of_memory", "kv_cache_small", "kv_cache_none", "unknown_flag", "flag_value", "disk_full", "not_installed",
        "vllm_old", "vllm_broken", "shared_memory", "picture_over_batch", "batch_below_length", "mamba_blocks",
        "package_missing", "library_missing", "quantization_device", "not_quantized", "weights_other",
    }
)  # fmt: skip
"""Causes that the same start would only meet again."""
_BY_WHOM = re.compile(r"^\(\w[\w .-]*\bpid=\d+\)\s?")
_LOGGED = re.compile(r"^(?P<level>[A-Z]+) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?")
"""How vLLM's own logger begins a line, and every further line of what it writes."""
_QUOTING = re.compile(r"non-default args|Initializing a V1 LLM engine|Dumping (?:input data|scheduler)|EngineArgs\(")
"""Lines in which vLLM quotes all its settings, whatever they are called."""
_ERROR = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt)(?::\s|$)|"
    r"^(?:\w+\.)+error: |^\S*: error: |^Killed\b"
)
_ELSEWHERE = re.compile(r"See root cause above|See stack trace \(?above\)?", re.I)
"""What one process says of another's error."""
_REASON_BELOW = re.compile(r"ValidationError: \d+ validation errors? for ")
_FILE = re.compile(r'  File "')
"""What stands in a traceback before a line of somebody's source code."""
_CALM = frozenset({"INFO", "WARNING", "DEBUG"})
_KILLED = (-9, 137)
AROUND = 12
"""Lines before and after the one that shows the cause."""


def failure_of(
    lines: Sequence[str], exit_code: int | None, *, was_ready: bool, shown: int = 50, trusting: bool = False
) -> Failure:
    """Returns why an engine ended, judged by its log; `exit_code` is negative for a signal.

    A known cause is told with the first line that shows it. Without one the code is `killed`, `died` (had been ready)
    or `exited`, and the line is the first error of the log: exceptions come of one another downwards, and the API
    server's, at the end, only points to those of its engine. With `trusting` a model's own code was allowed.
    """
    told = _told(lines)
    for cause in CAUSES:
        if cause.code == "remote_code" and trusting:
            continue
        for place, text in enumerate(told):
            if text and (match := cause.pattern.search(text)):
                return _failure(cause.code, _values(match, exit_code), lines, place, exit_code, shown)
    errors = [place for place, text in enumerate(told) if text and _ERROR.search(text)]
    own = next((place for place in errors if not _ELSEWHERE.search(lines[place])), errors[0] if errors else None)
    if own is not None and _REASON_BELOW.search(lines[own]) and own + 1 < len(lines):
        own += 1
    code = "killed" if exit_code in _KILLED else "died" if was_ready else "exited"
    return _failure(code, {"code": _exit_text(exit_code), "detail": ""}, lines, own, exit_code, shown)


def _told(lines: Sequence[str]) -> list[str]:
    """Returns what each line says beyond who says it; empty where that is no error: news, warnings, source code, quoted
    settings.
    """
    found, is_code = [], False
    for line in lines:
        text = _BY_WHOM.sub("", line)
        logged = _LOGGED.match(text)
        said = text[logged.end() :] if logged else text
        calm = is_code or (logged and logged["level"] in _CALM) or _QUOTING.search(text)
        found.append("" if calm else said)
        is_code = _FILE.match(said) is not None
    return found


def _failure(
    code: str, values: dict[str, str], lines: Sequence[str], place: int | None, exit_code: int | None, shown: int
) -> Failure:
    tail = tuple(lines[-shown:])
    if place is None:
        return Failure(code, values, "", tail, exit_code)
    around = tuple(lines[max(0, place - AROUND) : place + AROUND + 1])
    return Failure(code, values, lines[place].strip(), tail, exit_code, around)


def _values(match: re.Match[str], exit_code: int | None) -> dict[str, str]:
    named = {name: value.strip() for name, value in match.groupdict().items() if value}
    detail = next(iter(named.values()), "")
    return {"code": _exit_text(exit_code), "detail": detail}


def _exit_text(exit_code: int | None) -> str:
    if exit_code is None:
        return "?"
    return f"SIG {-exit_code}" if exit_code < 0 else str(exit_code)
