"""The loss, one step of training, and the measure of exact answers."""

from collections import defaultdict

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training.batches import TYPES
from training.feed import Batch, tensors_of
from training.model import DemoModel


def answer_loss(model: DemoModel, seen: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the loss over answers' tokens, and for each question whether greedy decoding would answer it exactly."""
    hidden = model.read(seen, batch.tokens, batch.positions, batch.blocks)
    logits, labels, number = model.answer_logits(hidden, batch.where), batch.labels, batch.number
    count = len(batch.types)
    wrong = torch.zeros(count, device=labels.device).index_add_(0, number, (logits.argmax(-1) != labels).float())
    length = torch.zeros(count, device=labels.device).index_add_(0, number, torch.ones_like(number).float())
    each = F.cross_entropy(logits, labels, reduction="none")
    # A description has thirty tokens and 'red' has two: weigh a question by the root of its length.
    weight = length.clamp_min(1).rsqrt()[number] * (labels >= 0)
    return (each * weight).sum() / weight.sum(), wrong == 0


@torch.no_grad()
def validate(model: DemoModel, batches: list[Batch], autocast: torch.dtype | None) -> dict[str, float]:
    """Return the share of exact answers by type, by language and in all, and the tower's accuracy by head."""
    model.eval()
    right: dict[str, float] = defaultdict(float)
    total: dict[str, float] = defaultdict(float)
    sight: dict[str, list[float]] = defaultdict(list)
    for batch in batches:
        with torch.autocast(batch.tokens.device.type, autocast or torch.bfloat16, enabled=autocast is not None):
            seen = model.see(batch.pictures)
            _, exact = answer_loss(model, seen, batch)
            _, heads = model.heads(seen, batch.targets)
        for name, value in heads.items():
            sight[f"sight_{name}"].append(float(value))
        exact_list, types, langs = exact.tolist(), batch.types.tolist(), batch.langs.tolist()
        for ok, kind, zh in zip(exact_list, types, langs, strict=True):
            if kind < 0:
                continue
            for key in (TYPES[kind], "zh" if zh else "en", "all"):
                right[key] += ok
                total[key] += 1
    model.train()
    scores = {key: right[key] / total[key] for key in sorted(total)}
    return scores | {key: sum(values) / len(values) for key, values in sight.items()}


def _step(
    model: DemoModel, optimizer: torch.optim.Optimizer, batch: Batch, autocast: torch.dtype | None, sight_weight: float,
    *, reading: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Take one step; return the losses on answers and on sight."""
    with torch.autocast(batch.tokens.device.type, autocast or torch.bfloat16, enabled=autocast is not None):
        seen = model.see(batch.pictures)
        sight, _ = model.heads(seen, batch.targets)
        answers = answer_loss(model, seen, batch)[0] if reading else torch.zeros_like(sight)
    loss = answers + (sight_weight if reading else 1.0) * sight
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return answers.detach(), sight.detach()


class Stepper:
    """Takes training steps; on a GPU by replaying CUDA graphs, since launching the kernels one by one takes longer."""

    def __init__(
        self, model: DemoModel, optimizer: torch.optim.Optimizer, sight_weight: float, autocast: torch.dtype | None
    ) -> None:
        self.model, self.optimizer, self.sight_weight, self.autocast = model, optimizer, sight_weight, autocast
        self._graphs: dict[bool, tuple[torch.cuda.CUDAGraph, tuple[Tensor, Tensor]]] = {}
        self._batch: Batch | None = None

    def record(self, batch: Batch) -> None:
        """Record both kinds of step on `batch`'s shapes; the optimizer's learning rate must be 0 meanwhile."""
        self._batch = batch
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for reading in (False, True, False, True):
                self._plain(batch, reading=reading)
        torch.cuda.current_stream().wait_stream(stream)
        for reading in (False, True):
            self.optimizer.zero_grad(set_to_none=True)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                losses = _step(
                    self.model, self.optimizer, batch, self.autocast, self.sight_weight, reading=reading
                )  # fmt: skip
            self._graphs[reading] = (graph, losses)

    def _plain(self, batch: Batch, *, reading: bool) -> tuple[Tensor, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        return _step(self.model, self.optimizer, batch, self.autocast, self.sight_weight, reading=reading)

    def __call__(self, batch: Batch, *, reading: bool) -> tuple[Tensor, Tensor]:
        """Take one step on `batch`; return the losses on answers and on sight."""
        if self._batch is None:
            return self._plain(batch, reading=reading)
        for kept, new in zip(tensors_of(self._batch), tensors_of(batch), strict=True):
            kept.copy_(new)
        graph, losses = self._graphs[reading]
        graph.replay()
        return losses
