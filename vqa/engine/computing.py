"""What of an engine's process changes its answers beside the model: read from its flags and its log."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from vqa.engine.spec import EngineSpec

NAMES = ("threads", "threads_bind", "compiled", "max_num_batched_tokens", "chunked_prefill", "prefix_caching", "dtype")
"""Everything that `computing` tells, likeliest reason for another answer first."""
_CORES = re.compile(r"local_rank=\d+, core ids=\[([^\]]*)\]")
_ITSELF = re.compile(r"VQA Lab: EngineCore computes itself, threads=(\d+)")
_BATCHED = re.compile(r"\bmax_num_batched_tokens=(\d+)")
_BIND = re.compile(r"VLLM_CPU_OMP_THREADS_BIND='([^']*)'")
_QUOTED = {
    "eager": re.compile(r"\benforce_eager=(True|False)"),
    "chunked_prefill": re.compile(r"\benable_chunked_prefill=(True|False)"),
    "prefix_caching": re.compile(r"\benable_prefix_caching=(True|False)"),
    "dtype": re.compile(r"\bdtype=torch\.(\w+)"),
}
"""As vLLM 0.24 to 0.33 quote the settings that they start with."""


def computing(spec: EngineSpec, log: Iterable[str] = ()) -> dict[str, Any]:
    """Returns the settings of `NAMES`, what the log says before what the flags say; None for what neither tells.

    `threads` are those that vLLM bound on a CPU, of all its workers, or was given; `compiled` is whether torch.compile
    was used.
    """
    found: dict[str, Any] = dict.fromkeys(NAMES)
    words = dict(word.partition("=")[::2] for word in spec.flags())
    found["compiled"] = False if spec.enforce_eager else None
    for name, switch in (("chunked_prefill", "enable-chunked-prefill"), ("prefix_caching", "enable-prefix-caching")):
        found[name] = False if f"--no-{switch}" in words else True if f"--{switch}" in words else None
    given = words.get("--max-num-batched-tokens", "")
    found["max_num_batched_tokens"] = int(given) if given.isdigit() else None
    found["dtype"] = words.get("--dtype")
    return found | _of_log(log)


def _of_log(log: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    threads = 0
    for line in log:
        if cores := _CORES.search(line):
            threads += len([each for each in cores[1].split(",") if each.strip()])
        if itself := _ITSELF.search(line):
            threads = int(itself[1])
        if bind := _BIND.search(line):
            found["threads_bind"] = bind[1]
        if "prefill is enabled" in line and (batched := _BATCHED.search(line)):
            found["max_num_batched_tokens"] = int(batched[1])
        if "Initializing a V1 LLM engine" not in line:
            continue
        quoted = {name: match[1] for name, pattern in _QUOTED.items() if (match := pattern.search(line))}
        found |= {name: value == "True" for name, value in quoted.items() if name in NAMES and name != "dtype"}
        if "eager" in quoted:
            found["compiled"] = quoted["eager"] != "True"
        if "dtype" in quoted:
            found["dtype"] = quoted["dtype"]
    return found | ({"threads": threads} if threads else {})


def differences(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> list[tuple[str, Any, Any]]:
    """Returns (name, first, second) of what two processes compute with differently, likeliest reason first.

    What one of them does not tell is no difference.
    """
    one, other = one or {}, other or {}
    pairs = ((name, one.get(name), other.get(name)) for name in NAMES)
    return [(name, a, b) for name, a, b in pairs if a is not None and b is not None and a != b]
