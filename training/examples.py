"""Makes the example pictures of the gallery, each with a question in both languages and its true answer."""

import argparse
import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from PIL import Image

from training.lexicon import COLOR_NAMES, KIND_NAMES, ONLY_DRAWN, Lang
from training.questions import Asker
from training.render_pil import render
from training.scenes import LARGER_RATIO, Scene, SceneOptions, sample_scene
from training.wording import Ref, describe, name

FIRST_SEED = 2 * 10**12  # apart from training, validation and the held-out questions
SMALL_SIDE = 400  # pixels
CLEAR_GAP = 0.2  # of the width
Pair = dict[Lang, tuple[str, str]]  # question and answer


def _word(value: str, lang: Lang) -> str:
    return COLOR_NAMES[lang][value][0] if value in COLOR_NAMES[lang] else KIND_NAMES[lang][value][0]


def _refs(scene: Scene) -> list[Ref]:
    """Return a description of each shape by colour and kind, or nothing where two shapes share one."""
    refs = [Ref("", s.color, s.kind) for s in scene.shapes]
    asker = Asker(scene, Lang.EN, random.Random(0))
    return refs if len(set(refs)) == len(refs) and all(asker.ref_to(i) for i in range(len(refs))) else []


def _describe(scene: Scene) -> Pair | None:
    xs = sorted(s.x / scene.width for s in scene.shapes)
    if len(xs) != 4 or min(b - a for a, b in pairwise(xs)) < 0.08:
        return None
    return {Lang.EN: ("Describe the image.", describe(scene, Lang.EN)),
            Lang.ZH: ("描述这张图片。", describe(scene, Lang.ZH))}  # fmt: skip


def _count_color(scene: Scene) -> Pair | None:
    colors = [s.color for s in scene.shapes]
    color = max(colors, key=colors.count, default="")
    if colors.count(color) < 3 or len(colors) < 5:
        return None
    answer = str(colors.count(color))
    return {Lang.EN: (f"How many {color} shapes are there?", answer),
            Lang.ZH: (f"图中有几个{_word(color, Lang.ZH)}的图形？", answer)}  # fmt: skip


def _relation(scene: Scene) -> Pair | None:
    refs = _refs(scene)
    if len(refs) < 3 or scene.shapes[1].x - scene.shapes[0].x < CLEAR_GAP * scene.width:
        return None
    a, b = refs[0], refs[1]
    return {Lang.EN: (f"Is the {name(a, Lang.EN)} left of the {name(b, Lang.EN)}?", "yes"),
            Lang.ZH: (f"{name(a, Lang.ZH)}在{name(b, Lang.ZH)}的左边吗？", "是")}  # fmt: skip


def _number(scene: Scene) -> Pair | None:
    if len(scene.numbers) != 1 or len(scene.numbers[0].text) != 4 or len(scene.shapes) < 2:
        return None
    answer = scene.numbers[0].text
    return {Lang.EN: ("What number is written?", answer), Lang.ZH: ("写的是什么数字？", answer)}


def _color(scene: Scene) -> Pair | None:
    stars = [s for s in scene.shapes if s.kind == "star"]
    if len(stars) != 1 or len(scene.shapes) < 3:
        return None
    return {Lang.EN: ("What color is the star?", stars[0].color),
            Lang.ZH: ("星形是什么颜色？", _word(stars[0].color, Lang.ZH))}  # fmt: skip


def _larger(scene: Scene) -> Pair | None:
    refs = _refs(scene)
    if len(refs) < 2:
        return None
    first, second = scene.shapes[0], scene.shapes[1]
    if min(first.radius / second.radius, first.area / second.area) < 1.2 * LARGER_RATIO:
        return None
    a, b = refs[0], refs[1]
    return {Lang.EN: (f"Which is larger, the {name(b, Lang.EN)} or the {name(a, Lang.EN)}?", f"the {name(a, Lang.EN)}"),
            Lang.ZH: (f"{name(b, Lang.ZH)}和{name(a, Lang.ZH)}哪个更大？", name(a, Lang.ZH))}  # fmt: skip


def _shape(scene: Scene) -> Pair | None:
    if len(scene.shapes) != 3 or len({s.color for s in scene.shapes}) != 3:
        return None
    shape = scene.shapes[0]
    return {Lang.EN: (f"What shape is the {shape.color} object?", shape.kind),
            Lang.ZH: (f"{_word(shape.color, Lang.ZH)}的图形是什么形状？", _word(shape.kind, Lang.ZH))}  # fmt: skip


def _exists(scene: Scene) -> Pair | None:
    if len(scene.shapes) < 3 or Ref("", "", "circle").matches(scene):
        return None
    return {Lang.EN: ("Is there a circle?", "no"), Lang.ZH: ("图中有圆形吗？", "没有")}


def _count_all(scene: Scene) -> Pair | None:
    if len(scene.shapes) != 6 or scene.numbers:
        return None
    return {Lang.EN: ("How many shapes are there?", "6"), Lang.ZH: ("图中有几个图形？", "6")}


def _decline(_: Scene) -> Pair:
    return {Lang.EN: ("What do you see?", ONLY_DRAWN[Lang.EN]), Lang.ZH: ("你看到了什么？", ONLY_DRAWN[Lang.ZH])}


# What is asked, and the picture's width and height in pixels.
WANTED: tuple[tuple[str, Callable[[Scene], Pair | None], int, int], ...] = (
    ("describe", _describe, 900, 600),
    ("count", _count_color, 640, 640),
    ("left-of", _relation, 1200, 675),
    ("number", _number, 480, 640),
    ("color", _color, 500, 500),
    ("larger", _larger, 1000, 500),
    ("shape", _shape, 256, 256),
    ("is-there", _exists, 400, 800),
    ("how-many", _count_all, 1600, 1200),
    ("outside", _decline, 640, 480),
)


def make_small(picture: Path, folder: Path) -> Path:
    """Write what the page shows of a picture before it is chosen; return its path."""
    folder.mkdir(exist_ok=True)
    with Image.open(picture) as opened:
        small = opened.convert("RGB")
    small.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.LANCZOS)
    written = folder / f"{picture.stem}.webp"
    small.save(written, quality=80, method=6)
    return written


def make(folder: Path) -> list[dict[str, str]]:
    """Write the pictures, small ones beside them, and examples.json to `folder`; return the examples."""
    folder.mkdir(parents=True, exist_ok=True)
    examples, seed = [], FIRST_SEED
    for number, (title, ask, width, height) in enumerate(WANTED, 1):
        pair: Pair | None = None
        while pair is None:
            seed += 1
            share = 1.0 if title == "outside" else 0.0
            scene = sample_scene(seed, SceneOptions(size=(width, height), offworld_share=share, squarest=1.5))
            pair = ask(scene)
        file = f"{number:02d}-{title}.png"
        render(scene).save(folder / file, optimize=True)
        make_small(folder / file, folder / "small")
        examples.append(
            {
                "file": file,
                "question_en": pair[Lang.EN][0],
                "question_zh": pair[Lang.ZH][0],
                "answer_en": pair[Lang.EN][1],
                "answer_zh": pair[Lang.ZH][1],
            }
        )
    (folder / "examples.json").write_text(json.dumps(examples, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return examples


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for example in make(parser.parse_args().folder):
        print(example)
