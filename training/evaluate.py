"""Measures a checkpoint on held-out questions and on easy-VQA, through a served vLLM or in transformers."""

import argparse
import base64
import io
import json
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
from PIL import Image

from training.lexicon import Lang
from training.phrases import SYSTEM
from training.questions import Asker, Question, ask
from training.render_pil import render
from training.scenes import Scene, SceneOptions, sample_scene

FIRST_HELD_OUT = 10**12  # far above every seed that training or validation reaches
MAX_TOKENS = 96
Message = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One question as a conversation; where a message's part is of type 'image', `image` belongs, or its data `url`."""

    key: str
    type: str
    lang: str
    image: Image.Image
    url: str
    messages: list[Message]
    answer: str


@dataclass(frozen=True)
class Result:
    """What a model answered to an item."""

    key: str
    type: str
    lang: str
    question: str
    expected: str
    answered: str

    @property
    def right(self) -> bool:
        """Whether the answer is exactly the expected one."""
        return self.answered == self.expected


def _converse(rng: random.Random, scene: Scene, question: Question) -> tuple[str, list[Message], str]:
    """Return (type, messages, answer): the picture first or last, with or without system turn or second question."""
    picture, text = {"type": "image"}, {"type": "text", "text": question.text}
    content = [text, picture] if rng.random() < 0.25 else [picture, text]
    messages: list[Message] = [{"role": "user", "content": content}]
    kind, answer = question.type, question.answer
    follow = Asker(scene, question.lang, rng).follow(question) if rng.random() < 0.2 else None
    if follow is not None:
        messages.append({"role": "assistant", "content": question.answer})
        messages.append({"role": "user", "content": [{"type": "text", "text": follow.text}]})
        kind, answer = follow.type, follow.answer
    if rng.random() < 0.15:
        messages.insert(0, {"role": "system", "content": rng.choice([s for s in SYSTEM if s])})
    return kind, messages, answer


def held_out(count: int) -> Iterator[Item]:
    """Yield `count` questions about scenes of unseen seeds, drawn by PIL in 64 to 2000 pixels; half are Chinese."""
    made, seed = 0, FIRST_HELD_OUT
    while made < count:
        scene = sample_scene(seed, SceneOptions(largest=2000, squarest=1.25))
        rng = random.Random(seed)
        image = render(scene)
        url = _data_url(image)
        for lang in Lang:
            for question in ask(scene, lang, rng, 2):
                kind, messages, answer = _converse(rng, scene, question)
                if made < count:
                    yield Item(f"{seed}-{made}", kind, lang, image, url, messages, answer)
                    made += 1
        seed += 1


def easy_vqa(count: int) -> Iterator[Item]:
    """Yield the first `count` questions of easy-VQA's test split, as they stand."""
    from easy_vqa import get_test_image_paths, get_test_questions

    paths = get_test_image_paths()
    questions = list(zip(*get_test_questions(), strict=True))[:count]
    for number, (text, answer, image_id) in enumerate(questions):
        image = Image.open(paths[image_id]).convert("RGB")
        content = [{"type": "image"}, {"type": "text", "text": text}]
        kind = "yes/no" if answer in ("yes", "no") else "color" if "color" in text else "shape"
        messages: list[Message] = [{"role": "user", "content": content}]
        yield Item(f"easy-{number}", kind, "en", image, _data_url(image), messages, answer)


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _result(item: Item, answered: str) -> Result:
    last = item.messages[-1]["content"]
    question = "".join(part.get("text", "") for part in last)
    return Result(item.key, item.type, item.lang, question, item.answer, answered)


