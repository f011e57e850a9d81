"""The matrix as a job of the lab: each profile's engine, each prompt's lone answers, then what stands beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from vqa.answers import Answer, Json
from vqa.client import Client
from vqa.errors import VQAError
from vqa.lab.certificate.in_turn import InTurn, empty_row, former_row, gone_on, work_in_turn
from vqa.lab.certificate.rows import control_row
from vqa.lab.certificate.wanted import Certified
from vqa.lab.matrix.asked import ALONE, NEIGHBOURS, MatrixAsked, Prompt, Size
from vqa.lab.matrix.rows import cell_row, matrix_result, unmeasured
from vqa.lab.plan.arms import Arm, Capabilities, Plan
from vqa.lab.plan.requests import question_for
from vqa.lab.run.job import RunJob, Work, is_serial
from vqa.lab.run.server import ServerView
from vqa.lab.stats.summarize import summarize_run

if TYPE_CHECKING:
    from vqa.engine.spec import EngineSpec


def matrix_work(
    asked: MatrixAsked,
    wanted: Sequence[Certified] | None,
    before: EngineSpec | None = None,
    *,
    kept: Mapping[str, Json] | None = None,
) -> Work:
    """Returns the job: under each profile one prompt after another; then `before` starts again.

    Without `wanted` the server is asked as it is. `kept` is the result of a run that goes on: prompts that were asked
    to their end stay as they are, each being compared with lone answers of its own.
    """
    return work_in_turn(
        wanted,
        before,
        lambda each: _row(each, kept),
        lambda rows: matrix_result(rows, asked.spec.require, asked.record()["matrix"]),
        lambda job, row, by_now: _Profile(job, asked, row, by_now),
    )


def _row(wanted: Certified | None, kept: Mapping[str, Json] | None) -> dict[str, Json]:
    """Returns a profile's row as it is before its engine starts, with the prompts that a former process ended."""
    former = former_row(wanted, kept)
    row = empty_row(wanted) | {"prompts": []}
    if former is None:
        return row
    return gone_on(row, former, prompts=[prompt for prompt in former["prompts"] if prompt["complete"]])


