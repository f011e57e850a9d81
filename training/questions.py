"""Questions about a scene with their true answers; asks nothing whose truth is a matter of opinion."""

import random
from dataclasses import dataclass
from itertools import pairwise

from training.lexicon import COLOR_NAMES, COLORS, KIND_NAMES, KINDS, ONLY_DRAWN, THING_NAMES, Lang
from training.phrases import FOREIGN, FOREIGN_NOUNS, PHRASES, PREFIXES, SUFFIXES
from training.scenes import LARGER_RATIO, Scene, Shape, World
from training.wording import Ref, absent, describe, name, with_article

MIN_GAP = 0.07  # of the width or height: centres nearer than that have no left and right
READING_GAP = 0.025  # the same for the reading order of a description


@dataclass(frozen=True)
class Question:
    """One question of a type, in a language, with its exact answer; `about` is a shape's index or -1."""

    type: str
    lang: Lang
    text: str
    answer: str
    about: int = -1


def _phrase(rng: random.Random, key: str, lang: Lang, **slots: str) -> str:
    text = rng.choice(PHRASES[key][lang])
    thing = rng.choice(THING_NAMES[lang])
    return text.format(t=thing, ts=thing + "s", **slots)


def dress(rng: random.Random, text: str, lang: Lang) -> str:
    """Return `text` as people type it: any case, with or without mark, sometimes with courtesies."""
    if rng.random() < 0.12:
        text = rng.choice(PREFIXES[lang]) + text
    if rng.random() < 0.06:
        text += rng.choice(SUFFIXES[lang])
    end = rng.random()
    if end >= 0.35:
        marks, often = (("?", "."), 0.93) if lang is Lang.EN else (("？", "。"), 0.9)
        text += marks[0] if end < often else marks[1]
    case = rng.random()
    return text if case < 0.4 else text[0].upper() + text[1:] if case < 0.92 else text.upper()


