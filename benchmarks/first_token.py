"""Time to first token through the app's client and through the page, beside a bare HTTP request of the same body."""

from __future__ import annotations

import io
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx2 as httpx
from PIL import Image, ImageDraw

from benchmarks import Row
from vqa.answers import Answer, Question, Sampling
from vqa.client import Client, request_body
from vqa.engine.opening import open_engine
from vqa.lab.run.manager import RunManager
from vqa.media.images import load_image
from vqa.settings import load_settings
from vqa.store import Store
from vqa.ui.ask.components import AskParts, render
from vqa.ui.ask.conversation import Conversation
from vqa.ui.ask.flow import AskFlow
from vqa.ui.ask.keeping import ConversationKeeper
from vqa.ui.services import Services

PAIRS = 40
BOUND = 0.010  # seconds


async def run(base_url: str) -> list[Row]:
    """Returns the median seconds to first token of each and of the bare request, asked in turns, one at a time."""
    ours: list[float] = []
    bare: list[float] = []
    picture = _picture()
    async with Client(base_url) as client, httpx.AsyncClient(trust_env=False, timeout=60) as http:
        info = await client.info()
        for turn in range(PAIRS + 3):
            began = time.monotonic()
            # The image is loaded within the measured time, as it is when somebody asks.
            question = Question("What shape is this?", (load_image(picture),), sampling=Sampling(max_tokens=4))
            prepared = time.monotonic() - began
            first = await _ours(client, question) + prepared
            body = request_body(question, info.model_ids[0], vllm=True)
            bare_first = await _bare(http, base_url, body)
            if turn >= 3:
                ours.append(first)
                bare.append(bare_first)
    client_row = _row("time to first token, c = 1", ours, bare)
    return [client_row, _row("time to first token on the page, c = 1", *await _on_the_page(base_url, picture))]


def _row(what: str, ours: list[float], bare: list[float]) -> Row:
    extra = median(ours) - median(bare)
    note = f"{extra * 1000:+.1f} ms"
    return Row(what, median(ours), median(bare), "s", "at most 10 ms more", extra <= BOUND, note)


async def _on_the_page(base_url: str, picture: bytes) -> tuple[list[float], list[float]]:
    """Returns the seconds from a question's arrival at the page to its first words' leaving it, and the bare ones."""
    import gradio as gr

    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(base_url=base_url, data_dir=Path(folder))
        store, engine = Store(settings.database), open_engine(settings)
        runs = RunManager(store, settings)
        services = Services(settings, store, engine, runs)
        with gr.Blocks():
            parts = render(services, "en", ())
        flow = AskFlow(services, "en", parts, ConversationKeeper(store), ())
        path = Path(folder) / "picture.png"
        path.write_bytes(picture)
        model = engine.wait(timeout=60).model_id or ""
        question = Question("What shape is this?", (load_image(picture),), sampling=Sampling(max_tokens=4))
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            for turn in range(PAIRS + 3):
                times = (
                    await _first_words(flow, parts, question.text, str(path)),
                    await _bare(http, base_url, request_body(question, model, vllm=True)),
                )
                if turn >= 3:
                    ours.append(times[0])
                    bare.append(times[1])
        runs.close()
        engine.close()
        store.close()
    return ours, bare


async def _first_words(flow: AskFlow, parts: AskParts, text: str, path: str) -> float:
    began, first = time.monotonic(), 0.0
    options = (0.0, 0.9, "4", "", "", "", "", "benchmark")
    async for update in flow.send({"text": text, "files": [path]}, Conversation(), *options):
        rows = update.get(parts.chatbot) or []
        if not first and rows and rows[-1]["role"] == "assistant" and rows[-1]["content"][0]["text"] != "…":
            first = time.monotonic() - began
    return first


async def _ours(client: Client, question: Question) -> float:
    answer: Answer = await client.ask(question)
    return answer.seconds_to_first_token or 0.0


async def _bare(http: httpx.AsyncClient, base_url: str, body: dict[str, object]) -> float:
    extra = body.pop("extra_body")
    sent = {**body, **extra, "stream": True, "stream_options": {"include_usage": True}}  # type: ignore[dict-item]
    content = json.dumps(sent)
    began = time.monotonic()
    first = 0.0
    headers = {"Content-Type": "application/json"}
    async with http.stream("POST", f"{base_url}/chat/completions", content=content, headers=headers) as reply:
        async for line in reply.aiter_lines():
            if not first and line.startswith("data: {") and _has_text(line):
                first = time.monotonic() - began
    return first


def _has_text(line: str) -> bool:
    choices = json.loads(line[6:])["choices"]
    return bool(choices) and bool(choices[0]["delta"].get("content") or choices[0].get("finish_reason"))


def _picture() -> bytes:
    picture = Image.new("RGB", (640, 480), "white")
    ImageDraw.Draw(picture).ellipse((200, 120, 440, 360), fill=(220, 30, 30))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
