"""What a run asks: the spec a user fills in, and what an arm is: how its requests are salted, seeded, spread."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from vqa.answers import MAX_SEED, Sampling
from vqa.errors import InputError
from vqa.lab.plan.neighbours import Neighbours
from vqa.lab.stats.agreement import Level
from vqa.media.images import ImagePayload

MAX_REPEATS = 10_000
MAX_CONCURRENCY = 256

SeedPolicy = Literal["fixed", "varied"]
CachePolicy = Literal["as_is", "cold", "warm"]
Before = Literal["", "unrelated", "shorter", "longer", "itself"]
"""What is asked just before each request of an arm, so that the request finds a part of its prompt in the cache."""
Salting = Literal["none", "shared", "own", "fresh", "fresh_with_image"]
"""`shared`: one salt for each case of the run; `own`: one for each case of the arm; `fresh`: one for each request."""


class Arm(StrEnum):
    """One way of sending the same question; lab.md's table says what each is for."""

    REPEAT = "repeat"
    COLD = "cold"
    FULLY_COLD = "fully_cold"
    WARM = "warm"
    CONCURRENT = "concurrent"
    BACKGROUND = "background"
    SEEDS = "seeds"
    POSITIVE_CONTROL = "positive_control"
    RE_ENCODING = "re_encoding"
    PROCESS_COLD = "process_cold"
    AS_ASKED = "as_asked"
    """As the user asks: without a salt, whatever the server's prefix cache holds."""
    AFTER_UNRELATED = "after_unrelated"
    AFTER_SHORTER = "after_shorter"
    AFTER_LONGER = "after_longer"
    AFTER_EVICTION = "after_eviction"
    SALT_PER_QUESTION = "salt_per_question"
    SALT_PER_REQUEST = "salt_per_request"


CACHE_HISTORY = (Arm.AFTER_UNRELATED, Arm.AFTER_SHORTER, Arm.AFTER_LONGER, Arm.AFTER_EVICTION)
"""Arms whose requests find in the prefix cache what another question, asked on purpose, left there."""
REMEDIES = (Arm.SALT_PER_QUESTION, Arm.SALT_PER_REQUEST)
"""Arms that try a remedy for that while others go on asking."""
ONE_TOKEN = 0.3
"""What a request that only fills the cache, and answers one token, takes of the time of a whole one, roughly."""


@dataclass(frozen=True)
class Case:
    """One question about its images: what is repeated."""

    text: str
    images: tuple[ImagePayload, ...] = ()


@dataclass(frozen=True)
class RunSpec:
    """What a user wants repeated and how; everything is held in memory, so that a file may vanish in mid-run."""

    questions: tuple[str, ...]
    images: tuple[ImagePayload, ...] = ()
    each_image: bool = False
    """Ask every question of each image by itself; otherwise all images go into every request."""
    n: int = 20
    concurrency: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    system: str = ""
    seed_policy: SeedPolicy = "fixed"
    """`varied` gives repeat i the seed `sampling.seed + i`."""
    cache: CachePolicy = "as_is"
    """`cold`: a fresh salt each request; `warm`: a shared salt after one priming request (both vLLM only)."""
    logprobs: int | None = 2
    text_first: bool = False
    require: Level = Level.TEXT
    name: str = ""
    model: str | None = None
    """Whom to ask, as the server calls it; the first that it lists when None."""
    max_repeats: int = MAX_REPEATS

    @property
    def cases(self) -> tuple[Case, ...]:
        """Every question with its images, in the order in which `Sample.question` counts them."""
        if self.each_image and self.images:
            return tuple(Case(text, (image,)) for image in self.images for text in self.questions)
        return tuple(Case(text, self.images) for text in self.questions)

    def check(self) -> RunSpec:
        """Returns the spec itself if it can be run.

        Raises:
            InputError: nothing to ask, or a number that cannot be.
        """
        if not self.questions or not all(question.strip() for question in self.questions):
            raise InputError("question_empty")
        whole = isinstance(self.n, int) and not isinstance(self.n, bool)
        if not whole or not 1 <= self.n <= self.max_repeats:
            raise InputError("repeats_invalid", n=self.n, least=1, most=self.max_repeats)
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise InputError(
                "number_invalid", name="concurrency", value=self.concurrency, least=1, most=MAX_CONCURRENCY
            )
        if self.concurrency > self.n:
            raise InputError("concurrency_over_repeats", concurrency=self.concurrency, n=self.n)
        most = MAX_SEED - self.n if self.seed_policy == "varied" else MAX_SEED
        if self.sampling.seed is not None and not 0 <= self.sampling.seed <= most:  # vLLM takes -1 for no seed at all
            raise InputError("number_invalid", name="seed", value=self.sampling.seed, least=0, most=most)
        if self.require is Level.NONE:
            raise InputError("level_unknown", level=self.require, known="bitwise, tokens, text, answer")
        return self