class _Profile(InTurn[MatrixAsked]):
    """The prompts under one profile; what is known is stored after every cell."""

    def __init__(
        self, job: RunJob, asked: MatrixAsked, row: dict[str, Json], by_now: Callable[[], dict[str, Json]]
    ) -> None:
        super().__init__(job, asked, row, by_now)
        self._able = Capabilities()
        self._taken: dict[Prompt, Answer] = {}
        """The first answer to each prompt that the server takes."""

    async def _ask(self, client: Client, view: ServerView) -> None:
        self._job.live.tell()
        self._able = await view.capabilities(managed=self._job.engine is not None, learn=True)
        done = {prompt["name"] for prompt in self._row["prompts"]}
        left = [prompt for prompt in self._asked.prompts if prompt.name not in done]
        rows = {prompt: self._prompt_row(prompt) for prompt in left}
        for prompt, row in rows.items():
            await self._try(prompt, row, client, view)
        self._row["prompts"] += rows.values()
        await self._keep()
        taken = [prompt for prompt in left if prompt in self._taken]
        for prompt in taken:
            for beside in self._beside(prompt):
                self._job.live.expect(self._plan(prompt, beside), self._prefix(prompt))
        for prompt in taken:
            await self._cells(prompt, rows[prompt], client, view)
        if self._row["control"] is None and taken:
            await self._control(taken[0], client, view)
        self._row["complete"] = True
        await self._keep()

    @staticmethod
    def _prompt_row(prompt: Prompt) -> dict[str, Json]:
        return {
            "name": prompt.name,
            "pictures": prompt.pictures,
            "size": list(prompt.size),
            "order": prompt.order,
            "reason": None,
            "prompt_tokens": None,
            "image_tokens": None,
            "cells": [],
            "complete": False,
        }

    async def _try(self, prompt: Prompt, row: dict[str, Json], client: Client, view: ServerView) -> None:
        """Asks a prompt once, which does not count: whether the server takes it, and what the first of a shape costs.

        Raises:
            VQAError: the server is gone.
        """
        self._job.live.tell(step="step_matrix_try", profile=self._row["name"], prompt=prompt.name)
        plan = self._asked.plan(prompt, ALONE, salted=self._able.vllm)
        nonce = f"{self._job.live.run_id}/{self._prefix(prompt)}try"
        try:
            answer = await client.ask(question_for(plan, plan.arms[0], 0, 0, nonce=nonce))
        except VQAError as problem:
            if await view.identity() is None:
                raise
            row |= {"reason": problem.message(), "complete": True}
        else:
            self._taken[prompt] = answer
            row |= {"prompt_tokens": answer.prompt_tokens, "image_tokens": answer.image_tokens}
        finally:
            self._job.live.tell()

    def _beside(self, prompt: Prompt) -> list[str]:
        """Returns the cells of a prompt that can be asked, the lone answers first."""
        wanted = (name for name in self._asked.beside if self._reason(prompt, name) is None)
        return [ALONE, *wanted]

    def _reason(self, prompt: Prompt, beside: str) -> str | None:
        """Returns why a cell cannot be asked here, as a text key."""
        if beside in NEIGHBOURS and self._serial():
            return "matrix.serial"
        if beside in {"image_cache", "prefix_cache"} and not self._able.vllm:
            return "lab.skip_needs_vllm"
        if beside == "prefix_cache":
            if self._able.prefix_cache is False:
                return "lab.skip_prefix_cache_off"
            tokens = next((row["prompt_tokens"] for row in self._row["prompts"] if row["name"] == prompt.name), None)
            if tokens is not None and self._able.block_size is not None and tokens <= self._able.block_size:
                return "lab.skip_prompt_within_block"
        if beside == "sizes" and not self._sizes(prompt):
            return "matrix.no_other_size"
        return None

    def _sizes(self, prompt: Prompt) -> tuple[Size, ...]:
        """Returns the other sizes of which the server takes as many pictures."""
        like = (
            row
            for row in self._row["prompts"]
            if (row["pictures"], row["order"], row["reason"]) == (prompt.pictures, prompt.order, None)
        )
        sizes = ((int(row["size"][0]), int(row["size"][1])) for row in like)
        return tuple(size for size in sizes if size != prompt.size)

    def _serial(self) -> bool:
        return is_serial(self._job.engine) or self._row["name"] == "serial"

    def _plan(self, prompt: Prompt, beside: str) -> Plan:
        return self._asked.plan(
            prompt, beside, salted=self._able.vllm, sizes=self._sizes(prompt),
            length=self._taken[prompt].completion_tokens or 0, seconds=self._taken[prompt].seconds,
        )  # fmt: skip

    async def _cells(self, prompt: Prompt, row: dict[str, Json], client: Client, view: ServerView) -> None:
        for beside in (ALONE, *self._asked.beside):
            reason = None if beside == ALONE else self._reason(prompt, beside)
            cell = unmeasured(beside, reason) if reason else await self._cell(prompt, beside, row, client, view)
            row["cells"] = [*row["cells"], cell]
            await self._keep()
        row["complete"] = True
        await self._keep()

    async def _cell(
        self, prompt: Prompt, beside: str, row: Mapping[str, Json], client: Client, view: ServerView
    ) -> dict[str, Json]:
        plan, arm = self._plan(prompt, beside), self._prefix(prompt) + beside
        facts = await self._job.run(plan, client, view, rename=arm)
        lone = await asyncio.to_thread(self._samples, row["cells"][0]["arm"]) if row["cells"] else []
        samples = await asyncio.to_thread(self._samples, arm)
        self._row["changed"] = self._row["changed"] or facts.changed
        if facts.several is not None:
            self._row["several"] = asdict(facts.several)
        return await asyncio.to_thread(cell_row, beside, arm, lone, samples, facts, self._asked.concurrency)

    async def _control(self, prompt: Prompt, client: Client, view: ServerView) -> None:
        plan = self._asked.control(prompt, salted=self._able.vllm, seconds=self._taken[prompt].seconds)
        self._job.live.expect(plan, self._prefix(prompt))
        await self._job.run(plan, client, view, prefix=self._prefix(prompt))
        samples = await asyncio.to_thread(self._samples, f"{self._prefix(prompt)}{Arm.POSITIVE_CONTROL}")
        self._row["control"] = control_row(summarize_run(samples))

    def _prefix(self, prompt: Prompt) -> str:
        """Returns what stands before an arm's name: profile, session where there are several, and prompt."""
        sessions = self._row["sessions"]
        session = f"session {sessions}/" if sessions > 1 else ""
        return f"{self._row['name']}/{session}{prompt.name}/"
