"""The question before READY: as the page asks, and without a trace in what later questions find."""

from dataclasses import replace

import pytest

from tests.fakes.openai_server import FakeServer
from vqa.engine.health import Endpoint, Probe
from vqa.engine.state import Limits
from vqa.engine.warm import warm_up


@pytest.mark.parametrize("images", [True, False])
def test_it_asks_for_what_an_answer_needs_with_a_salt_of_its_own(images: bool) -> None:
    with FakeServer() as server:
        found = Probe(model_id="vqa-demo", takes_images=images, asked=True)
        for _ in range(2):
            warm_up(Endpoint(server.base_url), found, Limits())
        first, second = server.bodies
    assert first["logprobs"] is True
    assert first["top_logprobs"] > 0
    assert first["max_tokens"] > 1
    parts = [part["type"] for part in first["messages"][0]["content"]]
    assert parts == (["image_url", "text"] if images else ["text"])
    # Whoever asks the same finds no block of the prefix cache that came from here.
    assert first["cache_salt"] != second["cache_salt"]


def test_nobody_there_is_left_to_the_health_check() -> None:
    with FakeServer() as server:
        address = server.base_url
    warm_up(Endpoint(address), Probe(model_id="vqa-demo"), replace(Limits(), connect=0.5, warm=0.5))
