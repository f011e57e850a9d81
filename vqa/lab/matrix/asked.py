"""What a vision matrix asks: its prompts (pictures, size, order), what stands beside each, how often, at what cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

from vqa.answers import Json, Question
from vqa.errors import InputError
from vqa.lab.certificate.certify import CONTROLS
from vqa.lab.matrix.pictures import pictures
from vqa.lab.plan.arms import MAX_CONCURRENCY, Arm, ArmPlan, Plan, RunSpec
from vqa.lab.plan.neighbours import Neighbours
from vqa.lab.plan.plans import CONTROL_TEMPERATURE
from vqa.lab.run.documents import spec_from_record
from vqa.lab.run.header import plan_record
from vqa.media.images import ImagePayload

if TYPE_CHECKING:
    from vqa.store import Store

Size = tuple[int, int]
"""Width and height in pixels."""
Order = Literal["picture-first", "text-first"]
Beside = Literal["image_cache", "prefix_cache", "own_logprobs", "same", "sizes", "structured", "logprobs", "aborted"]
"""What is otherwise than for the lone, cold answers; from `same` on: which neighbours run together with the request."""
ORDERS: tuple[Order, ...] = get_args(Order)
BESIDE: tuple[Beside, ...] = get_args(Beside)
NEIGHBOURS: tuple[Beside, ...] = ("same", "sizes", "structured", "logprobs", "aborted")
SIZES: tuple[Size, ...] = ((64, 64), (448, 448), (1600, 1000), (300, 4000))
MOST_PICTURES = 4
MOST_SIDE = 4096
MOST_SIZES = 12
MOST_REPEATS = 1000
TOP_LOGPROBS = 5
"""What neighbours with logprobs ask for; servers refuse more than 20, and some less."""
SCHEMA: Json = {
    "type": "object",
    "properties": {"numbers": {"type": "array", "items": {"type": "integer"}, "minItems": 32}},
    "required": ["numbers"],
    "additionalProperties": False,
}
"""What neighbours with structured output must answer: long enough to last."""
SECONDS_PER_REQUEST = 1.5
"""Assumed before anything was asked."""
ALONE = "alone"


@dataclass(frozen=True)
class Prompt:
    """One row of the matrix: how many pictures of which size, before or after the text."""

    pictures: int
    size: Size
    order: Order

    @property
    def name(self) -> str:
        """Returns such as `2x448x448-text-first`."""
        return f"{self.pictures}x{self.size[0]}x{self.size[1]}-{self.order}"


@dataclass(frozen=True)
class MatrixAsked:
    """What a matrix asks, beside the question itself; the spec's pictures are all that any prompt needs."""

    spec: RunSpec
    pictures: tuple[int, ...] = (1, 2)
    sizes: tuple[Size, ...] = SIZES
    orders: tuple[Order, ...] = ORDERS
    beside: tuple[Beside, ...] = BESIDE
    n: int = 4
    """Requests of each cell, and lone ones of each prompt."""
    concurrency: int = 8
    """The request that counts and its neighbours."""
    profiles: tuple[str, ...] = ()
    """Under which the engine is started; none for a server that is asked as it is."""
    model: str | None = None
    """What the engine serves; the probe when None."""
    fields: Mapping[str, Json] = field(default_factory=dict)
    """Further fields of the engine's spec."""

    def check(self) -> MatrixAsked:
        """Returns itself if it can be asked; raises InputError otherwise."""
        self.spec.check()
        for name, values, known in (("order", self.orders, ORDERS), ("beside", self.beside, BESIDE)):
            wrong = [str(value) for value in values if value not in known]
            if wrong or not values:
                raise InputError("choice_invalid", name=name, value=", ".join(wrong) or "–", known=", ".join(known))
        numbers = [("n", self.n, 2, MOST_REPEATS), ("concurrency", self.concurrency, 2, MAX_CONCURRENCY)]
        numbers += [("pictures", count, 1, MOST_PICTURES) for count in self.pictures or (0,)]
        numbers += [("sizes", len(self.sizes), 1, MOST_SIZES)]
        numbers += [("sizes", side, 1, MOST_SIDE) for size in self.sizes for side in size]
        for name, value, least, most in numbers:
            if not least <= value <= most:
                raise InputError("number_invalid", name=name, value=value, least=least, most=most)
        return self

    def drawn(self, own: Sequence[ImagePayload] = (), *, model: str | None = None) -> MatrixAsked:
        """Returns the same with its pictures: drawn ones, or `own` ones stretched; `model` is the server's to ask.

        Raises:
            InputError: a picture cannot be decoded.
        """
        made = pictures(self.sizes, max(self.pictures), own)
        return replace(self, spec=replace(self.spec, images=made, model=model))

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The rows, the fewest pictures first."""
        return tuple(
            Prompt(count, size, order) for count in self.pictures for size in self.sizes for order in self.orders
        )

    def images(self, prompt: Prompt, size: Size | None = None) -> tuple[ImagePayload, ...]:
        """Returns the pictures of a prompt, or as many of another size."""
        wanted = size or prompt.size
        return tuple(image for image in self.spec.images if (image.width, image.height) == wanted)[: prompt.pictures]

    def spec_of(self, prompt: Prompt) -> RunSpec:
        """Returns what a prompt asks."""
        return replace(self.spec, images=self.images(prompt), text_first=prompt.order == "text-first", n=self.n)

    def arm(self, beside: str, *, salted: bool) -> ArmPlan:
        """Returns how the requests of a cell are sent, `alone` being the lone, cold ones.

        `salted` tells whether the server keeps requests under different salts apart.
        """
        if beside == "image_cache":
            return ArmPlan(Arm.COLD, self.n, salting="fresh" if salted else "none", priming=1, whole=True)
        if beside == "prefix_cache":
            return ArmPlan(Arm.WARM, self.n, salting="own" if salted else "none", priming=1, whole=True)
        cold = ArmPlan(Arm.FULLY_COLD, self.n, salting="fresh_with_image" if salted else "none", whole=True)
        if beside in NEIGHBOURS:
            return replace(cold, arm=Arm.BACKGROUND, background=self.concurrency - 1)
        return cold

    def plan(
        self,
        prompt: Prompt,
        beside: str,
        *,
        salted: bool,
        sizes: Sequence[Size] = (),
        length: int = 0,
        seconds: float = 1.0,
    ) -> Plan:
        """Returns the plan of one cell; `sizes` are those that neighbours of other sizes may have.

        `length` is how many tokens an answer has, of which neighbours that are broken off answer a part.
        """
        spec = self.spec_of(prompt)
        neighbours = None
        if beside in NEIGHBOURS:
            questions = self._questions(prompt, beside, sizes)
            neighbours = Neighbours(questions, length if beside == "aborted" else 0, salted=salted)
        if beside == "own_logprobs":
            spec = replace(spec, logprobs=None)
        return Plan(spec, (self.arm(beside, salted=salted),), seconds_per_request=seconds, beside=neighbours)

    def control(self, prompt: Prompt, *, salted: bool, seconds: float = 1.0) -> Plan:
        """Returns the plan of the positive control: answers that must differ, or no difference can be seen here."""
        arm = ArmPlan(
            Arm.POSITIVE_CONTROL, CONTROLS, salting="fresh" if salted else "none", temperature=CONTROL_TEMPERATURE,
            whole=True, varied_seeds=not salted,
        )  # fmt: skip
        return Plan(self.spec_of(prompt), (arm,), seconds_per_request=seconds)

    def _questions(self, prompt: Prompt, beside: str, sizes: Sequence[Size]) -> tuple[Question, ...]:
        """Returns what the neighbours of a cell ask, in turn."""
        own = Question(
            self.spec.questions[0],
            self.images(prompt),
            system=self.spec.system,
            sampling=self.spec.sampling,
            logprobs=TOP_LOGPROBS if beside == "logprobs" else None,
            token_ids=False,
            text_first=prompt.order == "text-first",
        )
        if beside == "sizes":
            return tuple(replace(own, images=self.images(prompt, size)) for size in sizes)
        if beside == "structured":
            # A grammar that is through cannot go on after the end of its answer.
            own = replace(own, json_schema=SCHEMA, sampling=replace(own.sampling, ignore_eos=False))
        return (own,)

    def cost(self, seconds_per_request: float = SECONDS_PER_REQUEST) -> tuple[int, float]:
        """Returns the requests that are counted under one profile, and about how many seconds they take.

        Neighbours come on top of the number, not of the time.
        """
        arms = [self.arm(name, salted=True) for name in (ALONE, *self.beside)]
        prompts = len(self.prompts)
        requests = prompts * (1 + sum(arm.requests for arm in arms)) + CONTROLS
        seconds = prompts * (seconds_per_request + sum(arm.seconds(seconds_per_request) for arm in arms))
        return requests, seconds + CONTROLS * seconds_per_request

    def record(self) -> dict[str, Json]:
        """Returns what is asked as plain values for the store."""
        own = {
            "pictures": list(self.pictures),
            "sizes": [list(size) for size in self.sizes],
            "orders": list(self.orders),
            "beside": list(self.beside),
            "n": self.n,
            "concurrency": self.concurrency,
            "profiles": list(self.profiles),
            "model": self.model,
            "fields": dict(self.fields),
        }
        record = plan_record(Plan(self.spec, ()))
        rounds = len(self.prompts) * (1 + len(self.beside)) * self.n + CONTROLS
        return record | {"matrix": own, "samples": rounds * max(1, len(self.profiles))}

    @staticmethod
    def from_record(plan: Mapping[str, Json], store: Store) -> MatrixAsked:
        """Returns what `record` wrote.

        Raises:
            StoreError: a picture is no longer stored.
        """
        own = dict(plan["matrix"])
        lists = {name: tuple(own[name]) for name in ("pictures", "orders", "beside", "profiles")}
        sizes = tuple((int(width), int(height)) for width, height in own["sizes"])
        return MatrixAsked(spec_from_record(plan["spec"], store), **own | lists | {"sizes": sizes})


def read_sizes(text: str) -> tuple[Size, ...]:
    """Returns the sizes in a list such as `64,448x448,1600×1000`; a single number is both sides.

    Raises:
        InputError: one is no size.
    """
    found = []
    for word in filter(None, (each.strip() for each in text.split(","))):
        match = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", word, re.ASCII)
        if match is None:
            raise InputError("size_unreadable", value=word)
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(dict.fromkeys(found))
