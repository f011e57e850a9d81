"""Trains the demo model: first its tower to see, then all of it to answer; stops by the clock and can go on later."""

import argparse
import itertools
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader

from training.batches import Chunk, ChunkOptions, ChunkStream, build_chunk
from training.feed import Batch, Prefetcher, join
from training.model import DemoModel, export
from training.processor import IMAGE_SIDE, Codec, build_tokenizer
from training.render_torch import Renderer
from training.steps import Stepper, validate

VALIDATION_SEED = 7  # no training stream may use it


def parameter_groups(model: DemoModel, decay: float) -> list[dict[str, object]]:
    """Return AdamW's groups: matrices decay; norms, biases and embeddings do not."""
    plain = [p for n, p in model.named_parameters() if p.ndim < 2 or "embed" in n]
    matrices = [p for n, p in model.named_parameters() if not (p.ndim < 2 or "embed" in n)]
    return [{"params": matrices, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]


def save(model: DemoModel, optimizer: torch.optim.Optimizer, chunk: int, path: Path) -> None:
    """Write everything that `--resume` needs, at once or not at all."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "chunk": chunk}
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def save_small(model: DemoModel, chunk: int, folder: Path, shards: int = 3) -> None:
    """Write the weights alone in bf16, in shards under 16 MiB, for going on elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    items = [(k, v.to(torch.bfloat16)) for k, v in model.state_dict().items() if not k.endswith("lm_head.weight")]
    for i in range(shards):
        torch.save({"model": dict(items[i::shards]), "chunk": chunk}, folder / f"weights-{i}.pt")


def resume(model: DemoModel, optimizer: torch.optim.Optimizer, path: Path) -> int:
    """Load a checkpoint file, or a folder of `save_small`'s shards; return the number of the next chunk."""
    if path.is_dir():
        chunk = 0
        weights: dict[str, Tensor] = {}
        for part in sorted(path.glob("weights-*.pt")):
            state = torch.load(part, map_location="cpu", weights_only=True)
            weights.update(state["model"])
            chunk = state["chunk"]
        missing, unexpected = model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
        assert not unexpected and all(k.endswith("lm_head.weight") for k in missing), (missing, unexpected)
        return chunk
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    rates = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state["optimizer"])
    for group, learning_rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = learning_rate  # the tensor that the loop sets, not a copy
    return int(state["chunk"])


def rate(elapsed: float, step: int, options: argparse.Namespace) -> float:
    """Return the learning rate: a warm-up by steps, then a cosine by the clock from `lr` to `lr_end`."""
    share = min(1.0, elapsed / options.seconds)
    cosine = options.lr_end + (options.lr - options.lr_end) * 0.5 * (1 + math.cos(math.pi * share))
    return float(cosine * min(1.0, (step + 1) / options.warmup))


def chunk_options(options: argparse.Namespace) -> ChunkOptions:
    """Return how the training chunks are drawn."""
    return ChunkOptions(options.seed, options.rows, pil_share=options.pil_share, curriculum=options.curriculum)


def stream(codec: Codec, options: argparse.Namespace, start: int) -> Iterator[Chunk]:
    """Return the training chunks from number `start` on; the workers start at once."""
    if options.overfit:
        return itertools.cycle([build_chunk(codec, chunk_options(options), i) for i in range(options.chunks)])
    workers = options.workers
    loader = DataLoader(
        ChunkStream(codec, chunk_options(options), start), batch_size=None, num_workers=workers,
        prefetch_factor=12 if workers else None, worker_init_fn=_one_thread if workers else None,
    )  # fmt: skip
    return iter(loader)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


@dataclass
class Outcome:
    """What a run came to: the last validation's scores, and the losses (answers, sight) noted on the way."""

    scores: dict[str, float]
    losses: list[tuple[float, float]]


