"""The engine profiles that the determinism lab compares: flags and variables, and where each can run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vqa.engine.machine import Machine

BATCH_INVARIANT = "VLLM_BATCH_INVARIANT"


@dataclass(frozen=True)
class Profile:
    """A named set of vLLM flags and environment variables laid over a spec."""

    name: str
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    capability: float | None = None
    """Lowest NVIDIA compute capability that it needs; None when it runs anywhere."""

    def available(self, machine: "Machine") -> str | None:
        """Returns None when the profile can run on `machine`, else the text key of the reason why not."""
        if self.capability is None:
            return None
        if machine.device != "cuda":
            return "engine.profile_needs_gpu"
        if any(gpu.capability < self.capability for gpu in machine.gpus):
            return "engine.profile_needs_capability"
        return None


_TRITON = ("--attention-backend=TRITON_ATTN",)
_ALL = (
    Profile("default"),
    Profile("no-prefix-cache", ("--no-enable-prefix-caching",)),
    Profile("batch-invariant", (), {BATCH_INVARIANT: "1"}, capability=8.0),
    Profile("batch-invariant-triton", _TRITON, {BATCH_INVARIANT: "1"}, capability=8.0),
    Profile("serial", ("--max-num-seqs=1",)),
    Profile("float32", ("--dtype=float32",)),
)
PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in _ALL}

_GPU = 0.0
"""Any NVIDIA GPU will do."""
_TRIALS = (
    Profile("flashinfer-sampler-off", (), {"VLLM_USE_FLASHINFER_SAMPLER": "0"}, capability=_GPU),
    Profile("chunked-prefill", ("--enable-chunked-prefill",)),
    Profile("no-chunked-prefill", ("--no-enable-chunked-prefill",)),
    Profile("prefix-cache", ("--enable-prefix-caching",)),
    Profile("batched-tokens-8192", ("--max-num-batched-tokens=8192",)),
    Profile("max-num-seqs-8", ("--max-num-seqs=8",)),
    Profile("eager", ("--enforce-eager",)),
    Profile("compiled", ("--no-enforce-eager",)),
    Profile("encoder-graphs", ('--compilation-config={"cudagraph_mm_encoder": true}',), capability=_GPU),
    Profile("bfloat16", ("--dtype=bfloat16",)),
    Profile("float16", ("--dtype=float16",)),
)
TRIALS: Mapping[str, Profile] = {profile.name: profile for profile in _TRIALS}
"""Settings of the engine that may change answers: measured by name, and offered as a remedy by nobody."""


def profile_of(name: str) -> Profile | None:
    """Returns the profile or the trial of that name; None when there is none."""
    return PROFILES.get(name) or TRIALS.get(name)
