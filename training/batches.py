"""Makes training rows: pictures' parameters, and conversations about them packed side by side."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from training.lexicon import Lang
from training.phrases import SYSTEM
from training.processor import (
    ASSISTANT,
    END,
    FAKE,
    GLOBAL,
    IMAGE,
    IMAGE_SIDE,
    IMAGE_TOKENS,
    PAD,
    SYSTEM_ROLE,
    USER,
    Codec,
)
from training.questions import Asker, Question, ask
from training.render_pil import render, squash
from training.render_torch import SceneArrays, pack
from training.scenes import MAX_SHAPES, Scene, SceneOptions, sample_scene, sample_size

ROW_LENGTH = 288
TYPES = (
    "shape", "color", "count_all", "count_color", "count_shape", "count_both", "exists", "relation", "larger", "number",
    "describe", "fill", "size", "absent", "foreign", "decline", "follow",
)  # fmt: skip
PAD_BLOCK = 10_000
LONGEST_GAP = 1500


@dataclass
class Chunk:
    """Rows about pictures of one native size. B rows of L tokens.

    tokens, positions, blocks, labels, asked: (B, L) int64.  A token sees earlier tokens of block 0 and of its own
    block; labels are the ids to predict at each place or -100; asked numbers the questions of the chunk, or -1.
    types, langs: for each question, its index in TYPES and whether it is Chinese.
    pictures: (B, side, side, 3) uint8 where PIL drew them, else None and the tensors' renderer draws `arrays`.
    """

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    blocks: NDArray[np.int64]
    labels: NDArray[np.int64]
    asked: NDArray[np.int64]
    types: NDArray[np.int64]
    langs: NDArray[np.int64]
    arrays: SceneArrays
    pictures: NDArray[np.uint8] | None


class Row:
    """One row under construction: a shared beginning (block 0), then conversations that do not see each other.

    `gap` places stay empty between the two, as if much had been said since the picture was shown.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.blocks: list[int] = []
        self.labels: list[int] = []
        self.asked: list[int] = []
        self.start = 0
        self.gap = 0

    def shared(self, ids: list[int]) -> None:
        """Append ids that every conversation of the row sees."""
        self._extend(ids, 0, len(self.tokens))
        self.start = len(self.tokens)

    def _extend(self, ids: list[int], block: int, position: int) -> None:
        self.tokens += ids
        self.positions += range(position, position + len(ids))
        self.blocks += [block] * len(ids)
        self.labels += [-100] * len(ids)
        self.asked += [-1] * len(ids)

    def talk(self, block: int, prompt: list[int], answer: list[int], number: int) -> bool:
        """Append a conversation that ends in `answer`; return False where it does not fit."""
        if len(self.tokens) + len(prompt) + len(answer) > ROW_LENGTH:
            return False
        first = len(self.tokens) + len(prompt) - 1
        position = self.start + self.gap if block else len(self.tokens)
        self._extend(prompt + answer[:-1], block, position)
        for offset, token in enumerate(answer):
            self.labels[first + offset] = token
            self.asked[first + offset] = number
        return True


def _turn(codec: Codec, role: str, ids: list[int]) -> list[int]:
    return [codec.ids[role], *ids, codec.ids[END]]


def image_ids(codec: Codec) -> list[int]:
    """Return the ids that stand for one picture."""
    ids = codec.ids
    return [ids[FAKE], ids[GLOBAL], *[ids[IMAGE]] * IMAGE_TOKENS, ids[FAKE]]


