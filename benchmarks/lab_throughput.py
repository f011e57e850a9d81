"""Requests per second through the lab, beside a bare OpenAI client that sends the very same requests.

Both stream (logprobs, token ids, same picture), in alternating turns (bare, lab, lab, bare, …), so that a machine that
gets slower hits both. The lab's turns go the whole way: client, summaries, every sample stored as it lands.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import harmonic_mean

from openai import AsyncOpenAI
from PIL import Image, ImageDraw

from benchmarks import Row
from benchmarks.instant_server import TOKENS, instant_server
from vqa.answers import Sampling
from vqa.client import Client, request_body
from vqa.lab.plan.arms import ArmPlan, RunSpec
from vqa.lab.plan.plans import plan_repeat
from vqa.lab.plan.requests import question_for
from vqa.lab.run.manager import RunManager
from vqa.media.images import ImagePayload, load_image
from vqa.settings import load_settings
from vqa.store import Store

LEAST = 0.97
REQUESTS = {1: 16, 8: 48}
"""Requests a turn by how many go at a time."""
TURNS = 8
PACE = 0.008
"""Seconds to a token."""
PACED_REQUESTS = 240
MAX_TOKENS = 64


def picture() -> ImagePayload:
    """Returns a red circle on white, 256 x 256."""
    canvas = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(canvas).ellipse((70, 70, 190, 190), fill=(220, 30, 30))
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return load_image(out.getvalue(), name="circle.png")


async def bare(base_url: str, body: dict[str, object], count: int, concurrency: int) -> float:
    """Returns requests a second of an OpenAI client that only reads its streams to their end."""
    client = AsyncOpenAI(base_url=base_url, api_key="EMPTY", max_retries=0)
    waiting = iter(range(count))
    # The connection and the first import are nobody's merit.
    await client.models.list()

    async def work() -> None:
        for _ in waiting:
            events = await client.chat.completions.create(
                **body,  # type: ignore[call-overload]
                stream=True,
                stream_options={"include_usage": True},
            )
            async for _chunk in events:
                pass

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    seconds = time.perf_counter() - began
    await client.close()
    return count / seconds


def through_lab(manager: RunManager, store: Store, spec: RunSpec, base_url: str) -> float:
    """Returns requests a second of a repeat run, from its first request to its last answer."""
    run_id = manager.start(spec, base_url)
    status = manager.wait(run_id)
    samples = store.samples(run_id)
    if status.status != "finished" or status.failed:
        raise SystemExit(f"the run {status.status}: {status.error or status.failed}")
    ends = [sample.started_at + sample.answer.seconds for sample in samples if sample.answer]
    return len(samples) / (max(ends) - min(sample.started_at for sample in samples))


async def body_of(base_url: str, spec: RunSpec) -> dict[str, object]:
    """Returns the very request that the lab sends."""
    plan = plan_repeat(spec)
    arm: ArmPlan = plan.arms[0]
    async with Client(base_url) as client:
        info = await client.info()
    return request_body(question_for(plan, arm, 0, 0, nonce="bench"), info.model_ids[0], vllm=info.is_vllm)


def compare(base_url: str, concurrency: int, *, requests: int, turns: int = TURNS, max_tokens: int = MAX_TOKENS) -> Row:
    """Returns the speeds of both over all turns, and whether the lab's is large enough beside the other."""
    spec = RunSpec(
        ("What shape is it?",),
        (picture(),),
        n=requests,
        concurrency=concurrency,
        sampling=Sampling(max_tokens=max_tokens, ignore_eos=True),
    )
    body = asyncio.run(body_of(base_url, spec))
    speeds: dict[str, list[float]] = {"bare": [], "lab": []}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'bench.db'}")
        manager = RunManager(store, load_settings())
        asyncio.run(bare(base_url, body, concurrency, concurrency))
        for turn in range(turns):
            for way in ("bare", "lab") if turn % 2 == 0 else ("lab", "bare"):
                speed = (
                    asyncio.run(bare(base_url, body, requests, concurrency))
                    if way == "bare"
                    else through_lab(manager, store, spec, base_url)
                )
                speeds[way].append(speed)
        manager.close()
        store.close()
    ours, plain = harmonic_mean(speeds["lab"]), harmonic_mean(speeds["bare"])
    return Row(
        f"requests per second through the lab, c = {concurrency}",
        ours,
        plain,
        "1/s",
        f"at least {LEAST} of bare",
        ours >= LEAST * plain,
        f"{turns} turns each, slowest and quickest {_ends(speeds['lab'])} and {_ends(speeds['bare'])}",
    )


def _ends(speeds: list[float]) -> str:
    return f"{min(speeds):.3g}–{max(speeds):.3g}"


def run(base_url: str) -> list[Row]:
    """Returns a row for 1 and for 8 requests at a time, and one for 8 against a server of a fixed pace.

    Requests of one length either stay in step in an engine, all starting and ending together, or fall out of it, and
    then every start holds up the others' tokens: of one and the same client some turns are a third slower than others.
    The server of a fixed pace, that of the demo model on two cores, knows no such luck.
    """
    rows = [compare(base_url, concurrency, requests=requests) for concurrency, requests in REQUESTS.items()]
    with instant_server(PACE) as paced:
        row = compare(paced, 8, requests=PACED_REQUESTS, turns=TURNS // 2, max_tokens=TOKENS)
    return [*rows, replace(row, what=f"{row.what}, from a server of {1000 * PACE:.0f} ms a token")]