class Served:
    """Asks an OpenAI-compatible server at temperature 0."""

    def __init__(self, url: str, model: str) -> None:
        self.model = model
        # The server drops idle connections after five seconds, so they are not kept that long here.
        self.client = httpx.Client(base_url=url, timeout=600, limits=httpx.Limits(keepalive_expiry=1.0))

    def answer(self, item: Item) -> Result:
        """Return what the server answers to `item`."""
        messages = []
        for message in item.messages:
            content = message["content"]
            if not isinstance(content, str):
                picture = {"type": "image_url", "image_url": {"url": item.url}}
                content = [part if part["type"] == "text" else picture for part in content]
            messages.append({"role": message["role"], "content": content})
        body = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
        reply = self.client.post("/chat/completions", json=body)
        reply.raise_for_status()
        return _result(item, reply.json()["choices"][0]["message"]["content"])

    def answers(self, items: Iterable[Item], at_once: int) -> Iterator[Result]:
        """Yield results in the order of `items`, `at_once` requests in flight."""
        with ThreadPoolExecutor(at_once) as pool:
            batch: list[Item] = []
            for item in items:
                batch.append(item)
                if len(batch) == 8 * at_once:
                    yield from pool.map(self.answer, batch)
                    batch = []
            yield from pool.map(self.answer, batch)


class InTransformers:
    """Answers greedily in transformers, in bf16 as the server does."""

    def __init__(self, folder: str) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.torch = torch
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16).eval()

    def answer(self, item: Item) -> Result:
        """Return what the model answers to `item`."""
        text = self.processor.apply_chat_template(item.messages, add_generation_prompt=True)
        inputs = self.processor(text=text, images=[item.image], return_tensors="pt")
        inputs["pixel_values"] = inputs["pixel_values"].to(self.torch.bfloat16)
        with self.torch.no_grad():
            out = self.model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        new = out[0, inputs["input_ids"].shape[1] :]
        return _result(item, self.processor.tokenizer.decode(new, skip_special_tokens=True))


def summary(results: list[Result]) -> dict[str, Any]:
    """Return the share of exact answers in all, by language and by type, with counts."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for result in results:
        for group in ("all", f"lang {result.lang}", f"type {result.type}", f"{result.type} {result.lang}"):
            groups[group].append(result.right)
    return {key: {"exact": sum(v) / len(v), "questions": len(v)} for key, v in sorted(groups.items())}


def agreement(results: list[Result], other: Path) -> dict[str, Any]:
    """Return how many answers equal those in another run's file, over the questions that both have."""
    theirs = {r["key"]: r["answered"] for r in json.loads(other.read_text(encoding="utf-8"))["results"]}
    same = [r.answered == theirs[r.key] for r in results if r.key in theirs]
    return {"same": sum(same) / max(1, len(same)), "questions": len(same)}


def main() -> None:
    """Measure, print a table, and write every answer to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=("held-out", "easy-vqa"), default="held-out")
    parser.add_argument("--questions", type=int, default=5000)
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1", help="the server's base address")
    parser.add_argument("--model", default="demo", help="the served model's name")
    parser.add_argument("--transformers", metavar="FOLDER", help="answer in transformers instead of asking a server")
    parser.add_argument("--at-once", type=int, default=8, help="requests in flight")
    parser.add_argument("--agree-with", type=Path, help="an earlier run's file to compare answers with")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    items = held_out(options.questions) if options.set == "held-out" else easy_vqa(options.questions)
    began = time.monotonic()
    if options.transformers:
        local = InTransformers(options.transformers)
        stream: Iterable[Result] = (local.answer(item) for item in items)
    else:
        stream = Served(options.url, options.model).answers(items, options.at_once)
    results = []
    for result in stream:
        results.append(result)
        if len(results) % 500 == 0:
            right = sum(r.right for r in results) / len(results)
            print(f"{len(results)} questions, {right:.4f} exact, {time.monotonic() - began:.0f} s", flush=True)
    report: dict[str, Any] = {"set": options.set, "seconds": time.monotonic() - began, "summary": summary(results)}
    if options.agree_with:
        report["agreement"] = agreement(results, options.agree_with)
    for key, value in report["summary"].items():
        print(f"{key:24s} {value['exact']:.4f} of {value['questions']}")
    print(report.get("agreement", ""))
    report["results"] = [asdict(r) for r in results]
    options.out.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
