"""From what stands in the Ask tab to a stream of answer pieces that can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, fields

from vqa.answers import MAX_SEED, Answer, Json, Question, Sampling
from vqa.client import BrokenStreamError, Client, Collector, Waiting
from vqa.engine.serving import Watch, while_serving
from vqa.engine.state import Engine
from vqa.errors import InputError, VQAError
from vqa.media.images import ImagePayload
from vqa.media.several import MAX_PICTURES
from vqa.settings import Settings
from vqa.ui.ask.conversation import Conversation
from vqa.ui.nested import read_json

SECONDS_BETWEEN_DRAWS = 0.06
SECONDS_PER_CHARACTER = 0.0006
"""The page renders the whole text at each draw, so a long answer is drawn less often: the page must stay quick."""
SLOWEST_DRAW = 1.5
LOGPROBS = 5


@dataclass(frozen=True)
class AskOptions:
    """What stands in the settings of the Ask tab."""

    temperature: float = 0.0
    top_p: float = 0.9
    max_tokens: int | None = None
    seed: int | None = None
    system: str = ""
    choices: tuple[str, ...] = ()
    json_schema: Json | None = None

    def asked(self) -> tuple[tuple[str, Json], ...]:
        """Returns the settings as names and values, without those that were left alone."""
        return tuple((name, value) for name, value in asdict(self).items() if value not in (None, "", ()))

    @classmethod
    def of(cls, asked: tuple[tuple[str, Json], ...]) -> AskOptions:
        """Returns the options that `asked` wrote, also when they were stored in between."""
        known = {each.name for each in fields(cls)}
        values = {name: value for name, value in asked if name in known}
        return cls(**{**values, "choices": tuple(values.get("choices", ()))})


@dataclass(frozen=True)
class Piece:
    """How far an answer is. `answer` and the flags are set on the last piece only, which has all parts in `answer`."""

    text: str
    reasoning: str = ""
    """The reasoning so far, while it grows."""
    waiting: float | None = None
    """Seconds after which the question is sent again, as the server asked for."""
    done: bool = False
    answer: Answer | None = None
    stopped: bool = False
    problem: VQAError | None = None


def read_options(
    settings: Settings,
    temperature: float | None,
    top_p: float | None,
    max_tokens: str | None,
    seed: str | None,
    system: str | None,
    choices: str | None,
    schema: str | None,
) -> AskOptions:
    """Returns the options, checked.

    Raises:
        InputError: a number lies outside its range, a text is too long, the schema is not JSON, or there are both a
            schema and allowed answers.
    """
    if (choices or "").strip() and (schema or "").strip():
        raise InputError("choices_and_schema")
    return AskOptions(
        temperature=_number("temperature", temperature, 0.0, 2.0, 0.0),
        top_p=_number("top_p", top_p, 0.01, 1.0, 0.9),
        max_tokens=_whole("max_tokens", max_tokens, 1, settings.max_tokens),
        seed=_whole("seed", seed, 0, MAX_SEED),
        system=_within(system or "", settings),
        choices=_choices(choices or "", settings),
        json_schema=_schema(schema or "", settings),
    )


def _number(name: str, value: float | None, least: float, most: float, default: float) -> float:
    number = default if value is None else float(value)
    if not least <= number <= most:
        raise InputError("number_invalid", name=name, value=value, least=least, most=most)
    return number


def _whole(name: str, text: str | None, least: int, most: int) -> int | None:
    if not (text or "").strip():
        return None
    try:
        value = int(str(text))
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        raise InputError("number_invalid", name=name, value=text, least=least, most=most)
    return value


def _within(text: str, settings: Settings) -> str:
    if len(text) > settings.max_question_chars:
        raise InputError("question_too_long", length=len(text), limit=settings.max_question_chars)
    return text


def _choices(text: str, settings: Settings) -> tuple[str, ...]:
    if len(text) > settings.max_question_chars:
        raise InputError("choices_too_long", length=len(text), limit=settings.max_question_chars)
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _schema(text: str, settings: Settings) -> Json | None:
    if not text.strip():
        return None
    if len(text) > settings.max_question_chars:
        raise InputError("schema_too_long", length=len(text), limit=settings.max_question_chars)
    try:
        schema = read_json(text)
    except ValueError as problem:
        raise InputError("schema_invalid", reason=str(problem)) from problem
    if not isinstance(schema, dict):
        raise InputError("schema_invalid", reason="{…}")
    return schema


def check_text(text: str, settings: Settings) -> str:
    """Returns the question without blanks around it.

    Raises:
        InputError: it is empty or too long.
    """
    if not text.strip():
        raise InputError("question_empty")
    return _within(text.strip(), settings)


def most_pictures(settings: Settings) -> int:
    """Returns how many pictures may go with one question."""
    return min(MAX_PICTURES, settings.public_max_pictures) if settings.public else MAX_PICTURES


def make_question(
    conversation: Conversation, text: str, images: tuple[ImagePayload, ...], options: AskOptions
) -> Question:
    """Returns the question to send after what is shown of the conversation.

    Raises:
        InputError: there is no picture in it at all.
    """
    if not images and not conversation.images():
        raise InputError("image_none")
    return Question(
        text=text,
        images=images,
        history=conversation.turns(),
        system=options.system,
        sampling=Sampling(options.temperature, options.top_p, options.max_tokens, options.seed),
        logprobs=LOGPROBS,
        choices=options.choices,
        json_schema=options.json_schema,
    )


def question_of(conversation: Conversation) -> Question | None:
    """Returns the question whose answer is shown last, as it was asked; None where there is no answer yet."""
    path = conversation.path()
    reply = conversation.last_answer()
    if reply is None:
        return None
    asked = path[path.index(reply) - 1]
    return make_question(conversation.until(asked.parent), asked.text, asked.images, AskOptions.of(reply.asked))


class Pieces:
    """The pieces of an answer that is asked for at once, before anybody waits for the first of them."""

    def __init__(
        self,
        client: Client,
        question: Question,
        stop: asyncio.Event,
        *,
        seconds: float,
        engine: Engine | None = None,
        model: str | None = None,
    ) -> None:
        """Sends the question; as `answer_pieces`. To be closed, whether or not all pieces were taken."""
        self._collected = Collector()
        self._source = answer_pieces(
            client, question, stop, seconds=seconds, into=self._collected, engine=engine, model=model
        )
        self._next = asyncio.ensure_future(anext(self._source))

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> Piece:
        piece = await self._next
        self._next = asyncio.ensure_future(anext(self._source))
        return piece

    @property
    def other(self) -> None:
        """No answer stands beside this one."""

    def so_far(self) -> Answer:
        """Returns what has arrived, logprobs and counts included."""
        return self._collected.answer()

    async def close(self) -> None:
        """Ends the answer where it is; the server aborts the request."""
        self._next.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await self._next
        await self._source.aclose()


async def answer_pieces(
    client: Client,
    question: Question,
    stop: asyncio.Event,
    *,
    seconds: float,
    into: Collector | None = None,
    engine: Engine | None = None,
    model: str | None = None,
) -> AsyncGenerator[Piece]:
    """Yields an answer as it grows, at most every 60 ms; the last piece is `done` and says how.

    Setting `stop`, the end of `seconds`, or closing the iterator closes the connection, upon which the server aborts
    the request. So does the end of `engine`, the managed one behind the client, if there is one; that is the problem
    then. `model` is whom to ask where it is not the client's own.
    """
    collected, drawn, text, reasoning = into or Collector(), 0.0, "", ""
    began = time.monotonic()
    events = while_serving(client.stream(question, model=model, into=collected), Watch(engine))
    halt = asyncio.ensure_future(stop.wait())
    try:
        while True:
            following = asyncio.ensure_future(anext(events))
            try:
                left = max(0.0, began + seconds - time.monotonic())
                await asyncio.wait({following, halt}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not following.done():
                    following.cancel()
                    with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, VQAError):
                        await following
            if following.cancelled():
                late = None if stop.is_set() else InputError("answer_too_long", seconds=round(seconds))
                # With the logprobs and counts that had come by then.
                answer = collected.answer()
                yield Piece(answer.text, done=True, answer=answer, stopped=late is None, problem=late)
                return
            event = following.result()
            if isinstance(event, Answer):
                yield Piece(event.text, done=True, answer=event)
                return
            if isinstance(event, Waiting):
                yield Piece("", waiting=event.seconds)
                continue
            if event.part == "reasoning":
                reasoning += event.text
            else:
                text += event.text
            pause = min(SECONDS_BETWEEN_DRAWS + SECONDS_PER_CHARACTER * len(text + reasoning), SLOWEST_DRAW)
            if time.monotonic() - drawn >= pause:
                drawn = time.monotonic()
                yield Piece(text, reasoning=reasoning)
    except BrokenStreamError as problem:
        yield Piece(problem.partial.text, done=True, answer=problem.partial, problem=problem)
    except VQAError as problem:
        partial = collected.answer() if collected.started else None
        yield Piece(partial.text if partial else text, done=True, answer=partial, problem=problem)
    finally:
        halt.cancel()
        await events.aclose()
