"""Reads the words of a `vllm serve …` command into fields."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vqa.engine.profiles import BATCH_INVARIANT, PROFILES
from vqa.errors import InputError

VALUES: dict[str, type] = {
    "served_model_name": str,
    "host": str,
    "port": int,
    "tensor_parallel_size": int,
    "pipeline_parallel_size": int,
    "data_parallel_size": int,
    "distributed_executor_backend": str,
    "max_model_len": int,
    "max_num_batched_tokens": int,
    "max_num_seqs": int,
    "gpu_memory_utilization": float,
    "kv_cache_memory_bytes": int,
    "dtype": str,
    "seed": int,
    "limit_mm_per_prompt": str,
    "generation_config": str,
    "quantization": str,
    "chat_template": str,
}
SWITCHES = ("trust_remote_code", "enforce_eager", "enable_prompt_tokens_details")
_SHORT = {
    "-tp": "tensor_parallel_size",
    "-pp": "pipeline_parallel_size",
    "-dp": "data_parallel_size",
    "-q": "quantization",
}
_HARMLESS = """
    --enable-prefix-caching --no-enable-prefix-caching --attention-backend --kv-cache-dtype --kv-cache-memory-bytes
    --block-size --max-logprobs --mm-processor-kwargs --mm-processor-cache-gb --mm-encoder-tp-mode --skip-mm-profiling
    --enable-chunked-prefill --no-enable-chunked-prefill --async-scheduling --no-async-scheduling --cpu-offload-gb
    --uvicorn-log-level --enable-expert-parallel --reasoning-parser --no-trust-remote-code --no-enforce-eager
    --no-enable-prompt-tokens-details --num-gpu-blocks-override
    --structured-outputs-config.backend --structured-outputs-config.disable_any_whitespace
    """
HARMLESS = frozenset(_HARMLESS.split())
VARIABLES = {
    "CUDA_VISIBLE_DEVICES": re.compile(r"[\w,-]{0,400}"),
    "VLLM_CPU_KVCACHE_SPACE": re.compile(r"\d{1,5}"),
    "VLLM_CPU_OMP_THREADS_BIND": re.compile(r"auto|nobind|[\d,|-]{1,200}"),
}
"""Variables of the engine that a pasted command may set, and to what; they go into its environment."""
USUAL = {("VLLM_CPU_KVCACHE_SPACE", "1")}
"""What the engine gets anyway."""
SAID_BY_PROFILES = {BATCH_INVARIANT: ("0", "1"), "VLLM_USE_MODELSCOPE": ("0", "False", "false", "")}
"""Values that amount to a profile, or to what is so anyway."""
"""Flags without a field of their own that a pasted command may carry: none runs code or opens files."""
_SUFFIX = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def integer(flag: str, text: str) -> int:
    """Returns a whole number as vLLM reads one: `8192`, `8k` (8000), `8K` (8192), `1.5k`.

    Raises:
        InputError: `text` is none.
    """
    if text.strip() == "auto" and flag == "--max-model-len":
        return -1
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)([kmgKMG]?)", text.strip())
    if not match or ("." in match[1] and not match[2]):
        raise InputError("flag_not_integer", flag=flag, value=text)
    return int(float(match[1]) * _SUFFIX[match[2]]) if match[2] else int(match[1])


def convert(name: str, text: str) -> Any:
    """Returns the value of field `name` written as `text`.

    Raises:
        InputError: it is not of the field's type.
    """
    flag, kind = flag_of(name), VALUES[name]
    if kind is int:
        return integer(flag, text)
    if kind is float:
        try:
            return float(text)
        except ValueError:
            raise InputError("flag_not_number", flag=flag, value=text) from None
    return per_prompt(text) if name == "limit_mm_per_prompt" else text


def per_prompt(text: str) -> str:
    """Returns `--limit-mm-per-prompt` as JSON; `image=4,video=0`, the older spelling, is understood.

    Raises:
        InputError: it is neither.
    """
    try:
        if re.fullmatch(r"\w+=\d+(,\w+=\d+)*", text):
            limits: Any = {name: int(count) for name, count in (pair.split("=") for pair in text.split(","))}
        else:
            limits = json.loads(text)
    except ValueError:
        limits = None
    if not isinstance(limits, dict) or not limits or not all(_fine_limit(value) for value in limits.values()):
        raise InputError("flag_limit_mm", value=text)
    return json.dumps(limits)


def _fine_limit(value: Any) -> bool:
    count = value.get("count") if isinstance(value, dict) else value
    return isinstance(count, int) and not isinstance(count, bool) and count >= 0


def flag_of(name: str) -> str:
    """Returns vLLM's flag of a field: `max_model_len` -> `--max-model-len`."""
    return "--" + name.replace("_", "-")