class Asker:
    """Draws questions about one scene in one language from `rng`."""

    def __init__(self, scene: Scene, lang: Lang, rng: random.Random) -> None:
        self.scene, self.lang, self.rng = scene, lang, rng

    def _ask(self, kind: str, text: str, answer: str, about: int = -1) -> Question:
        return Question(kind, self.lang, dress(self.rng, text, self.lang), answer, about)

    def _word(self, value: str) -> str:
        """Return the answer's word for a colour or kind."""
        table = COLOR_NAMES if value in COLORS else KIND_NAMES
        return table[self.lang][value][0]

    def ref_to(self, index: int, *, hide: str = "") -> Ref | None:
        """Return a description that fits shape `index` alone, without naming `hide`, or None."""
        shape = self.scene.shapes[index]
        size = self.scene.size_of(shape)
        options = [Ref(z, c, k) for z in ("", size) for c in ("", shape.color) for k in ("", shape.kind) if c or k]
        fitting = []
        for ref in dict.fromkeys(options):
            if (hide == "color" and ref.color) or (hide == "kind" and ref.kind):
                continue
            if ref.matches(self.scene) == [index] and ref.settled(self.scene):
                fitting += [ref] * (1 if ref.size else 4)
        return self.rng.choice(fitting) if fitting else None

    def _some_ref(self) -> tuple[int, Ref] | None:
        if not self.scene.shapes:
            return None
        index = self.rng.randrange(len(self.scene.shapes))
        ref = self.ref_to(index)
        return (index, ref) if ref else None

    def _absent_ref(self) -> Ref | None:
        """Return a description that fits nothing, often by one wrong word only."""
        rng = self.rng
        for _ in range(6):
            shape = rng.choice(self.scene.shapes) if self.scene.shapes and rng.random() < 0.6 else None
            color = shape.color if shape and rng.random() < 0.5 else rng.choice(COLORS)
            kind = shape.kind if shape and rng.random() < 0.5 else rng.choice(KINDS)
            ref = rng.choice((Ref("", color, kind), Ref("", "", kind), Ref("", color, kind)))
            if not ref.matches(self.scene) and ref.settled(self.scene):
                return ref
        return None

    def shape(self) -> Question | None:
        """Ask for a shape's kind."""
        scene, rng = self.scene, self.rng
        if len(scene.shapes) == 1 and rng.random() < 0.6:
            return self._ask("shape", _phrase(rng, "shape_only", self.lang), self._word(scene.shapes[0].kind), 0)
        if rng.random() < 0.12:
            free = [c for c in COLORS if not Ref("", c, "").matches(scene)]
            ref = Ref("", rng.choice(free), "")
            return self._ask("absent", self._shape_of(ref), absent(ref, self.lang))
        single = [i for i, s in enumerate(scene.shapes) if len(Ref("", s.color, "").matches(scene)) == 1]
        if not single:
            return None
        index = rng.choice(single)
        text = self._shape_of(Ref("", scene.shapes[index].color, ""))
        return self._ask("shape", text, self._word(scene.shapes[index].kind), index)

    def _shape_of(self, ref: Ref) -> str:
        return _phrase(self.rng, "shape_of", self.lang, c=self.rng.choice(COLOR_NAMES[self.lang][ref.color]))

    def color(self) -> Question | None:
        """Ask for a shape's or a number's colour."""
        scene, rng = self.scene, self.rng
        if len(scene.numbers) == 1 and rng.random() < 0.15:
            return self._ask("color", _phrase(rng, "number_color", self.lang), self._word(scene.numbers[0].color))
        if len(scene.shapes) == 1 and rng.random() < 0.5:
            return self._ask("color", _phrase(rng, "color_only", self.lang), self._word(scene.shapes[0].color), 0)
        if rng.random() < 0.15:
            free = [Ref("", "", k) for k in KINDS]
            free = [r for r in free if not r.matches(scene) and r.settled(scene)]
            if free:
                ref = rng.choice(free)
                text = _phrase(rng, "color_of", self.lang, a=name(ref, self.lang, rng))
                return self._ask("absent", text, absent(ref, self.lang))
        if not scene.shapes:
            return None
        index = rng.randrange(len(scene.shapes))
        found = self.ref_to(index, hide="color")
        if found is None:
            return None
        text = _phrase(rng, "color_of", self.lang, a=name(found, self.lang, rng))
        return self._ask("color", text, self._word(scene.shapes[index].color), index)

    def count(self) -> Question | None:
        """Ask how many there are: of all, of a colour, of a kind, of both."""
        scene, rng = self.scene, self.rng
        which = rng.choice(("all", "color", "shape", "both"))
        shape: Shape | None = rng.choice(scene.shapes) if scene.shapes and rng.random() < 0.75 else None
        color = (shape.color if shape else rng.choice(COLORS)) if which in ("color", "both") else ""
        kind = (shape.kind if shape else rng.choice(KINDS)) if which in ("shape", "both") else ""
        ref = Ref("", color, kind)
        if not ref.settled(scene):
            return None
        things = THING_NAMES[self.lang][:1] if scene.numbers else THING_NAMES[self.lang]
        spelled = name(ref, self.lang, rng, thing=rng.choice(things)) + ("s" if self.lang is Lang.EN else "")
        return self._ask(f"count_{which}", _phrase(rng, "count", self.lang, x=spelled), str(len(ref.matches(scene))))

    def exists(self) -> Question | None:
        """Ask whether a thing is there, yes and no equally often, sometimes in the negative."""
        scene, rng = self.scene, self.rng
        ref: Ref | None
        if scene.shapes and rng.random() < 0.5:
            shape = rng.choice(scene.shapes)
            ref = rng.choice((Ref("", shape.color, shape.kind), Ref("", shape.color, ""), Ref("", "", shape.kind)))
        else:
            ref = self._absent_ref()
            if rng.random() < 0.35:
                ref = Ref("", rng.choice(COLORS), "")
        if ref is None or not ref.settled(scene):
            return None
        found = ref.matches(scene)
        negative = rng.random() < 0.2
        if self.lang is Lang.EN:
            spelled = name(ref, self.lang, rng)
            text = _phrase(rng, "exists_not" if negative else "exists", self.lang, x=spelled, ax=with_article(spelled))
            answer = "yes" if bool(found) != negative else "no"
        else:
            text = _phrase(rng, "exists_not" if negative else "exists", self.lang, x=name(ref, self.lang, rng))
            # To 'is there no …?' Chinese answers by saying what is, which no listener can misread.
            answer = "有" if found else "没有"
        return self._ask("exists", text, answer, found[0] if len(found) == 1 else -1)

    def _pair(self) -> tuple[int, Ref, int, Ref] | None:
        if len(self.scene.shapes) < 2:
            return None
        i, j = self.rng.sample(range(len(self.scene.shapes)), 2)
        a, b = self.ref_to(i), self.ref_to(j)
        return (i, a, j, b) if a and b else None

    def relation(self) -> Question | None:
        """Ask where one thing is as seen from another."""
        scene, rng = self.scene, self.rng
        side = rng.choice(("left", "right", "above", "below"))
        if rng.random() < 0.08:
            missing, other = self._absent_ref(), self._some_ref()
            if missing and other and missing.kind:
                refs = [name(missing, self.lang, rng), name(other[1], self.lang, rng)]
                rng.shuffle(refs)
                text = _phrase(rng, side, self.lang, a=refs[0], b=refs[1])
                return self._ask("absent", text, absent(missing, self.lang))
        pair = self._pair()
        if pair is None:
            return None
        i, ref_a, j, ref_b = pair
        a, b = scene.shapes[i], scene.shapes[j]
        gap = (b.x - a.x) / scene.width if side in ("left", "right") else (b.y - a.y) / scene.height
        if abs(gap) < MIN_GAP:
            return None
        true = (gap > 0) == (side in ("left", "above"))
        words = ("yes", "no") if self.lang is Lang.EN else ("是", "不是")
        text = _phrase(rng, side, self.lang, a=name(ref_a, self.lang, rng), b=name(ref_b, self.lang, rng))
        return self._ask("relation", text, words[0] if true else words[1], i)

    def larger(self) -> Question | None:
        """Ask which of two is larger or smaller; radius and area must both say so."""
        scene, rng = self.scene, self.rng
        pair = self._pair()
        if pair is None:
            return None
        i, ref_a, j, ref_b = pair
        a, b = scene.shapes[i], scene.shapes[j]
        radius, area = a.radius / b.radius, a.area / b.area
        if not (min(radius, area) > LARGER_RATIO or max(radius, area) < 1 / LARGER_RATIO):
            return None
        key = "larger" if rng.random() < 0.65 else "smaller"
        first = (radius > 1) == (key == "larger")
        if ref_a.size or ref_b.size:
            return None
        text = _phrase(rng, key, self.lang, a=name(ref_a, self.lang, rng), b=name(ref_b, self.lang, rng))
        answer = name(ref_a if first else ref_b, self.lang, thing=THING_NAMES[self.lang][0])
        return self._ask("larger", text, f"the {answer}" if self.lang is Lang.EN else answer, i if first else j)

    def number(self) -> Question:
        """Ask what number is written, also where none is."""
        numbers = sorted(self.scene.numbers, key=lambda n: n.x)
        joint = " and " if self.lang is Lang.EN else "和"
        none = "There is no number." if self.lang is Lang.EN else "没有数字。"
        answer = joint.join(n.text for n in numbers) or none
        return self._ask("number", _phrase(self.rng, "number", self.lang), answer)

    def fill(self) -> Question | None:
        """Ask whether a shape is filled or outlined."""
        found = self._some_ref()
        if found is None:
            return None
        words = ("filled", "outlined") if self.lang is Lang.EN else ("实心", "空心")
        text = _phrase(self.rng, "fill", self.lang, a=name(found[1], self.lang, self.rng))
        return self._ask("fill", text, words[0 if self.scene.shapes[found[0]].filled else 1], found[0])

    def size(self) -> Question | None:
        """Ask whether a shape is small or large."""
        found = self._some_ref()
        if found is None or found[1].size:
            return None
        size = self.scene.size_of(self.scene.shapes[found[0]])
        if not size:
            return None
        words = {"small": "small", "large": "large"} if self.lang is Lang.EN else {"small": "小", "large": "大"}
        text = _phrase(self.rng, "size", self.lang, a=name(found[1], self.lang, self.rng))
        return self._ask("size", text, words[size], found[0])

    def describe(self) -> Question | None:
        """Ask for a description, unless the reading order would be a matter of opinion."""
        scene = self.scene
        for xs in (sorted(s.x for s in scene.shapes), sorted(n.x for n in scene.numbers)):
            if any(b - a < READING_GAP * scene.width for a, b in pairwise(xs)):
                return None
        return self._ask("describe", _phrase(self.rng, "describe", self.lang), describe(scene, self.lang))

    def foreign(self) -> Question:
        """Ask for something outside the drawn world."""
        rng = self.rng
        nouns = [rng.choice(FOREIGN_NOUNS[self.lang]) for _ in range(2)]
        if rng.random() < 0.15 and self.lang is Lang.EN:
            nouns[0] = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 9)))
        text = rng.choice(FOREIGN[self.lang]).format(n=nouns[0], o=nouns[1])
        return self._ask("foreign", text, ONLY_DRAWN[self.lang])

    def follow(self, first: Question) -> Question | None:
        """Ask a second question about the shape that `first` was about, or None."""
        if first.about < 0 or first.type == "larger":
            return None
        shape, rng = self.scene.shapes[first.about], self.rng
        size = self.scene.size_of(shape)
        words = ("filled", "outlined") if self.lang is Lang.EN else ("实心", "空心")
        sizes = {"small": "small", "large": "large"} if self.lang is Lang.EN else {"small": "小", "large": "大"}
        answers = {"then_color": self._word(shape.color), "then_shape": self._word(shape.kind),
                   "then_fill": words[0 if shape.filled else 1]}  # fmt: skip
        if size:
            answers["then_size"] = sizes[size]
        key = rng.choice(sorted(answers))
        return self._ask("follow", _phrase(rng, key, self.lang), answers[key], first.about)

    def any_question(self) -> Question | None:
        """Return a question of a random type, or None where that type asks nothing clear here."""
        if self.scene.world is not World.SHAPES:
            return self.decline()
        makers = (
            (self.shape, 13), (self.color, 13), (self.count, 24), (self.exists, 10), (self.relation, 16),
            (self.larger, 12), (self.number, 24 if self.scene.numbers else 2), (self.describe, 17), (self.fill, 4),
            (self.size, 4), (self.foreign, 3),
        )  # fmt: skip
        maker = self.rng.choices([m for m, _ in makers], [w for _, w in makers])[0]
        return maker()

    def decline(self) -> Question:
        """Ask about a picture that shows nothing of the drawn world."""
        rng, lang = self.rng, self.lang
        thing = name(Ref("", rng.choice(("", rng.choice(COLORS))), rng.choice(KINDS)), lang, rng)
        other = name(Ref("", rng.choice(COLORS), rng.choice(("", rng.choice(KINDS)))), lang, rng)
        keys = [k for k in PHRASES if not k.startswith("then_")] + ["describe"] * 4
        slots = {"a": thing, "b": other, "c": rng.choice(COLOR_NAMES[lang][rng.choice(COLORS)]),
                 "x": thing + "s" if lang is Lang.EN else thing, "ax": with_article(thing)}  # fmt: skip
        return self._ask("decline", _phrase(rng, rng.choice(keys), lang, **slots), ONLY_DRAWN[lang])


def ask(scene: Scene, lang: Lang, rng: random.Random, count: int) -> list[Question]:
    """Return up to `count` different questions about `scene`."""
    asker = Asker(scene, lang, rng)
    questions: dict[str, Question] = {}
    for _ in range(count * 4):
        question = asker.any_question()
        if question:
            questions.setdefault(question.text.lower(), question)
        if len(questions) >= count:
            break
    return list(questions.values())