@dataclass(frozen=True)
class Capabilities:
    """What a server can do for the lab, as `vqa.lab.run.header.look_at` found out."""

    vllm: bool = False
    prefix_cache: bool | None = None
    """None when the server does not tell."""
    block_size: int | None = None
    """Tokens in a prefix-cache block."""
    cached_tokens: bool = False
    """Whether `usage.prompt_tokens_details.cached_tokens` is reported."""
    metrics: bool = False
    managed: bool = False
    """Whether the engine can be restarted from here."""
    cache_tokens: int | None = None
    """Tokens that the whole prefix cache holds."""
    prompt_tokens: int | None = None
    seconds_per_request: float = 1.0
    serial: bool = False
    """Whether the engine computes one request at a time, as under the profile `serial`."""


@dataclass(frozen=True)
class ArmPlan:
    """One arm of a plan: how many requests for each case and what is special about them."""

    arm: Arm
    n: int
    concurrency: int = 1
    salting: Salting = "none"
    priming: int = 0
    """So many requests are sent first that do not count: they fill the cache."""
    background: int = 0
    """How many unrelated requests of mixed length run beside it all the time."""
    temperature: float | None = None
    """Overrides the spec's."""
    varied_seeds: bool = False
    seed_pairs: bool = False
    """With varied seeds: two requests in a row share one, which tells a seed's effect from chance."""
    re_encoded: bool = False
    """Even requests carry the pixels as PNG of compression level 1, odd ones as level 9: other bytes, same pixels."""
    whole: bool = False
    """Never split in two by the interleaving."""
    before: Before = ""
    before_salted: bool = True
    """Whether what is asked before shares the request's salt, and so leaves blocks that the request can find."""
    evictors: int = 0
    """So many requests of as many tokens under other salts come in between: they push the request's blocks out."""
    spread_seconds: float = 0.0
    """The first `concurrency` requests begin spread evenly over so long. Equal requests that begin together also end
    together, and the batch never changes; spread, others join and leave in the middle of every answer."""

    @property
    def name(self) -> str:
        """What `Sample.arm` says: the arm, and for concurrent arms how many at a time."""
        return f"{self.arm}_{self.concurrency}" if self.arm is Arm.CONCURRENT else str(self.arm)

    @property
    def requests(self) -> int:
        """Requests for each case, the priming one included, the background's not."""
        return self.n * (1 + bool(self.before) + self.evictors) + self.priming

    def seconds(self, per_request: float, *, serial: bool = False) -> float:
        """Returns a rough duration for one case: a batch of c takes longer than one but less than c requests.

        A serial engine takes c requests one after another, and the background's are the longer ones.
        """
        waves = -(-self.n // self.concurrency)
        shares = (1.0, 3.0) if serial else (0.25, 0.25)
        crowd = 1 + shares[0] * (self.concurrency - 1) + shares[1] * self.background
        beside = self.n * (bool(self.before) + self.evictors) * ONE_TOKEN
        return per_request * (self.priming + waves * crowd + beside)


@dataclass(frozen=True)
class SkippedArm:
    """An arm that this server does not allow, and why: a text key below `lab.`"""

    name: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """All arms of a run, in the order of their first requests."""

    spec: RunSpec
    arms: tuple[ArmPlan, ...]
    skipped: tuple[SkippedArm, ...] = ()
    seconds_per_request: float = 1.0
    serial: bool = False
    beside: Neighbours | None = None
    """What the background of an arm asks; unrelated requests of mixed length when None."""

    @property
    def requests(self) -> int:
        """How many requests are counted or primed in all."""
        return len(self.spec.cases) * sum(arm.requests for arm in self.arms)

    @property
    def samples(self) -> int:
        """How many samples will be recorded."""
        return len(self.spec.cases) * sum(arm.n for arm in self.arms)

    @property
    def seconds(self) -> float:
        """Estimated duration."""
        return len(self.spec.cases) * sum(self.seconds_of(arm) for arm in self.arms)

    def seconds_of(self, arm: ArmPlan) -> float:
        """Returns the estimated duration of one arm for one case."""
        return arm.seconds(self.seconds_per_request, serial=self.serial)

    def arm(self, name: str) -> ArmPlan:
        """Returns the arm of that name; KeyError when there is none."""
        return {arm.name: arm for arm in self.arms}[name]