def parse(command: str) -> dict[str, Any]:
    """Returns the fields that a pasted command gives: `model`, those of EngineSpec, `profile` and `extra_args`.

    Understood are `vllm serve MODEL …` and `python -m vllm.entrypoints.openai.api_server --model MODEL …`, with
    line continuations, `#` comments, leading variables, `--a b`, `--a=b` and `--a_b`.

    Raises:
        InputError: it is no such command, a flag is not allowed in a pasted one, or a value cannot be read.
    """
    try:
        words = shlex.split(command.replace("\\\n", " ").replace("\\\r\n", " "), comments=True)
    except ValueError as problem:
        raise InputError("command_unreadable", reason=str(problem)) from problem
    variables, words = _split_variables(words)
    fields = parse_words(_after_program(words), variables)
    if "model" not in fields:
        raise InputError("command_without_model")
    return fields


def parse_words(words: Sequence[str], variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Returns the fields that the words after `vllm serve` give; `profile` and `extra_args` always.

    Raises:
        InputError: as `parse`.
    """
    fields: dict[str, Any] = {}
    extra: list[str] = []
    for flag, value, following in _flags(words):
        _take(flag, value, following, fields, extra)
    variables = variables or {}
    fields["profile"], fields["extra_args"] = _profile(variables, extra)
    if kept := tuple(
        (name, value) for name, value in variables.items() if name in VARIABLES and (name, value) not in USUAL
    ):
        fields["environment"] = kept
    return fields


def may_set(name: str, value: str) -> bool:
    """Returns whether a command may set a variable to this: a harmless one, or one that says what is so anyway."""
    if name in VARIABLES:
        return bool(VARIABLES[name].fullmatch(value))
    return value in SAID_BY_PROFILES.get(name, ())


def _split_variables(words: list[str]) -> tuple[dict[str, str], list[str]]:
    variables: dict[str, str] = {}
    words = words[1:] if words[:1] == ["env"] else words
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words[0].partition("=")
        if not may_set(name, value):
            raise InputError("command_variable", name=name)
        variables[name] = value
        words = words[1:]
    return variables, words


def _after_program(words: list[str]) -> list[str]:
    if len(words) >= 2 and words[0].rsplit("/", 1)[-1] == "vllm" and words[1] == "serve":
        return words[2:]
    program = words[0].rsplit("/", 1)[-1] if words else ""
    if program.startswith("python") and words[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]:
        return words[3:]
    raise InputError("command_unknown", command=" ".join(words)[:80])


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str | None, str | None]]:
    """Yields (flag or '' for a positional, value after '=', the word after it if that is no flag)."""
    skip = False
    for index, word in enumerate(words):
        if skip:
            skip = False
            continue
        if not word.startswith("-"):
            yield "", word, None
            continue
        name, equals, value = word.partition("=")
        following = words[index + 1] if index + 1 < len(words) else None
        if following is not None and following.startswith("-") and not re.fullmatch(r"-\d+(\.\d+)?", following):
            following = None
        name, dot, part = name.partition(".")  # vLLM reads `--some-config.its_field` only with the field as it is named
        name = (_SHORT.get(name) and flag_of(_SHORT[name])) or name.replace("_", "-") + dot + part
        takes = not equals and following is not None and not _is_switch(name)
        skip = takes
        yield name, value if equals else None, following if takes else None


def _is_switch(flag: str) -> bool:
    bare = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
    return bare in SWITCHES or flag.startswith(("--no-", "--enable-", "--async-", "--skip-"))


def _take(flag: str, value: str | None, following: str | None, fields: dict[str, Any], extra: list[str]) -> None:
    given = value if value is not None else following
    name, _, part = flag.removeprefix("--").partition(".")
    name = name.replace("-", "_")
    if flag in ("", "--model", "--model-tag"):
        if not given or "model" in fields:
            raise InputError("command_two_models" if given else "flag_without_value", flag=flag, value=given)
        fields["model"] = given
    elif name in SWITCHES:
        fields[name] = True
    elif name.removeprefix("no_") in SWITCHES and flag in HARMLESS:
        fields[name.removeprefix("no_")] = False
    elif name in VALUES:
        if given is None:
            raise InputError("flag_without_value", flag=flag)
        if part:
            limits = json.loads(fields.get(name, "{}")) | {part: integer(flag, given)}
            given = json.dumps(limits)
        fields[name] = convert(name, given)
    elif flag == "--api-key":
        raise InputError("flag_api_key")
    elif flag in HARMLESS:
        extra.append(flag if given is None else f"{flag}={given}")
    else:
        raise InputError("flag_not_allowed", flag=flag)


def _profile(variables: Mapping[str, str], extra: list[str]) -> tuple[str, tuple[str, ...]]:
    """Returns the profile that the variables and extra flags amount to, and the flags that are left."""
    wanted = {BATCH_INVARIANT: "1"} if variables.get(BATCH_INVARIANT) == "1" else {}
    for profile in sorted(PROFILES.values(), key=lambda each: -len(each.flags)):
        if dict(profile.environment) == wanted and set(profile.flags) <= set(extra):
            return profile.name, tuple(flag for flag in extra if flag not in profile.flags)
    return "default", tuple(extra)
