"""How things are named and pictures described, in the one form that answers use or in any that questions may."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.lexicon import COLOR_NAMES, KIND_NAMES, SIZE_NAMES, THING_NAMES, Lang
from training.scenes import Scene


@dataclass(frozen=True)
class Ref:
    """A description of shapes by some of size, colour and kind ('' where left open)."""

    size: str
    color: str
    kind: str

    def matches(self, scene: Scene) -> list[int]:
        """Return the indexes of the shapes that fit."""
        return [
            i
            for i, s in enumerate(scene.shapes)
            if (not self.color or s.color == self.color)
            and (not self.kind or s.kind == self.kind)
            and (not self.size or scene.size_of(s) == self.size)
        ]

    def settled(self, scene: Scene) -> bool:
        """Whether everybody would agree on what fits: no shape of middling size, no square taken as a rectangle."""
        fitting = Ref("", self.color, self.kind).matches(scene)
        open_size = self.size and any(not scene.size_of(scene.shapes[i]) for i in fitting)
        square = self.kind == "rectangle" and Ref(self.size, self.color, "square").matches(scene)
        return not open_size and not square


def name(ref: Ref, lang: Lang, rng: random.Random | None = None, thing: str = "") -> str:
    """Spell `ref`; without `rng` in the form that answers use, otherwise in any."""
    pick: Callable[[tuple[str, ...]], str] = rng.choice if rng else lambda names: names[0]
    kind = pick(KIND_NAMES[lang][ref.kind]) if ref.kind else thing or pick(THING_NAMES[lang])
    color = pick(COLOR_NAMES[lang][ref.color]) if ref.color else ""
    size = pick(SIZE_NAMES[lang][ref.size]) if ref.size else ""
    if lang is Lang.EN:
        return " ".join(part for part in (size, color, kind) if part)
    joint = "的" if color and (rng is None or rng.random() < 0.7) else ""
    return size + color + joint + kind


def with_article(text: str) -> str:
    """Return an English noun phrase with its indefinite article."""
    return ("an " if text[0] in "aeiou" else "a ") + text


def absent(ref: Ref, lang: Lang) -> str:
    """Return the answer to a question about a thing that is not in the picture."""
    text = name(ref, lang, thing=THING_NAMES[lang][0])
    return f"There is no {text}." if lang is Lang.EN else f"没有{text}。"


def describe(scene: Scene, lang: Lang) -> str:
    """Return sentences that name every shape from left to right, and then every number."""
    shapes = sorted(scene.shapes, key=lambda s: s.x)
    numbers = sorted(scene.numbers, key=lambda n: n.x)
    sentences = []
    if lang is Lang.EN:
        names = [with_article(("" if s.filled else "outlined ") + f"{s.color} {s.kind}") for s in shapes]
        if len(names) == 1:
            sentences.append(f"The image shows {names[0]}.")
        elif names:
            listed = ", ".join(names[:-1]) + " and " + names[-1]
            sentences.append(f"From left to right, the image shows {listed}.")
        sentences += [f"The number {n.text} is written in {n.color}." for n in numbers]
        return " ".join(sentences) or "The image is empty."
    spelled = [
        f"{COLOR_NAMES[lang][s.color][0]}的{'' if s.filled else '空心'}{KIND_NAMES[lang][s.kind][0]}" for s in shapes
    ]
    if len(spelled) == 1:
        sentences.append(f"图中有{spelled[0]}。")
    elif spelled:
        sentences.append(f"图中从左到右有{'、'.join(spelled[:-1])}和{spelled[-1]}。")
    sentences += [f"图中写着{COLOR_NAMES[lang][n.color][0]}的数字{n.text}。" for n in numbers]
    return "".join(sentences) or "图中什么也没有。"
