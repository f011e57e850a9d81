"""The bundled model: small enough to ship, and right about drawn scenes that its training never reached."""

from __future__ import annotations

import httpx2 as httpx
import pytest

from training.evaluate import Served, held_out
from vqa.settings import DEMO_MODEL

QUESTIONS = 100
LEAST = 0.95
"""The model card's 5,000 gave 0.997; of 100 at that rate, fewer than 95 are right once in a million draws."""


def test_it_is_small_enough_to_ship() -> None:
    sizes = [path.stat().st_size for path in DEMO_MODEL.rglob("*") if path.is_file()]
    assert sum(sizes) < 32_000_000
    assert max(sizes) < 16_000_000


@pytest.mark.slow
@pytest.mark.engine
def test_it_is_right_about_scenes_that_it_has_not_seen(engine_url: str) -> None:
    model = httpx.get(f"{engine_url}/models", trust_env=False).json()["data"][0]["id"]
    results = list(Served(engine_url, model).answers(held_out(QUESTIONS), 8))
    wrong = [(each.question, each.expected, each.answered) for each in results if not each.right]
    assert len(results) == QUESTIONS
    assert len(wrong) <= (1 - LEAST) * QUESTIONS, wrong
