"""Starts a vision matrix, anew or where an earlier process left it; what it will cost is told before."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vqa.answers import Sampling
from vqa.errors import InputError
from vqa.lab.certificate.in_turn import start_in_turn
from vqa.lab.matrix.asked import MatrixAsked
from vqa.lab.matrix.work import matrix_work
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import Level
from vqa.models.probe import PROBE_MAX_TOKENS, PROBE_QUESTION
from vqa.settings import Settings

if TYPE_CHECKING:
    from vqa.engine.state import Engine
    from vqa.store import Run, Store

KIND = "matrix"


def matrix_spec(
    question: str | None = None,
    *,
    max_tokens: int = PROBE_MAX_TOKENS,
    require: Level = Level.TOKENS,
    name: str = "",
) -> RunSpec:
    """Returns the question of every prompt, the probe's where none is given; its pictures come with `drawn`.

    Answers are of one length, whatever the model would say: only answers that last meet one another.
    """
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens, ignore_eos=True)
    return RunSpec((question or PROBE_QUESTION,), sampling=sampling, require=require, name=name).check()


def foretold(asked: MatrixAsked) -> dict[str, int]:
    """Returns the values of the sentence that says what a matrix will take: prompts, requests, minutes, profiles."""
    requests, seconds = asked.cost()
    return {
        "prompts": len(asked.prompts),
        "cells": len(asked.prompts) * len(asked.beside),
        "requests": requests,
        "minutes": max(1, round(seconds / 60)),
        "profiles": max(len(asked.profiles), 1),
        "neighbours": asked.concurrency - 1,
    }


def start_matrix(
    runs: RunManager,
    asked: MatrixAsked,
    settings: Settings,
    *,
    engine: Engine | None = None,
    base_url: str | None = None,
    resume: Run | None = None,
) -> str:
    """Starts a matrix and returns the run's id.

    With profiles the managed `engine` is restarted under each, and what ran before is started again after it; without
    them the server at `base_url` is asked as it is. `resume` is an ended run that goes on.

    Raises:
        InputError: a number or a profile cannot be used, or another run is using the server.
        ModelError: the model is not here, or the probe cannot be written.
        EngineError: the engine is not managed from here.
    """
    return start_in_turn(
        runs, asked.check(), settings, partial(matrix_work, asked), kind=KIND, engine=engine, base_url=base_url,
        resume=resume,
    )  # fmt: skip


def ended_matrix(store: Store, run_id: str) -> tuple[Run, MatrixAsked]:
    """Returns a stored matrix that can go on, and what it asks.

    Raises:
        InputError: the run is none.
        StoreError: there is no such run, or a picture of it is gone.
    """
    run = store.run(run_id)
    if run.kind != KIND or "matrix" not in run.plan:
        raise InputError("run_no_matrix", run=run_id)
    return run, MatrixAsked.from_record(run.plan, store)
