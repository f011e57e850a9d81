"""Seeded scenes of the drawn world: which things stand where; knows nothing of pixels or words."""

import colorsys
import math
import random
from dataclasses import dataclass, replace
from enum import StrEnum

from training.lexicon import COLORS, KINDS, PURE, SHADES

Rgb = tuple[int, int, int]
MAX_SHAPES = 6
MAX_NUMBERS = 2
SMALL_BELOW = 0.085  # radius over sqrt(width * height)
LARGE_ABOVE = 0.125
LARGER_RATIO = 1.35


class World(StrEnum):
    """What a picture is of: drawn shapes, or one of the things the model must decline."""

    SHAPES = "shapes"
    NOISE = "noise"
    GRADIENT = "gradient"
    PHOTO = "photo"


@dataclass(frozen=True)
class Shape:
    """One drawn shape; lengths in pixels of the native picture, angle in radians."""

    kind: str
    color: str
    rgb: Rgb
    x: float
    y: float
    radius: float
    angle: float
    filled: bool
    stroke: float
    ratio: float = 1.0
    skew: float = 0.0
    border: bool = False

    @property
    def area(self) -> float:
        """Area in square pixels that the outline encloses."""
        r2 = self.radius**2
        factor = {
            "circle": math.pi,
            "square": 2.0,
            "triangle": 1.299,
            "star": 2.939 * self.ratio,
            "rectangle": 4 * self.ratio / (1 + self.ratio**2),
        }
        return factor[self.kind] * r2


@dataclass(frozen=True)
class Number:
    """A printed number; `height` of its digits and `width` of the whole text in pixels."""

    text: str
    color: str
    rgb: Rgb
    x: float
    y: float
    height: float
    width: float
    angle: float
    font: int