class Run:
    """One run of training by the clock."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.began = time.monotonic()
        torch.manual_seed(options.seed)
        torch.set_float32_matmul_precision("high")
        self.device = torch.device(options.device)
        cuda = self.device.type == "cuda"
        self.autocast = torch.bfloat16 if cuda else None
        self.tokenizer = Tokenizer.from_file(str(options.tokenizer)) if options.tokenizer else build_tokenizer()
        self.codec, self.renderer = Codec(self.tokenizer), Renderer(self.device, IMAGE_SIDE)
        self.model = DemoModel(self.tokenizer).to(self.device)
        self.learning_rate = torch.zeros((), device=self.device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, 0.05), lr=self.learning_rate, betas=(0.9, 0.98), fused=cuda, capturable=cuda
        )
        resumes = options.resume is not None and options.resume.exists()
        self.chunk = resume(self.model, self.optimizer, options.resume) if resumes else 0
        self.losses: list[tuple[float, float]] = []
        self._say(f"ready, starting at chunk {self.chunk}")

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:.0f}s] {text}", flush=True)

    def train(self) -> Outcome:
        """Train; write the checkpoints that the options ask for."""
        options = self.options
        # The workers fork here, before any other thread runs that could hold a lock.
        ahead = stream(self.codec, options, self.chunk)
        trials = self._trials()
        stepper = self._stepper(trials)
        chunks = Prefetcher(ahead, self.renderer, options.chunks)
        started = reported = time.monotonic()
        step = 0
        while (elapsed := time.monotonic() - started) < options.seconds and step != options.steps:
            batch = next(chunks)
            self.chunk += options.chunks
            self.learning_rate.fill_(rate(elapsed, step, options))
            answers, sight = stepper(batch, reading=elapsed >= options.sight_seconds)
            if step % options.note == 0:
                self.losses.append((float(answers), float(sight)))
            step += 1
            if time.monotonic() - reported > options.report:
                reported = time.monotonic()
                self._report(elapsed, step, trials)
                if options.state:
                    save(self.model, self.optimizer, self.chunk, options.state)
        chunks.close()
        scores = self._report(time.monotonic() - started, step, trials)
        self._finish(scores)
        return Outcome(scores, self.losses)

    def _trials(self) -> list[Batch]:
        options = self.options
        kind = ChunkOptions(VALIDATION_SEED, options.rows, pil_share=1)
        if options.overfit:
            kind = chunk_options(options)
        return [join([build_chunk(self.codec, kind, i)], self.renderer) for i in range(options.trial)]

    def _stepper(self, trials: list[Batch]) -> Stepper:
        """Return what takes the steps; on a GPU all is compiled and recorded here, before a second thread draws."""
        options = self.options
        stepper = Stepper(self.model, self.optimizer, options.sight_weight, self.autocast)
        if options.compile:
            self.renderer.compile()
            for layer in [*self.model.core.model.vision_model.encoder.layers, *self.model.core.model.text_model.layers]:
                layer.compile()
        if self.device.type == "cuda":
            kind = ChunkOptions(VALIDATION_SEED, options.rows, pil_share=0)
            for first in (2, 1, 0):
                numbers = range(first * options.chunks, (first + 1) * options.chunks)
                batch = join([build_chunk(self.codec, kind, i) for i in numbers], self.renderer)
            stepper.record(batch)
            validate(self.model, trials, self.autocast)
            self._say("recorded")
        return stepper

    def _report(self, elapsed: float, step: int, trials: list[Batch]) -> dict[str, float]:
        scores = validate(self.model, trials, self.autocast)
        images = step * self.options.chunks * self.options.rows
        shown = " ".join(f"{key}={value:.3f}" for key, value in scores.items())
        answers, sight = self.losses[-1] if self.losses else (0.0, 0.0)
        self._say(f"step {step}, {images} images, {images / max(elapsed, 1):.0f} a second, "
                  f"losses {answers:.4f} {sight:.4f} | {shown}")  # fmt: skip
        return scores

    def _finish(self, scores: dict[str, float]) -> None:
        options = self.options
        if options.state:
            save(self.model, self.optimizer, self.chunk, options.state)
        if options.out:
            save_small(self.model, self.chunk, options.out / "resume")
            export(self.model, self.tokenizer, options.out / "export")
            (options.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for the exported checkpoint and the small resumable one")
    parser.add_argument("--state", type=Path, help="file for the full resumable checkpoint")
    parser.add_argument("--resume", type=Path, help="file or folder to go on from, if it exists")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json to keep when going on; built anew without it")
    parser.add_argument("--seconds", type=float, default=540, help="how long to train, by the clock")
    parser.add_argument("--steps", type=int, default=-1, help="stop after so many steps, for tests")
    parser.add_argument("--sight-seconds", type=float, default=90, help="how long to train the tower alone")
    parser.add_argument("--sight-weight", type=float, default=0.15, help="weight of the tower's loss afterwards")
    parser.add_argument("--seed", type=int, default=1, help="names the stream of training data")
    parser.add_argument("--rows", type=int, default=64, help="pictures in a chunk")
    parser.add_argument("--chunks", type=int, default=4, help="chunks in a batch")
    parser.add_argument("--workers", type=int, default=max(0, (os.cpu_count() or 2) - 2))
    parser.add_argument("--curriculum", type=int, default=4000, help="chunks until scenes are at their fullest")
    parser.add_argument("--pil-share", type=float, default=0.1, help="share of chunks drawn with PIL")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--lr-end", type=float, default=1e-4)
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--report", type=float, default=60, help="seconds between validations")
    parser.add_argument("--note", type=int, default=20, help="steps between notes of the loss")
    parser.add_argument("--trial", type=int, default=12, help="validation chunks")
    parser.add_argument("--overfit", action="store_true", help="train and validate on the first batch alone")
    parser.add_argument("--compile", action="store_true", help="torch.compile the layers")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(argv)
    if options.seed == VALIDATION_SEED:
        parser.error(f"seed {VALIDATION_SEED} is the validation stream")
    return options


if __name__ == "__main__":
    Run(parse()).train()
