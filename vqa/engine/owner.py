"""The engine's state machine: the only writer of its state, run by one thread.

Nothing here waits: requests change the state and return, `tick` looks at what happened, slow work (a download, a
question to the server) runs in a thread of its own and posts its result back.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import psutil

from vqa.engine import adopt, causes, health, launch, logfile, process, record
from vqa.engine.adopt import snapshot_of
from vqa.engine.ending import Ending
from vqa.engine.metrics import MetricsHistory
from vqa.engine.run import EngineRun
from vqa.engine.spec import EngineSpec
from vqa.engine.state import ACTIVE, LEGAL, DownloadBytes, EngineState, Failure, Phase, PhaseMark, Prepare, Snapshot
from vqa.engine.surroundings import Surroundings
from vqa.engine.swap import Swap, unfit
from vqa.engine.watcher import Judgement, Watcher
from vqa.errors import EngineError, VQAError

_S = EngineState
_GIVE_UP_GRACE = 5.0
LOG_LINES = 2000
"""Of the log's end in which the cause of an end is looked for: an engine core's own error stands far above it."""
_DYING = 0.5
"""Seconds that a process may take to be gone after SIGKILL; only a start that has something to sweep waits for it."""


class Owner:
    """Owns the engine. Every method is to be called by one and the same thread."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._limits = around.limits
        self._watcher = Watcher(around, self._judged)
        self._run: EngineRun | None = None
        self._record: record.Record | None = None
        self._ending: tuple[Ending, Callable[[], None]] | None = None
        """What is being stopped, and what comes when nothing of it is left."""
        self._pending: tuple[int, EngineSpec, Prepare | None] | None = None
        self._fetch: launch.Fetch | None = None
        self._swap: Swap | None = None
        self._leftover: process.Group | None = None
        self._crashes = 0
        self._now = Snapshot(_S.STOPPED, since=time.time(), log_path=str(around.log))

    # ---- what others ask for

    @property
    def snapshot(self) -> Snapshot:
        """The state as it was last published."""
        return self._now

    @property
    def last_output(self) -> float | None:
        """Unix seconds of the newest line of the log of a running engine."""
        return self._run.last_output if self._run else None

    @property
    def history(self) -> MetricsHistory:
        """The figures of the last minutes."""
        return self._watcher.history

    def start(self, spec: EngineSpec, prepare: Prepare | None) -> int:
        """Begins a start, or lets it follow a stop under way; returns its generation.

        The same spec asked for again is the same start.

        Raises:
            EngineError: an engine with another spec is running.
        """
        stopping = self._ending is not None or self._now.state == _S.STOPPING
        if self._pending and self._pending[1] == spec:
            return self._pending[0]
        if self._now.state in ACTIVE and not stopping:
            if spec == self._now.spec:
                return self._now.generation
            raise EngineError("engine_busy", state=self._now.state.value)
        generation = max(self._now.generation, self._pending[0] if self._pending else 0) + 1
        if stopping:
            self._pending = (generation, spec, prepare)
        else:
            self._begin(generation, spec, prepare)
        return generation

    def refuse(self, problem: VQAError) -> None:
        """Shows why a start could not even be asked for; an engine that runs, or a failure shown already, stays."""
        if self._now.state == _S.STOPPED:
            self._go(_S.FAILED, failure=launch.failure_of(problem))

    def stop(self, force: bool) -> None:
        """Begins a stop; harmless in any state, and twice."""
        self._forget_swap()
        self._stop(force)

    def _stop(self, force: bool) -> None:
        self._pending = None
        self._crashes = 0
        state = self._now.state
        if state == _S.FAILED:
            self._go(_S.STOPPED, failure=None, progress=None)
        elif state == _S.BACKOFF:
            self._go(_S.STOPPED, retry_at=None, failure=None)
        elif state == _S.DOWNLOADING and self._fetch:
            self._fetch.cancel(self._limits.prepare_cancel)
            self._go(_S.STOPPING)
        elif state in (_S.STARTING, _S.READY, _S.UNHEALTHY):
            self._end(self._stopped, 0.0 if force else self._limits.term)
            self._go(_S.STOPPING)
        elif state == _S.STOPPING and force and self._ending:
            self._ending[0].force()
        self.tick()

    def restart(self, spec: EngineSpec | None, prepare: Prepare | None) -> int:
        """Begins a stop that a start follows; returns the new generation.

        An engine that serves another model goes on serving until the new one has been fetched and checked, and comes
        back when that does not start.

        Raises:
            EngineError: there is no spec to start with.
        """
        spec, former = spec or self._now.spec, self._now.spec
        if spec is None:
            raise EngineError("engine_nothing_to_restart")
        serves = self._now.state in (_S.READY, _S.UNHEALTHY) and self._ending is None
        if former is None or not serves or spec.model == former.model:
            self.stop(force=False)
            return self.start(spec, prepare)
        self._forget_swap()
        self._swap = swap = Swap(self._now.generation + 1, spec, former)
        if prepare is None:
            self._swap_fetched(swap, spec, None)
        else:
            self._fetch = launch.Fetch(
                prepare,
                spec,
                self._around.post,
                lambda progress: self._publish(progress=progress) if self._swap is swap else None,
                lambda wanted, failure: self._swap_fetched(swap, wanted, failure),
            )
        return swap.generation

    def _swap_fetched(self, swap: Swap, wanted: EngineSpec, failure: Failure | None) -> None:
        """The other model is here, or will not be: then the one that serves goes on."""
        if self._swap is not swap:
            return
        self._fetch = None
        swap.wanted = wanted
        if failure := failure or unfit(swap.wanted):
            self._swap = None
            self._publish(generation=swap.generation, failure=failure, progress=None)
            return
        self._publish(progress=None)
        self._stop(force=False)
        self.start(swap.wanted, None)

    def _forget_swap(self) -> None:
        if self._swap is not None:
            self._swap = None
            if self._fetch is not None and self._now.state != _S.DOWNLOADING:
                self._fetch.cancel(0.0)
                self._fetch = None
                self._publish(progress=None)

    def quiet(self, seconds: float) -> None:
        """Asks no questions of the server for `seconds`."""
        self._watcher.quiet(seconds)

    def let_go(self) -> None:
        """Forgets the engine without touching it; its record stays for the next process."""
        if self._fetch:
            self._fetch.cancel(0.0)
        if self._run and self._record:
            self._save(self._record.with_group(self._run.group))

    def pause(self) -> float | None:
        """Returns how long `tick` may be put off, in seconds; None while nothing can happen by itself."""
        if self._ending or self._now.state in (_S.STARTING, _S.STOPPING):
            return self._limits.tick
        if self._now.state in (_S.READY, _S.UNHEALTHY, _S.BACKOFF):
            return max(self._limits.tick, min(0.25, self._limits.probe_ready))
        return None

    # ---- what happens by itself

    def tick(self) -> None:
        """Takes in what happened since the last call."""
        now, run = time.time(), self._run
        if run and run.look(now):
            self._group_changed(run)
        if self._ending:
            self._tick_ending(now)
        elif run and run.exited:
            self._leader_exited(run)
        elif run and self._now.state == _S.STARTING and now - run.moved > self._limits.stall:
            self._give_up("stalled", {"seconds": round(self._limits.stall)})
        elif run and self._now.state == _S.STARTING and now - run.started > self._limits.start:
            self._give_up("too_long", {"seconds": round(self._limits.start)})
        elif run:
            self._watcher.look(now, run, self._now)
            if self._now.state == _S.READY and now - self._now.since > self._limits.stable:
                self._crashes = 0
        elif self._now.state == _S.BACKOFF and now >= (self._now.retry_at or 0.0) and self._now.spec:
            self._launch(self._now.spec)

    # ---- start

    def _begin(self, generation: int, spec: EngineSpec, prepare: Prepare | None) -> None:
        self._crashes = 0
        log_path, since = str(self._around.log), self._now.since
        self._now = Snapshot(self._now.state, generation, since, started=time.time(), spec=spec, log_path=log_path)
        if prepare is None:
            self._launch(spec)
            return
        mark = PhaseMark(Phase.DOWNLOADING, 0.0, 0.0)
        self._go(_S.DOWNLOADING, phase=Phase.DOWNLOADING, phases=(mark,), progress=DownloadBytes())
        self._fetch = launch.Fetch(
            prepare,
            spec,
            self._around.post,
            lambda progress: self._progressed(generation, progress),
            lambda wanted, failure: self._fetched(generation, wanted, failure),
        )

    def _progressed(self, generation: int, progress: DownloadBytes) -> None:
        if generation != self._now.generation or self._now.state != _S.DOWNLOADING:
            return
        phase = Phase.INSTALLING if progress.installing else Phase.DOWNLOADING
        if phase is self._now.phase:
            self._publish(progress=progress)
            return
        # An installation has to be waited for before there is anything to download.
        at = time.time() - (self._now.started or time.time())
        last = self._now.phases[-1]
        before = () if phase is Phase.INSTALLING else (PhaseMark(last.phase, last.started, at - last.started),)
        began = 0.0 if phase is Phase.INSTALLING else at
        self._publish(progress=progress, phase=phase, phases=(*before, PhaseMark(phase, began, 0.0)))

    def _fetched(self, generation: int, wanted: EngineSpec, failure: Failure | None) -> None:
        if generation != self._now.generation or self._fetch is None:
            return
        self._fetch = None
        if self._now.state == _S.STOPPING:
            self._stopped()
        elif failure:
            self._fail(failure)
        else:
            self._launch(wanted)

    def _launch(self, spec: EngineSpec) -> None:
        """Spawns the engine, or fails before anything is spawned."""
        failure = self._sweep_leftover() or launch.obstacle(spec)
        if failure:
            self._fail(failure)
            return
        now = time.time()
        spawned = launch.spawn(self._around, spec, self._now.generation, now)
        if isinstance(spawned, Failure):
            self._fail(spawned)
            return
        self._run, written = run, _ = spawned
        self._save(written)
        if self._now.state == _S.DOWNLOADING:
            run.started, run.phases = self._now.started or now, list(self._now.phases)
        run.enter(Phase.IMPORTING, now)
        self._watcher.begin()
        self._now = replace(self._now, progress=None, ready_at=None, failure=None, retry_at=None)
        self._go(
            _S.STARTING,
            spec=spec,
            started=run.started,
            base_url=spec.base_url,
            pid=run.group.identity.pid,
            pids=(run.group.identity.pid,),
            phase=Phase.IMPORTING,
            phases=tuple(run.phases),
            restarts=self._crashes,
            variables=run.variables,
        )

    def _sweep_leftover(self) -> Failure | None:
        """Kills what an earlier engine may have left; returns a failure when that does not go away."""
        if self._leftover:
            self._leftover.kill()
            psutil.wait_procs(self._leftover.alive(), timeout=_DYING)
            if left := [each.pid for each in self._leftover.alive()]:
                return Failure("survivors", {"pids": ", ".join(map(str, left))})
            self._leftover = None
        return None

    def _give_up(self, code: str, values: dict[str, object]) -> None:
        tail = logfile.tail(self._around.log, 50)
        failure = Failure(code, values, tail[-1] if tail else "", tail)
        self._end(lambda: self._fail(failure), min(self._limits.term, _GIVE_UP_GRACE))

    # ---- what the watcher says

    def _judged(self, verdict: Judgement) -> None:
        if self._ending or self._run is None:
            return
        found, state = verdict.found, self._now.state
        if verdict.kind == "serves" and state != _S.READY:
            self._ready(self._run, found)
        elif verdict.kind == "stranger" and self._now.spec:
            self._give_up("port_taken", launch.port_values(self._now.spec, str(found.values.get("owner", ""))))
        elif verdict.kind == "failing" and state != _S.UNHEALTHY:
            self._go(_S.UNHEALTHY, failure=self._failure(found))

    def _failure(self, found: health.Probe) -> Failure:
        return Failure(found.code or "", found.values, log_tail=logfile.tail(self._around.log, 50))

    def _ready(self, run: EngineRun, found: health.Probe) -> None:
        now = time.time()
        if self._now.ready_at is None:
            run.enter(Phase.READY, now)
            self._now = replace(self._now, ready_at=now, elapsed=now - run.started)
        swap = self._swap if self._swap and self._swap.generation == self._now.generation else None
        if swap is not None:
            self._swap = None
        self._go(
            _S.READY,
            failure=swap.failure if swap else None,
            phase=Phase.READY,
            phases=tuple(run.phases),
            model_id=found.model_id,
            max_model_len=found.max_model_len,
            takes_images=found.takes_images if found.takes_images is not None else self._now.takes_images,
            vllm_version=found.version or self._now.vllm_version,
        )
        if self._record:
            ready, version, images = self._now.ready_at, self._now.vllm_version, self._now.takes_images
            self._save(replace(self._record, ready_at=ready, vllm_version=version, takes_images=images))

    # ---- end

    def _leader_exited(self, run: EngineRun) -> None:
        """The engine ended by itself: sweeps what it left, then says why, or tries again."""
        lines, spec = logfile.tail(self._around.log, LOG_LINES), self._now.spec
        failure = causes.failure_of(
            lines,
            run.exit_code,
            was_ready=self._now.ready_at is not None,
            trusting=spec is not None and spec.trust_remote_code,
        )
        if failure.code == "port_taken" and self._now.spec:
            failure = replace(failure, values=launch.port_values(self._now.spec))
        again = (
            self._now.state in (_S.READY, _S.UNHEALTHY)
            and self._crashes < min(self._around.restarts, len(self._limits.backoff))
            and failure.code not in causes.NEVER_RETRY
        )
        self._end((lambda: self._back_off(failure)) if again else (lambda: self._fail(failure)), 0.0)
        self._tick_ending(time.time())

    def _back_off(self, failure: Failure) -> None:
        wait = self._limits.backoff[self._crashes]
        self._crashes += 1
        self._go(_S.BACKOFF, failure=failure, retry_at=time.time() + wait, restarts=self._crashes, pid=None, pids=())
        self._begin_pending()

    def _end(self, then: Callable[[], None], grace: float) -> None:
        self._watcher.reset()
        if self._run:
            self._ending = Ending(self._run, self._limits, time.time(), grace), then

    def _tick_ending(self, now: float) -> None:
        if self._ending is None or self._run is None:
            return
        ending, then = self._ending
        if ending.tick(now):
            self._gone()
            self._now = replace(self._now, killed=ending.killed)
            then()
        elif survivors := ending.survivors(now):
            self._leftover = self._run.group
            self._gone()
            self._fail(Failure("survivors", {"pids": ", ".join(map(str, survivors))}), survivors=survivors)

    def _gone(self) -> None:
        self._run = self._ending = self._record = None
        record.clear(self._around.record)

    def _stopped(self) -> None:
        if not self._begin_pending():
            self._go(_S.STOPPED, pid=None, pids=(), phase=None, phases=(), failure=None, progress=None)

    def _fail(self, failure: Failure, survivors: tuple[int, ...] = ()) -> None:
        swap = self._swap if self._swap and self._swap.generation == self._now.generation else None
        if swap and not (swap.undone or survivors or self._pending):
            swap.failure = failure  # the other model did not start: the former one comes back
            self._begin(swap.generation, swap.former, None)
            return
        self._go(_S.FAILED, failure=failure, pid=None, pids=(), survivors=survivors, retry_at=None)
        self._swap = None
        self._begin_pending()

    def _begin_pending(self) -> bool:
        if self._pending is None:
            return False
        pending, self._pending = self._pending, None
        self._begin(*pending)
        return True

    # ---- adoption

    def adopt(self) -> None:
        """Takes over the engine that an earlier process left running, if it is still that very one."""
        found = adopt.find(self._around)
        if found is None:
            return
        written, run = found.written, found.run
        self._now = replace(self._now, generation=written.generation)
        self._leftover = found.leftover
        if run is None or found.probe is None:
            return
        self._run, self._record = run, written
        self._now = replace(
            snapshot_of(written, run.group),
            since=self._now.since,
            model_id=None,
            adopted=True,
            phase=run.phase,
            phases=tuple(run.phases),
            log_path=self._now.log_path,
        )
        if found.probe.fine and found.probe.asked:
            self._ready(run, found.probe)
        elif written.ready_at:  # one that was still loading goes on doing so
            self._go(_S.UNHEALTHY, failure=self._failure(found.probe))

    # ---- publishing

    def _group_changed(self, run: EngineRun) -> None:
        if self._record and not self._ending:
            self._save(self._record.with_group(run.group))
        phases = {"phase": run.phase, "phases": tuple(run.phases)} if self._now.state == _S.STARTING else {}
        self._publish(pids=tuple(each.pid for each in run.group.alive()), **phases)

    def _save(self, written: record.Record) -> None:
        self._record = written
        try:
            record.save(self._around.record, written)
        except OSError:  # a full disk must not end a running engine; the marker still finds it
            return

    def _go(self, state: EngineState, **changes: object) -> None:
        if state not in LEGAL[self._now.state] and state != self._now.state:
            raise AssertionError(f"{self._now.state} -> {state}")
        if state in (_S.FAILED, _S.STOPPING):
            self._now = replace(self._now.at(), seconds_without_output=None)
        self._publish(state=state, since=time.time(), **changes)

    def _publish(self, **changes: object) -> None:
        self._now = replace(self._now, **changes)  # type: ignore[arg-type]
        self._around.publish(self._now)