@dataclass(frozen=True)
class Background:
    """A backdrop: two tints blended along `angle`, smooth texture and grain (amplitudes in 0..1)."""

    rgb: Rgb
    rgb2: Rgb
    angle: float
    texture: float
    texture_cells: int
    grain: float


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn: size in pixels, backdrop, shapes in drawing order, numbers."""

    seed: int
    width: int
    height: int
    world: World
    background: Background
    shapes: tuple[Shape, ...]
    numbers: tuple[Number, ...]
    antialias: bool
    blur: float

    @property
    def unit(self) -> float:
        """The length against which sizes are judged, in pixels; squashing does not change the ratio."""
        return math.sqrt(self.width * self.height)

    def size_of(self, shape: Shape) -> str:
        """Return 'small', 'large' or '' where the size is a matter of opinion."""
        relative = shape.radius / self.unit
        return "small" if relative < SMALL_BELOW else "large" if relative > LARGE_ABOVE else ""


@dataclass(frozen=True)
class SceneOptions:
    """What a sampler may draw.

    `size` fixes width and height in pixels, `largest` bounds them; no rectangle is nearer to a square than
    `squarest`, long side over short.
    """

    max_shapes: int = MAX_SHAPES
    offworld_share: float = 0.04
    number_share: float = 0.4
    size: tuple[int, int] | None = None
    largest: int = 1200
    squarest: float = 1.13


def sample_size(rng: random.Random, largest: int) -> tuple[int, int]:
    """Return (width, height) in 64..`largest` pixels with an aspect ratio in 1:2..2:1."""
    ratio = 1.0
    if rng.random() > 0.4:
        ratio = rng.choice((4 / 3, 3 / 2, 16 / 9, 2.0, math.exp(rng.uniform(0.06, math.log(2)))))
        ratio = 1 / ratio if rng.random() < 0.5 else ratio
    longest = 64 if rng.random() < 0.06 else round(math.exp(rng.uniform(math.log(96), math.log(largest))))
    longest = max(longest, math.ceil(64 * max(ratio, 1 / ratio)))
    width, height = (longest, longest / ratio) if ratio >= 1 else (longest * ratio, longest)
    return max(64, round(width)), max(64, round(height))


def sample_rgb(rng: random.Random, color: str) -> Rgb:
    """Return a shade of `color`: half of the time one that programs use by that name."""
    if rng.random() < 0.5:
        return rng.choice(PURE[color])
    box = SHADES[color]
    hue, sat, val = rng.uniform(*box.hue), rng.uniform(*box.saturation), rng.uniform(*box.value)
    r, g, b = colorsys.hsv_to_rgb((hue % 360) / 360, sat, val)
    return round(r * 255), round(g * 255), round(b * 255)


def _contrast(a: Rgb, b: Rgb) -> float:
    return math.dist(a, b) / 255


def sample_background(rng: random.Random) -> Background:
    """Return a plain, tinted or lightly textured backdrop, mostly light."""
    kind = rng.random()
    if kind < 0.3:
        tint = (255.0, 255.0, 255.0)
    elif kind < 0.9:
        value = rng.uniform(0.82, 1.0)
        tint = tuple(255 * c for c in colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.18), value))  # type: ignore[assignment]
    else:
        value = rng.uniform(0.0, 0.2)
        tint = tuple(255 * c for c in colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.5), value))  # type: ignore[assignment]
    rgb = (round(tint[0]), round(tint[1]), round(tint[2]))
    rgb2 = rgb
    if rng.random() < 0.25:
        shift = [rng.uniform(-26, 26) for _ in range(3)]
        rgb2 = (_byte(rgb[0] + shift[0]), _byte(rgb[1] + shift[1]), _byte(rgb[2] + shift[2]))
    textured = rng.random() < 0.3
    return Background(
        rgb=rgb,
        rgb2=rgb2,
        angle=rng.uniform(0, 2 * math.pi),
        texture=rng.uniform(0.02, 0.09) if textured else 0.0,
        texture_cells=rng.choice((4, 8, 16, 32, 64)),
        grain=rng.uniform(0.005, 0.05) if rng.random() < 0.3 else 0.0,
    )


def _byte(value: float) -> int:
    return max(0, min(255, round(value)))


def _sample_color(rng: random.Random, background: Background, preferred: list[str]) -> tuple[str, Rgb]:
    """Return a colour name and shade that stands out from the backdrop, often one already used."""
    for _ in range(50):
        color = rng.choice(preferred) if preferred and rng.random() < 0.35 else rng.choice(COLORS)
        rgb = sample_rgb(rng, color)
        if min(_contrast(rgb, background.rgb), _contrast(rgb, background.rgb2)) > 0.42:
            return color, rgb
    dark = sum(background.rgb) < 384
    return ("yellow", (255, 255, 0)) if dark else ("black", (0, 0, 0))


def _sample_shape(rng: random.Random, scene: "_Draft", count: int, squarest: float) -> Shape:
    unit, smallest = scene.unit, min(scene.width, scene.height)
    kinds = KINDS if scene.square else KINDS[:-1]
    used = [s.kind for s in scene.shapes]
    kind = rng.choice(used) if used and rng.random() < 0.25 else rng.choice(kinds)
    color, rgb = _sample_color(rng, scene.background, [s.color for s in scene.shapes])
    low = max(0.06 * unit, 6.5 if kind == "star" else 4.2)
    high = max(low * 1.3, min((0.4, 0.4, 0.28, 0.23, 0.2, 0.18, 0.17)[count] * unit, 0.45 * smallest))
    radius = math.exp(rng.uniform(math.log(low), math.log(high)))
    filled = rng.random() < 0.7 or radius < 7
    ratio, skew, angle = 1.0, 0.0, 0.0
    if kind == "star":
        ratio = rng.uniform(0.36, 0.52)
    elif kind == "rectangle":
        ratio = math.exp(rng.uniform(math.log(squarest), math.log(4.0)))
        angle = rng.choice((0.0, math.pi / 2))
        radius = max(radius, 0.5 * math.hypot(1, ratio) * 0.12 * unit, 0.5 * math.hypot(1, ratio) * 8)
    elif kind == "triangle" and rng.random() < 0.3:
        ratio, skew = rng.uniform(0.8, 1.0), rng.uniform(-0.35, 0.35)
    if rng.random() < 0.5:
        angle += rng.uniform(-math.pi, math.pi)
    elif kind == "triangle" and rng.random() < 0.3:
        angle += rng.choice((math.pi / 2, math.pi, -math.pi / 2))
    stroke = max(1.6, 0.006 * unit, radius * rng.uniform(0.05, 0.22))
    border = filled and color != "black" and radius > 10 and rng.random() < 0.08
    return Shape(kind, color, rgb, 0, 0, radius, angle, filled, stroke, ratio, skew, border)


@dataclass
class _Draft:
    """A scene under construction: what is placed, as circles or boxes that the next thing must clear."""

    width: int
    height: int
    background: Background
    square: bool
    shapes: list[Shape]
    numbers: list[Number]

    @property
    def unit(self) -> float:
        return math.sqrt(self.width * self.height)

    def clear(self, x: float, y: float, rx: float, ry: float, slack: float) -> bool:
        """Whether a box of half sizes rx, ry (a circle if equal) keeps off everything placed."""
        for s in self.shapes:
            if rx == ry:
                if math.hypot(s.x - x, s.y - y) < (s.radius + rx) * slack:
                    return False
            else:
                dx, dy = max(abs(s.x - x) - rx, 0), max(abs(s.y - y) - ry, 0)
                if math.hypot(dx, dy) < s.radius * 1.05 + 0.01 * self.unit:
                    return False
        for n in self.numbers:
            reach = 0.62 * math.hypot(n.width, n.height) if n.angle else 0.0
            half_w, half_h = max(n.width / 2, reach), max(n.height * 0.6, reach * abs(math.sin(n.angle)) + n.height / 2)
            if rx == ry:
                dx, dy = max(abs(n.x - x) - half_w, 0), max(abs(n.y - y) - half_h, 0)
                if math.hypot(dx, dy) < rx * 1.05 + 0.01 * self.unit:
                    return False
            elif abs(n.x - x) < half_w + rx and abs(n.y - y) < half_h + ry:
                return False
        return True


def _place_number(rng: random.Random, draft: _Draft) -> None:
    digits = rng.randint(1, 4)
    text = str(rng.randint(0 if digits == 1 else 10 ** (digits - 1), 10**digits - 1))
    color, rgb = _sample_color(rng, draft.background, ["black"])
    height = max(rng.uniform(0.09, 0.3) * draft.unit, 9.0)
    width = height * 0.85 * len(text)
    room = 0.9 * draft.width
    if width > room:
        height, width = height * room / width, room
    if height < 8:
        return
    angle = rng.uniform(-0.3, 0.3) if rng.random() < 0.3 else 0.0
    rx = width / 2 * abs(math.cos(angle)) + height / 2 * abs(math.sin(angle)) + 1
    ry = width / 2 * abs(math.sin(angle)) + height * 0.6 * abs(math.cos(angle)) + 1
    if rx * 2 >= draft.width or ry * 2 >= draft.height:
        return
    for _ in range(30):
        x, y = rng.uniform(rx, draft.width - rx), rng.uniform(ry, draft.height - ry)
        if draft.clear(x, y, rx, ry + 1e-6, 1.0):
            draft.numbers.append(Number(text, color, rgb, x, y, height, width, angle, rng.randrange(1 << 16)))
            return


def _place_shapes(rng: random.Random, draft: _Draft, count: int, squarest: float) -> None:
    slack = rng.uniform(0.9, 1.0) if rng.random() < 0.2 else rng.uniform(1.04, 1.2)
    for _ in range(count):
        shape = _sample_shape(rng, draft, count, squarest)
        for attempt in range(24):
            r = shape.radius * (0.97**attempt if shape.radius * 0.97**attempt > 0.065 * draft.unit else 1)
            r = max(r, 6.5 if shape.kind == "star" else 4.2) if shape.kind != "rectangle" else shape.radius
            if 2 * r > min(draft.width, draft.height):
                continue
            x, y = rng.uniform(r, draft.width - r), rng.uniform(r, draft.height - r)
            if draft.clear(x, y, r, r, slack):
                stroke = max(1.6, shape.stroke * r / shape.radius)
                draft.shapes.append(replace(shape, x=x, y=y, radius=r, stroke=stroke))
                break


def sample_scene(seed: int, options: SceneOptions | None = None) -> Scene:
    """Return the scene of `seed`: the same seed and options give the same scene."""
    options = options or SceneOptions()
    rng = random.Random(seed)
    width, height = options.size or sample_size(rng, options.largest)
    background = sample_background(rng)
    world = World.SHAPES
    if rng.random() < options.offworld_share:
        world = rng.choice((World.NOISE, World.GRADIENT, World.PHOTO))
    draft = _Draft(width, height, background, abs(width / height - 1) < 0.02, [], [])
    if world is World.SHAPES:
        numbers = (1 if rng.random() < 0.9 else 2) if rng.random() < options.number_share else 0
        for _ in range(numbers):
            _place_number(rng, draft)
        empty = rng.random() < (0.15 if draft.numbers else 0.02)
        count = 0 if empty else rng.randint(1, options.max_shapes)
        _place_shapes(rng, draft, count, options.squarest)
    return Scene(
        seed, width, height, world, background, tuple(draft.shapes), tuple(draft.numbers),
        antialias=rng.random() < 0.88, blur=rng.uniform(0.3, 0.9) if rng.random() < 0.15 else 0.0,
    )  # fmt: skip
