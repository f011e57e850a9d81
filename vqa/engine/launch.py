"""What comes before an engine runs: fetching the model, looking for obstacles, spawning."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path

from vqa.engine import logfile, ports, process, record, shell
from vqa.engine.folder import check_folder
from vqa.engine.machine import cores
from vqa.engine.python_facts import facts_of
from vqa.engine.run import EngineRun
from vqa.engine.spec import EngineSpec
from vqa.engine.state import DownloadBytes, Failure, Prepare
from vqa.engine.surroundings import Surroundings
from vqa.errors import VQAError

UNPRIVILEGED = 1024
"""Ports above it are anybody's."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_IN_ITS_CORE = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"}
"""Has vLLM's EngineCore compute by itself, where its worker would be one more process with one thread.

vLLM 0.32 has workers on a CPU because it can bind their OpenMP threads only as they start. Up to two processors make
that one thread, which needs no binding. Measured on two: a start takes a quarter less of their time, the engine 0.6 GB
less, and an answer half the time of the processors in the same seconds, since EngineCore and a worker wait for each
other by looking again and again. Two threads without binding were four times slower.
"""
_THREADS = frozenset({*_IN_ITS_CORE, "VLLM_CPU_OMP_THREADS_BIND"})


class Fetch:
    """Runs `prepare` in a thread of its own and posts what it reports and returns to the owner's thread."""

    def __init__(
        self,
        prepare: Prepare,
        spec: EngineSpec,
        post: Callable[[Callable[[], None]], None],
        progressed: Callable[[DownloadBytes], None],
        done: Callable[[EngineSpec, Failure | None], None],
    ) -> None:
        self._prepare = prepare
        self._spec = spec
        self._post = post
        self._progressed = progressed
        self._done = done
        self._cancelled = threading.Event()
        threading.Thread(target=self._run, name="engine-fetch", daemon=True).start()

    def _run(self) -> None:
        wanted, failure = self._spec, None
        try:
            wanted = self._prepare(
                self._spec, lambda progress: self._post(lambda: self._progressed(progress)), self._cancelled.is_set
            )
        except VQAError as problem:
            failure = failure_of(problem)
        except Exception as problem:  # whatever goes wrong in there must end the state that waits for it
            failure = Failure("prepare", {"reason": f"{type(problem).__name__}: {problem}"})
        self._post(lambda: self._done(wanted, failure))

    def cancel(self, patience: float) -> None:
        """Asks it to end; when it does not within `patience` seconds, it counts as ended."""
        self._cancelled.set()
        late = threading.Timer(patience, lambda: self._post(lambda: self._done(self._spec, None)))
        late.daemon = True
        late.start()


def failure_of(problem: VQAError) -> Failure:
    """Returns the card that says what `problem` says."""
    return Failure(f"errors.{problem.code}", problem.values)


def obstacle(spec: EngineSpec) -> Failure | None:
    """Returns why `spec` cannot be started now, found without starting anything."""
    try:
        check_folder(Path(spec.model))
        if ports.port_free(spec.host, spec.port):
            return None
        if not ports.may_use(spec.host, spec.port):
            return Failure("port_forbidden", port_values(spec))
    except VQAError as problem:
        return failure_of(problem)
    except OSError as problem:
        return Failure("host", {"host": spec.host, "reason": str(problem)})
    return Failure("port_taken", port_values(spec))


def port_values(spec: EngineSpec, owner: str = "") -> dict[str, object]:
    """Returns what is said of a taken port: its number, its owner, and a free one."""
    owner = owner or ports.port_owner(spec.port) or "?"
    free = ports.free_port(spec.host, spec.port) or ports.free_port(spec.host, UNPRIVILEGED)
    return {"port": spec.port, "owner": owner, "free": free or UNPRIVILEGED}


def spawn(
    around: Surroundings, spec: EngineSpec, generation: int, now: float
) -> tuple[EngineRun, record.Record] | Failure:
    """Spawns the engine; it is written down before and after, so that no moment leaves it unknown."""
    marker = process.new_marker()
    written = record.Record(generation, spec, process.Identity(0, 0.0, 0, marker), now)
    environment = spec.env(around.environment)
    facts = facts_of(python := around.python(), around.folder)
    if facts.distribution == "vllm-cpu" and (spec.enforce_eager or not facts.can_compile):
        # vLLM compiles a kernel or two even with --enforce-eager, at the first answer with logprobs: it takes 10 to 20
        # seconds on two cores, for a comparison and a sum, and dies where there is no compiler.
        environment.setdefault("TORCHDYNAMO_DISABLE", "1")
    one_thread = facts.distribution == "vllm-cpu" and _fits_one_thread(spec) and not _THREADS & environment.keys()
    if one_thread:
        environment |= _IN_ITS_CORE
    if around.api_key:
        environment["VLLM_API_KEY"] = around.api_key
    variables = shell.inherited(around.environment, environment)
    try:
        head = f"VQA Lab: from the shell: {shell.spelled(variables)}\n" if variables else ""
        logfile.begin(around.log, head + ("VQA Lab: EngineCore computes itself, threads=1\n" if one_thread else ""))
        record.save(around.record, written)
        group, child = process.spawn(spec.argv(python), environment, around.log, around.folder, marker)
    except OSError as problem:
        record.clear(around.record)
        return Failure("disk_full" if problem.errno in _FULL else "spawn", {"reason": str(problem), "detail": ""})
    run = EngineRun(group, child, around.log, now, around.limits)
    run.variables = variables
    return run, written.with_group(group)


def _fits_one_thread(spec: EngineSpec) -> bool:
    """Returns whether vLLM would give a CPU's only worker one thread, and nobody wishes workers of their own."""
    wished = spec.distributed_executor_backend or any("distributed-executor" in word for word in spec.extra_args)
    return spec.enforce_eager and spec.world_size == 1 and not wished and cores() <= 2
