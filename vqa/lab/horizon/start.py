"""Starts a horizon, anew or where an earlier process left it; what it will cost at least is told before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vqa.answers import Sampling
from vqa.errors import InputError
from vqa.lab.certificate.certify import certificate_spec
from vqa.lab.certificate.in_turn import start_in_turn
from vqa.lab.horizon.asked import LONE, Asked
from vqa.lab.horizon.work import horizon_work
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import Level
from vqa.media.images import ImagePayload
from vqa.models.probe import PROBE_MAX_TOKENS, PROBE_QUESTION
from vqa.settings import Settings

if TYPE_CHECKING:
    from vqa.engine.state import Engine
    from vqa.store import Run, Store

KIND = "horizon"


def horizon_spec(
    question: str | None = None,
    images: Sequence[ImagePayload] = (),
    *,
    max_tokens: int = PROBE_MAX_TOKENS,
    require: Level = Level.TOKENS,
    name: str = "",
    model: str | None = None,
) -> RunSpec:
    """Returns the one question that every request asks: the probe's where none is given.

    Answers are of one length, whatever the model would say: only answers that last meet one another.
    """
    if question is None:
        # The certificate asks a long one too; a horizon's steps compare the answers to one question.
        return replace(certificate_spec(require=require, name=name), questions=(PROBE_QUESTION,))
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens, ignore_eos=True)
    return RunSpec(
        (question,), tuple(images), n=LONE, sampling=sampling, require=require, name=name, model=model
    ).check()


def foretold(asked: Asked) -> dict[str, int]:
    """Returns the values of the sentence that says what a horizon will take: requests, minutes, profiles."""
    fewest, most, seconds = asked.cost(asked.most)
    return {
        "fewest": fewest,
        "most": most,
        "minutes": max(1, round(seconds / 60)),
        "profiles": max(len(asked.profiles), 1),
    }


def start_horizon(
    runs: RunManager,
    asked: Asked,
    settings: Settings,
    *,
    engine: Engine | None = None,
    base_url: str | None = None,
    resume: Run | None = None,
) -> str:
    """Starts a horizon and returns the run's id.

    With profiles the managed `engine` is restarted under each, and what ran before is started again after it; without
    them the server at `base_url` is asked as it is. `resume` is an ended run that goes on.

    Raises:
        InputError: a number or a profile cannot be used, or another run is using the server.
        ModelError: the model is not here, or the probe cannot be written.
        EngineError: the engine is not managed from here.
    """
    return start_in_turn(
        runs, asked.check(), settings, partial(horizon_work, asked), kind=KIND, engine=engine, base_url=base_url,
        resume=resume,
    )  # fmt: skip


def ended_horizon(store: Store, run_id: str) -> tuple[Run, Asked]:
    """Returns a stored horizon that can go on, and what it asks.

    Raises:
        InputError: the run is none.
        StoreError: there is no such run, or a picture of it is gone.
    """
    run = store.run(run_id)
    if run.kind != KIND or "horizon" not in run.plan:
        raise InputError("run_no_horizon", run=run_id)
    return run, Asked.from_record(run.plan, store)
