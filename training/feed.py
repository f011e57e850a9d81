"""Joins chunks into batches on the device, drawn ahead of need in a thread of its own."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from training.batches import Chunk
from training.processor import IMAGE_SIDE, PATCH
from training.render_torch import Renderer
from training.targets import PatchTargets, patch_targets

LABELS_A_ROW, QUESTIONS_A_ROW = 72, 20  # more than rows ever hold on average


@dataclass
class Batch:
    """Chunks joined on the device: pictures (B, 3, side, side) in 0..1; tokens, positions, blocks as in Chunk.

    where, labels, number: (K,), the flat places that have a label, the labels, and whose question each belongs to.
    types, langs: (Q,), for each question.  K and Q are fixed by the number of rows, so that a step can be recorded as
    a CUDA graph; what is not used is labelled -100, belongs to the last question, and has type -1.
    """

    pictures: Tensor
    targets: PatchTargets
    tokens: Tensor
    positions: Tensor
    blocks: Tensor
    where: Tensor
    labels: Tensor
    number: Tensor
    types: Tensor
    langs: Tensor


def join(chunks: list[Chunk], renderer: Renderer) -> Batch:
    """Draw the chunks' pictures and return them as one batch."""
    device = renderer.device
    pictures, targets, offset, asked = [], [], 0, []
    for chunk in chunks:
        if chunk.pictures is None:
            pictures.append(renderer.draw(chunk.arrays))
        else:
            pictures.append(torch.from_numpy(chunk.pictures).to(device).permute(0, 3, 1, 2).float() / 255)
        targets.append(patch_targets(chunk.arrays, IMAGE_SIDE // PATCH, device, renderer.distance))
        asked.append(np.where(chunk.asked >= 0, chunk.asked + offset, -1))
        offset += len(chunk.types)
    parts = {
        name: torch.from_numpy(np.concatenate([getattr(c, name) for c in chunks])).to(device, non_blocking=True)
        for name in ("tokens", "positions", "blocks")
    }
    merged = PatchTargets(*(torch.cat([getattr(t, f.name) for t in targets]) for f in fields(PatchTargets)))
    labels, number = np.concatenate([c.labels for c in chunks]).ravel(), np.concatenate(asked).ravel()
    rows = sum(len(c.tokens) for c in chunks)
    where = np.flatnonzero(labels >= 0)[: rows * LABELS_A_ROW]
    room = rows * LABELS_A_ROW
    questions = rows * QUESTIONS_A_ROW
    for name, array, size, fill in (
        ("where", where, room, 0),
        ("labels", labels[where], room, -100),
        ("number", number[where], room, questions - 1),
        ("types", np.concatenate([c.types for c in chunks]), questions, -1),
        ("langs", np.concatenate([c.langs for c in chunks]), questions, -1),
    ):
        padded = np.full(size, fill, np.int64)
        padded[: len(array)] = array
        parts[name] = torch.from_numpy(padded).to(device, non_blocking=True)
    return Batch(torch.cat(pictures), merged, **parts)


def tensors_of(batch: Batch) -> list[Tensor]:
    """Return every tensor of a batch, in a fixed order."""
    return [*(getattr(batch.targets, f.name) for f in fields(PatchTargets)),
            *(v for f in fields(Batch) if isinstance(v := getattr(batch, f.name), Tensor))]  # fmt: skip


class Prefetcher:
    """Draws batches ahead in a thread of its own, on a stream of its own where there is a GPU."""

    def __init__(self, chunks: Iterator[Chunk], renderer: Renderer, per_batch: int, depth: int = 3) -> None:
        self._chunks, self._renderer, self._per_batch = chunks, renderer, per_batch
        self._queue: queue.Queue[tuple[Batch, torch.cuda.Event | None] | BaseException] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        cuda = self._renderer.device.type == "cuda"
        stream = torch.cuda.Stream() if cuda else None  # type: ignore[no-untyped-call]
        try:
            while not self._stop.is_set():
                parts = [next(self._chunks) for _ in range(self._per_batch)]
                event = None
                with torch.cuda.stream(stream):
                    batch = join(parts, self._renderer)
                    if stream is not None:
                        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                        event.record(stream)
                self._put((batch, event))
        except BaseException as error:  # handed to the consumer, which raises it
            self._put(error)

    def _put(self, item: "tuple[Batch, torch.cuda.Event | None] | BaseException") -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return

    def __next__(self) -> Batch:
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        batch, event = item
        if event is not None:
            current = torch.cuda.current_stream()
            current.wait_event(event)
            # The tensors were made on the other stream: its allocator must not reuse them before this one is done.
            for value in tensors_of(batch):
                value.record_stream(current)
        return batch

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        while not self._queue.empty():
            self._queue.get_nowait()
        self._thread.join(timeout=20)
