"""Every architecture of the catalog under the real vLLM: a twin of it is started, asked and stopped like the model.

`make test-models` runs all of them; two also run with the other tests. With TWIN_ROWS=FILE each writes what it found as
one line of JSON, from which scripts/models_table.py makes docs/models.md.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx2 as httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.ports import free_port
from vqa.answers import Answer, Question, Sampling, Turn
from vqa.cli import main
from vqa.client import Client
from vqa.engine.machine import Machine
from vqa.engine.spec import EngineSpec
from vqa.engine.state import EngineState
from vqa.engine.supervisor import Supervisor
from vqa.media.images import ImagePayload, load_image
from vqa.models.catalog import command_flags, find
from vqa.models.twins.write import write_twin
from vqa.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(1500)]
ROWS = os.environ.get("TWIN_ROWS")
PYTHON = os.environ.get("VQA_VLLM_PYTHON")  # read before the fixture that clears it for every test
SIZES = ((64, 64), (448, 448), (1600, 1000), (300, 4000))
WORDS = 8
"""Tokens of an answer: a model with random weights never ends by itself."""


def _smolvlm(tile: int, marks: int, whole: int, rows: int, columns: int) -> int:
    """Tokens of `rows` x `columns` tiles with a new line after each row, and of the copy of the whole."""
    return rows * columns * (tile + marks) + rows + whole


IMAGE_TOKENS = {
    # 256 a tile of 448 x 448, up to 12 of them and a small copy of the whole, between two marks.
    "OpenGVLab/InternVL2_5-1B": (1 * 256 + 2, 1 * 256 + 2, 7 * 256 + 2, 13 * 256 + 2),
    "OpenGVLab/InternVL2_5-2B": (1 * 256 + 2, 1 * 256 + 2, 7 * 256 + 2, 13 * 256 + 2),
    "OpenGVLab/InternVL3_5-1B": (1 * 256 + 2, 1 * 256 + 2, 7 * 256 + 2, 13 * 256 + 2),
    # One for 28 x 28 pixels, sides rounded to the nearest whole number.
    "Qwen/Qwen2.5-VL-3B-Instruct": (2 * 2, 16 * 16, 57 * 36, 11 * 143),
    "Qwen/Qwen2.5-VL-7B-Instruct": (2 * 2, 16 * 16, 57 * 36, 11 * 143),
    # One for 32 x 32 pixels, and at least 256 x 256 pixels.
    "Qwen/Qwen3-VL-8B-Instruct": (8 * 8, 14 * 14, 50 * 31, 9 * 125),
    "Qwen/Qwen3-VL-2B-Instruct": (8 * 8, 14 * 14, 50 * 31, 9 * 125),
    "Qwen/Qwen3.5-0.8B": (8 * 8, 14 * 14, 50 * 31, 9 * 125),
    # Made four tiles long, cut into rows and columns, each after two marks; last a small copy of the whole.
    "HuggingFaceTB/SmolVLM-256M-Instruct": tuple(
        _smolvlm(64, 2, 68, *grid) for grid in ((4, 4), (4, 4), (3, 4), (4, 1))
    ),
    # The same with marks that are text: in the twin's tokens "<row_1_col_1>" is eleven, "<global-img>" ten.
    "HuggingFaceTB/SmolVLM-Instruct": tuple(_smolvlm(81, 12, 94, *grid) for grid in ((4, 4), (4, 4), (3, 4), (4, 1))),
    # One for 32 x 32 pixels, 64 to 256 of them; larger ones are cut into tiles of 256 with a mark, and a small copy.
    "LiquidAI/LFM2.5-VL-450M": (64 + 2, 14 * 14 + 2, 6 * 257 + 1 + 20 * 12 + 2, 10 * 257 + 1 + 58 * 4 + 2),
    # Always 256, between two marks and two empty lines that are one token each.
    "google/gemma-3-4b-it": (256 + 4,) * 4,
    # The whole at 27 x 27, and the picture at up to 6 x 6 tiles without what fills them up, a new line after each row;
    # more than 9 tiles of patches are made fewer.
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": (
        729 + 27 * 27 + 27,
        729 + 54 * 54 + 54,
        729 + 64 * 102 + 64,
        729 + 162 * 13 + 162,
    ),
    # One for 28 x 28 pixels of at most 1,540 a side, rounded up, and a mark after each row.
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": (3 * 3 + 3, 16 * 16 + 16, 55 * 35 + 35, 5 * 55 + 55),
    # One for 28 x 28 pixels, sides rounded to the nearest whole number, and at least 12,544 pixels in two frames.
    "zai-org/GLM-4.1V-9B-Thinking": (3 * 3, 16 * 16, 57 * 36, 11 * 143),
}
"""For each size, by the rules that the publishers describe."""
BEYOND_THE_CATALOG = {"max_model_len": 8192, "limit_mm_per_prompt": json.dumps({"image": 4})}
WITH_THE_OTHERS = ("OpenGVLab/InternVL2_5-1B", "Qwen/Qwen2.5-VL-3B-Instruct")


@dataclass
class Row:
    """What was found of one model."""

    id: str
    architecture: str
    flags: str
    versions: str = ""
    device: str = ""
    seconds_to_ready: float = 0.0
    image_tokens: dict[str, int] = field(default_factory=dict)
    seconds_to_first_token: dict[str, float] = field(default_factory=dict)
    distinct_of_5: int | None = None
    problem: str = ""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], ImagePayload]:
    folder = tmp_path_factory.mktemp("pictures")
    return {size: load_image(noise(folder / f"{size[0]}x{size[1]}.jpg", size)) for size in SIZES}


def noise(path: Path, size: tuple[int, int]) -> Path:
    pixels = np.random.default_rng(sum(size)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")
    return path


@contextmanager
def noted(row: Row) -> Iterator[None]:
    try:
        yield
    except BaseException as problem:
        row.problem = row.problem or (str(problem).strip() or type(problem).__name__).splitlines()[0][:200]
        raise
    finally:
        if ROWS:
            with Path(ROWS).open("a", encoding="utf-8") as out:
                out.write(json.dumps(asdict(row)) + "\n")


@pytest.mark.parametrize(
    "model_id",
    [pytest.param(each, marks=[] if each in WITH_THE_OTHERS else pytest.mark.models) for each in IMAGE_TOKENS],
)
def test_a_twin_is_served_asked_and_stopped_as_the_model_would_be(
    model_id: str, tmp_path: Path, pictures: dict[tuple[int, int], ImagePayload]
) -> None:
    entry = find(model_id)
    flags = dict(entry.flags) if entry else BEYOND_THE_CATALOG
    more = {"vllm_python": Path(PYTHON)} if PYTHON else {}
    settings = Settings(data_dir=tmp_path / "data", engine_port=free_port(), **more)  # type: ignore[arg-type]
    write_twin(model_id, tmp_path / "twin")
    architecture = json.loads((tmp_path / "twin" / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    row = Row(model_id, architecture, command_flags(flags))
    # Without compiling: that takes a minute of these cores and changes nothing of what is looked at here.
    spec = EngineSpec(
        str(tmp_path / "twin"),
        port=settings.engine_port,
        enforce_eager=True,
        **flags,  # type: ignore[arg-type]
    )
    with noted(row), Supervisor(settings) as engine:
        machine = Machine.load(settings)
        row.versions, row.device = f"{machine.vllm_distribution} {machine.vllm_version}", machine.device
        began = time.monotonic()
        engine.start(spec)
        ready = engine.wait(timeout=1200)
        row.seconds_to_ready = round(time.monotonic() - began, 1)
        if ready.state is not EngineState.READY:
            row.problem = f"it does not start: {ready.failure.message() if ready.failure else ready.state}"
            pytest.fail("\n".join((row.problem, *engine.log_tail(60))))
        asyncio.run(asks(spec, row, pictures))
        repeats_five_times(spec, row, tmp_path)
        engine.stop()
        assert engine.wait(timeout=120).state is EngineState.STOPPED
        assert [pid for pid in ready.pids if alive(pid)] == []


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def asks(spec: EngineSpec, row: Row, pictures: dict[tuple[int, int], ImagePayload]) -> None:
    async with Client(spec.base_url) as client:
        await sees_pictures_of_every_size(client, row, pictures)
        await talks_of_its_pictures_for_three_turns(client, row, pictures[SIZES[0]])


async def sees_pictures_of_every_size(client: Client, row: Row, pictures: dict[tuple[int, int], ImagePayload]) -> None:
    for size, expected in zip(SIZES, IMAGE_TOKENS[row.id], strict=True):
        answer = await asked(client, Question("What is this?", (pictures[size],)))
        row.image_tokens["x".join(map(str, size))] = answer.image_tokens or 0
        row.seconds_to_first_token["x".join(map(str, size))] = round(answer.seconds_to_first_token or 0, 1)
        assert answer.image_tokens == expected, f"{size}: {answer.image_tokens} image tokens, not {expected}"
        await reads_its_own_words_as_the_same_tokens(client, answer)
    three = await asked(client, Question("What is in each?", (pictures[SIZES[0]],) * 3))
    assert three.image_tokens == 3 * IMAGE_TOKENS[row.id][0]


async def asked(client: Client, question: Question) -> Answer:
    question = Question(question.text, question.images, question.history, sampling=Sampling(max_tokens=WORDS))
    counted = await client.prompt_tokens(question)
    answer = await client.ask(question)
    assert (answer.completion_tokens, answer.finish_reason) == (WORDS, "length")
    assert counted == answer.prompt_tokens
    return answer


async def reads_its_own_words_as_the_same_tokens(client: Client, answer: Answer) -> None:
    root = client.base_url.removesuffix("/v1")
    async with httpx.AsyncClient(trust_env=False) as plain:
        body = {"model": answer.model, "prompt": answer.text, "add_special_tokens": False}
        read = (await plain.post(f"{root}/tokenize", json=body)).json()["tokens"]
    assert tuple(read) == answer.token_ids


async def talks_of_its_pictures_for_three_turns(client: Client, row: Row, picture: ImagePayload) -> None:
    turns: tuple[Turn, ...] = ()
    lengths = []
    for text, images in (("What is this?", (picture,)), ("And this?", (picture,)), ("Are they alike?", ())):
        answer = await asked(client, Question(text, images, turns))
        turns = (*turns, Turn("user", text, images), Turn("assistant", answer.text))
        lengths.append(answer.prompt_tokens or 0)
    assert lengths == sorted(lengths)
    assert answer.image_tokens == 2 * IMAGE_TOKENS[row.id][0]


def repeats_five_times(spec: EngineSpec, row: Row, folder: Path) -> None:
    picture, report = noise(folder / "repeated.jpg", (448, 448)), folder / "repeat.csv"
    arguments = ["repeat", str(picture), "What is this?", "-n", "5", "--max-tokens", str(WORDS)]
    assert main([*arguments, "--base-url", spec.base_url, "--csv", str(report)]) in {0, 1}
    with report.open(encoding="utf-8", newline="") as file:
        answers = [line["text"] for line in csv.DictReader(file)]
    assert len(answers) == 5
    row.distinct_of_5 = len(set(answers))
