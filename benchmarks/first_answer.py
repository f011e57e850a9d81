"""The first answer that the page gives after its engine is ready, beside the later ones, and how soon it was ready."""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from pathlib import Path
from statistics import median

from PIL import Image, ImageDraw

from benchmarks import Row
from benchmarks.start_to_ready import LIMIT, bare_seconds, free_port
from vqa.engine.opening import Supervisor
from vqa.engine.state import EngineState
from vqa.garbage import not_searched
from vqa.lab.run.manager import RunManager
from vqa.media.runner import pool
from vqa.models.serve import plan_start
from vqa.settings import Settings, load_settings
from vqa.store import Store
from vqa.ui.ask.components import AskParts, render
from vqa.ui.ask.conversation import Conversation
from vqa.ui.ask.flow import AskFlow
from vqa.ui.ask.keeping import ConversationKeeper
from vqa.ui.services import Services

STARTS = 3
LATER = 6
ANSWER_BOUND, READY_BOUND = 1.5, 1.1


def run() -> list[Row]:
    """Returns the median first answer beside the later ones, and the time to ready beside the bare command's.

    Every start is one of its own, with a page that has asked nothing yet, in turns with the bare command; each
    question brings another picture.
    """
    first: list[float] = []
    later: list[float] = []
    ours: list[float] = []
    bare: list[float] = []
    for start in range(STARTS + 1):
        with tempfile.TemporaryDirectory() as folder:
            settings = load_settings(data_dir=Path(folder), engine_port=free_port(), base_url=None)
            seconds = bare_seconds(plan_start(settings, "demo")[0], settings)
            to_ready, answers = asyncio.run(_answers(settings))
        if start:  # before that the disk cache was filled, and Python files compiled, for both
            bare.append(seconds)
            ours.append(to_ready)
            first.append(answers[0])
            later += answers[1:]
    return [
        _row("first answer on the page after Ready, beside later ones", first, later, ANSWER_BOUND),
        _row("start to ready, warmed up, beside the bare command", ours, bare, READY_BOUND),
    ]


def _row(what: str, ours: list[float], bare: list[float], bound: float) -> Row:
    ratio = median(ours) / median(bare)
    return Row(what, median(ours), median(bare), "s", f"at most {bound:g} of it", ratio <= bound, f"× {ratio:.2f}")


async def _answers(settings: Settings) -> tuple[float, list[float]]:
    """Returns the seconds to ready, and those of each whole answer on the page, the first one first."""
    with not_searched():
        import gradio as gr
    pool().warm()  # as the app does at its start
    store = Store(settings.database)
    with Supervisor(settings) as engine:
        runs = RunManager(store, settings)
        services = Services(settings, store, engine, runs)
        with not_searched(stays=True), gr.Blocks():
            parts = render(services, "en", ())
        flow = AskFlow(services, "en", parts, ConversationKeeper(store), ())
        began = time.monotonic()
        engine.start(*plan_start(settings, "demo"))
        now = await asyncio.to_thread(engine.wait, None, LIMIT)
        to_ready = time.monotonic() - began
        if now.state is not EngineState.READY:
            raise SystemExit(now.failure.message() if now.failure else f"the engine is {now.state}")
        answers = [await _answer(flow, parts, _picture(settings.data_dir, turn)) for turn in range(1 + LATER)]
        runs.close()
    store.close()
    return to_ready, answers


async def _answer(flow: AskFlow, parts: AskParts, path: Path) -> float:
    began = time.monotonic()
    options = (0.0, 0.9, "16", "", "", "", "", "benchmark")
    shown = False
    async for update in flow.send({"text": "What shape is this?", "files": [str(path)]}, Conversation(), *options):
        rows = update.get(parts.chatbot) or []
        shown = shown or bool(rows and rows[-1]["role"] == "assistant")
    if not shown:
        raise SystemExit("the page gave no answer")
    return time.monotonic() - began


def _picture(folder: Path, number: int) -> Path:
    picture = Image.new("RGB", (640, 480), "white")
    edge = 100 + 20 * number
    ImageDraw.Draw(picture).ellipse((edge, 120, edge + 240, 360), fill=(220, 30, 30))
    out = io.BytesIO()
    picture.save(out, "PNG")
    path = folder / f"{number}.png"
    path.write_bytes(out.getvalue())
    return path