class Builder:
    """Builds the rows of one chunk and keeps the books on its questions."""

    def __init__(self, codec: Codec, rng: random.Random) -> None:
        self.codec, self.rng = codec, rng
        self.types: list[int] = []
        self.langs: list[int] = []

    def _talk(self, row: Row, block: int, prompt: list[int], question: Question) -> bool:
        answer = [*self.codec.write(question.answer), self.codec.ids[END]]
        if not row.talk(block, prompt, answer, len(self.types)):
            return False
        self.types.append(TYPES.index(question.type))
        self.langs.append(int(question.lang is Lang.ZH))
        return True

    def row(self, scene: Scene, questions: list[Question]) -> Row:
        """Return a row with as many of `questions` as fit, in one of the forms that conversations take."""
        codec, rng, row = self.codec, self.rng, Row(self.codec)
        end, user, reply = codec.ids[END], codec.ids[USER], codec.ids[ASSISTANT]
        system = _turn(codec, SYSTEM_ROLE, codec.read(rng.choice(SYSTEM))) if rng.random() < 0.15 else []
        if rng.random() < 0.015:  # no picture at all
            question = Asker(scene, questions[0].lang, rng).foreign()
            self._talk(row, 0, [*system, user, *codec.read(question.text), end, reply], question)
            return row
        if rng.random() < 0.25:
            self._conversation(row, system, questions)
            return row
        row.shared([*system, user, *image_ids(codec)])
        row.gap = int(math.exp(rng.uniform(0, math.log(LONGEST_GAP)))) if rng.random() < 0.3 else 0
        for i, question in enumerate(questions):
            prompt = [*codec.read(question.text), end, reply]
            if not self._talk(row, 2 * i + 1, prompt, question):
                break
            follow = Asker(scene, question.lang, rng).follow(question) if rng.random() < 0.12 else None
            if follow is not None:
                prompt = [*prompt, *codec.read(question.answer), end, user, *codec.read(follow.text), end, reply]
                self._talk(row, 2 * i + 2, prompt, follow)
        return row

    def _conversation(self, row: Row, system: list[int], questions: list[Question]) -> None:
        """Append one conversation of up to eight turns; the first text stands before or after the picture."""
        codec, ids = self.codec, self.codec.ids
        picture, before = image_ids(codec), self.rng.random() < 0.65
        turns = questions[: self.rng.choice((1, 1, 1, 2, 3, 5, 8))]
        pending = system
        for i, question in enumerate(turns):
            text = codec.read(question.text)
            opening = text if i else [*text, *picture] if before else [*picture, *text]
            prompt = [*pending, ids[USER], *opening, ids[END], ids[ASSISTANT]]
            read = codec.read(question.answer)
            # What was said is read again lower-cased: only where that changes nothing can it be learnt as well.
            if i == len(turns) - 1 or read == codec.write(question.answer):
                if not self._talk(row, 0, prompt, question):
                    return
                pending = [ids[END]]
            else:
                pending = [*prompt, *read, ids[END]]


def _stack(rows: list[Row], name: str, fill: int) -> NDArray[np.int64]:
    out = np.full((len(rows), ROW_LENGTH), fill, np.int64)
    for i, row in enumerate(rows):
        values = getattr(row, name)
        out[i, : len(values)] = values
    return out


@dataclass(frozen=True)
class ChunkOptions:
    """How chunks are drawn; `curriculum` is the number of chunks until scenes are as full as they get."""

    seed: int
    rows: int = 64
    questions: int = 12
    pil_share: float = 0.1
    curriculum: int = 0
    largest_pil: int = 640
    langs: tuple[Lang, ...] = tuple(Lang)


def _chunk_size(rng: random.Random, drawn_by_pil: bool, largest: int) -> tuple[int, int]:
    """Return (width, height): for tensors at most 256 pixels long, as the processor reduces longer pictures to that."""
    if drawn_by_pil:
        return sample_size(rng, largest)
    width, height = sample_size(rng, IMAGE_SIDE)
    if rng.random() < 0.55:
        scale = IMAGE_SIDE / max(width, height)
        width, height = round(width * scale), round(height * scale)
    return width, height


def build_chunk(codec: Codec, options: ChunkOptions, index: int) -> Chunk:
    """Return chunk number `index` of the stream that `options.seed` names; the same every time."""
    rng = random.Random(options.seed * 1_000_003 + index)
    drawn_by_pil = rng.random() < options.pil_share
    size = _chunk_size(rng, drawn_by_pil, options.largest_pil)
    full = 1.0 if index >= options.curriculum else index / options.curriculum
    limit = min(MAX_SHAPES, 2 + int(full * (MAX_SHAPES - 1)))
    scene_options = SceneOptions(max_shapes=limit, size=size)
    first = (options.seed * 1_000_000 + index) * options.rows
    scenes = [sample_scene(first + i, scene_options) for i in range(options.rows)]
    builder, rows = Builder(codec, rng), []
    for scene in scenes:
        each = options.questions // len(options.langs)
        questions = [question for lang in options.langs for question in ask(scene, lang, rng, each)]
        rng.shuffle(questions)
        rows.append(builder.row(scene, questions))
    pictures = np.stack([np.asarray(squash(render(s), IMAGE_SIDE)) for s in scenes]) if drawn_by_pil else None
    return Chunk(
        tokens=_stack(rows, "tokens", codec.ids[PAD]),
        positions=_stack(rows, "positions", 0),
        blocks=_stack(rows, "blocks", PAD_BLOCK),
        labels=_stack(rows, "labels", -100),
        asked=_stack(rows, "asked", -1),
        types=np.array(builder.types),
        langs=np.array(builder.langs),
        arrays=pack(scenes),
        pictures=pictures,
    )


class ChunkStream(IterableDataset[Chunk]):
    """An endless stream of chunks from number `start` on, spread over the loader's workers in a fixed order."""

    def __init__(self, codec: Codec, options: ChunkOptions, start: int) -> None:
        self.codec, self.options, self.start = codec, options, start

    def __iter__(self) -> Iterator[Chunk]:
        info = get_worker_info()
        step, index = (info.num_workers, self.start + info.id) if info else (1, self.start)
        while True:
            yield build_chunk(self.codec, self.options, index)
            index += step
