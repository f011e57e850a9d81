"""Finds the engine that an earlier process left running, or what is left of one."""

import time
from dataclasses import dataclass, replace

from vqa.engine import health, process, record
from vqa.engine.run import EngineRun
from vqa.engine.state import EngineState, Limits, Phase, Snapshot
from vqa.engine.surroundings import Surroundings, target_of


@dataclass(frozen=True)
class Found:
    """What was found: a live engine (`run` and what a probe says of it), or the processes of a dead one."""

    written: record.Record
    run: EngineRun | None = None
    probe: health.Probe | None = None
    leftover: process.Group | None = None


def find(around: Surroundings) -> Found | None:
    """Returns what the record leads to, or None when there is no record; takes a few seconds at most.

    Identity counts, not the PID alone: what merely has the PID of our engine is left alone. Processes that are proven
    ours but have lost their leader are killed.
    """
    written = record.load(around.record)
    if written is None:
        return None
    group = group_of(written)
    alive = group.leader() is not None
    group.refresh(thorough=True)
    if not alive:
        group.kill()
        record.clear(around.record)
        return Found(written, leftover=group)
    written = replace(written, identity=group.identity)
    run = EngineRun(group, None, around.log, written.started, around.limits)
    run.enter(Phase.IMPORTING, written.started)
    probe = look(written, group, around.api_key, around.limits)
    run.look(time.time())
    return Found(written, run, probe)


def group_of(written: record.Record) -> process.Group:
    """Returns the processes that a record leads to, found by their marker where no PID could be written down."""
    identity = written.identity
    if identity.pid == 0:
        identity = process.find_marked(identity.marker) or identity
    return process.Group(identity, written.members)


def look(written: record.Record, group: process.Group, api_key: str, limits: Limits) -> health.Probe:
    """Returns whether the recorded engine serves what was recorded, judged by an answer; takes seconds at most."""
    quick = replace(limits, connect=min(limits.connect, 2.0), chat=limits.adopt)
    return health.probe(target_of(written.spec, group, api_key, written.takes_images), quick, ask=True)


def snapshot_of(written: record.Record, group: process.Group) -> Snapshot:
    """Returns what a record says of an engine whose leader lives; whether it answers is not looked at."""
    return Snapshot(
        EngineState.READY if written.ready_at else EngineState.STARTING,
        written.generation,
        since=written.ready_at or written.started,
        started=written.started,
        ready_at=written.ready_at,
        elapsed=(written.ready_at or time.time()) - written.started,
        spec=written.spec,
        base_url=written.spec.base_url,
        model_id=written.spec.served_model_name or written.spec.model,
        vllm_version=written.vllm_version,
        takes_images=written.takes_images,
        pid=group.identity.pid,
        pids=tuple(each.pid for each in group.alive()),
    )
