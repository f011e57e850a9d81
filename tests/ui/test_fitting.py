"""What is too long for a model is known before it is sent, with what would make it fit; nobody is asked in vain."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_server import FakeServer
from vqa.answers import Question, Sampling, Turn
from vqa.client import Client
from vqa.errors import InputError
from vqa.media.images import ImagePayload, load_image, resized
from vqa.ui.ask import fitting
from vqa.ui.ask.asking import AskOptions
from vqa.ui.ask.conversation import Conversation
from vqa.ui.ask.fit_note import Asked, made_to_fit, note_html, offer
from vqa.ui.ask.fitting import Shortage

MOST = 8192


def image(width: int = 1000, height: int = 500, kind: str = "PNG") -> ImagePayload:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, kind)
    return load_image(out.getvalue(), name="wide.png")


def question(*images: ImagePayload, max_tokens: int | None = None, **more: object) -> Question:
    return Question("What is it?", images, sampling=Sampling(max_tokens=max_tokens), **more)  # type: ignore[arg-type]


async def fit(asked: Question, **behaviour: object) -> Question | Shortage:
    with FakeServer(**behaviour) as server:
        async with Client(server.base_url) as client:
            return await fitting.fit(client, asked, MOST)


async def test_a_picture_that_is_too_large_would_fit_when_resized_and_then_does() -> None:
    found = await fit(question(image(), max_tokens=200), pixels_per_token=200)
    assert isinstance(found, Shortage)
    assert found.prompt_tokens == 64 + 1000 * 500 // 200
    assert (found.side, found.less_tokens) == (750, None)
    smaller = question(resized(image(), 750), max_tokens=200)
    assert await fit(smaller, pixels_per_token=200) == smaller


async def test_only_max_tokens_is_lowered_where_the_pictures_leave_room() -> None:
    found = await fit(question(image(), max_tokens=2000))
    assert isinstance(found, Shortage)
    assert (found.side, found.less_tokens) == (None, 2048 - 64)


async def test_both_change_where_both_are_too_much() -> None:
    found = await fit(question(image(), max_tokens=2000), pixels_per_token=200)
    assert isinstance(found, Shortage)
    assert found.side == 750
    left = 2048 - 64 - 750 * 375 // 200
    assert found.less_tokens == left >= fitting.ROOM


async def test_nothing_is_offered_where_smaller_pictures_take_as_many_tokens() -> None:
    found = await fit(question(image()), max_model_len=60)
    assert isinstance(found, Shortage)
    assert not found.solvable
    with pytest.raises(InputError) as told:
        fitting.demanded(found)
    assert told.value.code == "request_too_long"


async def test_pictures_of_earlier_turns_stay_as_they_are() -> None:
    history = (Turn("user", "What?", (image(),)), Turn("assistant", "That."))
    found = await fit(question(history=history), pixels_per_token=200)
    assert isinstance(found, Shortage)
    assert not found.solvable


@pytest.mark.parametrize("behaviour", [{"vllm": False}, {"counts": False}])
async def test_a_server_that_does_not_count_is_asked_without_a_warning(behaviour: dict[str, object]) -> None:
    asked = question(image(), max_tokens=4000)
    assert await fit(asked, pixels_per_token=200, **behaviour) == asked


async def test_nobody_is_asked_to_count_what_fits_with_every_model() -> None:
    with FakeServer(max_model_len=100_000, counts=False) as server:
        async with Client(server.base_url) as client:
            found = await fitting.fit(client, question(image()), MOST)
    assert isinstance(found, Question)
    assert found.sampling.max_tokens == MOST


async def test_a_picture_of_a_size_that_was_counted_is_not_counted_again_unless_it_is_close() -> None:
    with FakeServer(pixels_per_token=1000) as server:
        async with Client(server.base_url) as client:
            await fitting.fit(client, question(image()), MOST)  # 64 + 500 tokens
            server.behaviour = Behaviour(counts=False, pixels_per_token=1000)
            again = question(image(), max_tokens=1000)
            assert await fitting.fit(client, again, MOST) == again
            server.behaviour = Behaviour(pixels_per_token=1000)
            assert isinstance(await fitting.fit(client, question(image(), max_tokens=1500), MOST), Shortage)
            assert isinstance(await fitting.fit(client, question(image(2000), max_tokens=1000), MOST), Shortage)


async def test_an_answer_without_a_limit_gets_one_only_where_the_context_is_longer() -> None:
    open_ended = await fit(question(image()), max_model_len=MOST + 50)
    assert isinstance(open_ended, Question)
    assert open_ended.sampling.max_tokens is None
    limited = await fit(question(image()), max_model_len=MOST + 100)
    assert isinstance(limited, Question)
    assert limited.sampling.max_tokens == MOST


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_resized_picture_keeps_its_shape_and_says_what_it_was(kind: str) -> None:
    given = image(kind=kind)
    small = resized(resized(given, 500), 250)
    assert (small.width, small.height) == small.picture().size == (250, 125)
    assert (small.given_width, small.given_height, small.given_bytes) == (1000, 500, len(given.data))
    assert small.notes == ("images.resized",)
    assert resized(small, 250) is small


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_notice_says_how_much_and_what_the_button_does(lang: str) -> None:
    shortage = Shortage(2564, 200, 2048, 750, 100)
    html = note_html(shortage, lang)  # type: ignore[arg-type]
    for number in ("2564", "200", "2048", "716"):
        assert f">{number}<" in html
    label = offer((image(),), shortage, lang)  # type: ignore[arg-type]
    assert "750×375" in label
    assert "100" in label
    assert "750×375" not in offer((image(), image()), shortage, lang)  # type: ignore[arg-type]
    assert offer((), Shortage(70, None, 60), lang) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "missing"), [(3072, None, "1024"), (2048, None, "1"), (2049, None, "1"), (1950, 100, "2")]
)
def test_the_figures_of_the_notice_add_up(prompt: int, max_tokens: int | None, missing: str) -> None:
    html = note_html(Shortage(prompt, max_tokens, 2048), "en")
    *parts, length, too_many = re.findall(r"<dd>(\d+)</dd>", html)
    assert (length, too_many) == ("2048", missing)
    assert sum(map(int, parts)) - 2048 == int(missing)


def test_what_was_offered_is_what_is_asked() -> None:
    asked = Asked(Conversation(), "What?", (image(),), AskOptions(max_tokens=500), "s", again=3)
    less = made_to_fit(asked, Shortage(1600, 500, 2048, None, 448))
    assert (less.options.max_tokens, less.again, less.pictures) == (448, 3, asked.pictures)
    smaller = made_to_fit(asked, Shortage(2564, 500, 2048, 750, None))
    assert (smaller.options.max_tokens, smaller.again, smaller.pictures[0].width) == (500, None, 750)
