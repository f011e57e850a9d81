"""The demo model's generators tell the truth, repeat by seed, and a few steps on the CPU teach it something."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import with_torch
from tests.in_engine import InEngine, in_engine
from training.dataset import write
from training.evaluate import Item, easy_vqa, held_out
from training.examples import SMALL_SIDE
from training.lexicon import COLORS, PURE, Lang
from training.phrases import FOREIGN, PHRASES
from training.questions import MIN_GAP, Asker, Question, ask
from training.render_pil import render
from training.scenes import LARGER_RATIO, Scene, SceneOptions, World, sample_scene
from training.wording import Ref
from vqa.evaluate.reading import Row, open_dataset
from vqa.evaluate.reading.pictures import load_local
from vqa.media.images import ImageLimits
from vqa.ui.examples import load_examples

__all__ = ["in_engine"]
CHECKPOINT = Path(__file__).parents[2] / "assets" / "demo-model"
EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"
SCENES = [sample_scene(10**13 + i, SceneOptions(largest=300)) for i in range(150)]


def _questions(scene: Scene, lang: Lang, count: int = 12) -> list[Question]:
    return ask(scene, lang, random.Random(scene.seed), count)


def test_same_seed_gives_same_scene_picture_and_questions() -> None:
    for scene in SCENES[:20]:
        again = sample_scene(scene.seed, SceneOptions(largest=300))
        assert again == scene
        assert np.array_equal(np.asarray(render(again)), np.asarray(render(scene)))
        for lang in Lang:
            assert _questions(again, lang) == _questions(scene, lang)


def test_different_seeds_give_different_scenes() -> None:
    assert len({(s.shapes, s.numbers, s.background) for s in SCENES}) == len(SCENES)


def test_scenes_stay_within_their_world() -> None:
    for scene in SCENES:
        assert min(scene.width, scene.height) >= 64
        assert 0.49 <= scene.width / scene.height <= 2.05
        assert len(scene.shapes) <= 6
        assert len(scene.numbers) <= 2
        for shape in scene.shapes:
            assert shape.radius <= shape.x <= scene.width - shape.radius
            assert shape.radius <= shape.y <= scene.height - shape.radius
        if scene.world is not World.SHAPES:
            assert not scene.shapes


def test_every_template_exists_in_both_languages() -> None:
    for key, table in PHRASES.items():
        assert set(table) == set(Lang), key
        assert all(table[lang] for lang in Lang), key
    assert set(FOREIGN) == set(Lang)


@pytest.mark.parametrize("lang", list(Lang))
def test_answers_are_in_the_language_of_the_question(lang: Lang) -> None:
    for scene in SCENES:
        for question in _questions(scene, lang):
            chinese = any("一" <= c <= "鿿" for c in question.answer)
            assert chinese == (lang is Lang.ZH) or question.answer.isdigit(), question


@pytest.mark.parametrize("lang", list(Lang))
def test_counts_agree_with_the_scene(lang: Lang) -> None:
    names = {Lang.EN: {c: c for c in COLORS}, Lang.ZH: {"red": "红色", "purple": "紫色", "yellow": "黄色"}}[lang]
    checked = 0
    for scene in SCENES:
        for question in _questions(scene, lang, 30):
            if question.type == "count_all":
                assert question.answer == str(len(scene.shapes))
            if question.type == "count_color":
                for color, name in names.items():
                    if name in question.text.lower():
                        assert question.answer == str(sum(s.color == color for s in scene.shapes))
                        checked += 1
    assert checked > 50


def test_colors_and_shapes_agree_with_the_shape_asked_about() -> None:
    for scene in SCENES:
        for question in _questions(scene, Lang.EN, 20):
            if question.about >= 0 and question.type == "color":
                assert question.answer == scene.shapes[question.about].color
            if question.about >= 0 and question.type == "shape":
                assert question.answer == scene.shapes[question.about].kind


def test_nothing_is_asked_whose_truth_is_a_matter_of_opinion() -> None:
    relations = larger = 0
    for scene in SCENES:
        asker = Asker(scene, Lang.EN, random.Random(scene.seed))
        for _ in range(30):
            relation, comparison = asker.relation(), asker.larger()
            if relation and relation.type == "relation":
                relations += 1
                first = scene.shapes[relation.about]
                sideways = " left " in relation.text.lower() or " right " in relation.text.lower()
                gaps = [abs(first.x - s.x) / scene.width if sideways else abs(first.y - s.y) / scene.height
                        for s in scene.shapes if s is not first]  # fmt: skip
                assert max(gaps) >= MIN_GAP
            if comparison:
                larger += 1
                one = scene.shapes[comparison.about]
                ratios = [max(one.radius / s.radius, s.radius / one.radius) for s in scene.shapes if s is not one]
                assert max(ratios) > LARGER_RATIO
    assert relations > 200
    assert larger > 50


def test_a_thing_that_is_not_there_is_said_not_to_be_there() -> None:
    seen = 0
    for scene in SCENES:
        for question in _questions(scene, Lang.EN, 30):
            if question.type == "absent":
                seen += 1
                words = question.answer.removeprefix("There is no ").removesuffix(".").split()
                ref = Ref("", next((w for w in words if w in COLORS), ""), words[-1] if words[-1] != "shape" else "")
                assert not ref.matches(scene)
    assert seen > 20


def test_a_picture_outside_the_world_is_declined() -> None:
    for world_seed in range(30):
        scene = sample_scene(world_seed, SceneOptions(offworld_share=1.0, largest=200))
        for lang in Lang:
            assert {q.type for q in _questions(scene, lang)} == {"decline"}


def test_pure_colors_are_told_apart_by_more_than_a_shade() -> None:
    for color in COLORS:
        for other in COLORS:
            if color != other:
                nearest = min(np.abs(np.subtract(a, b)).max() for a in PURE[color] for b in PURE[other])
                assert nearest >= 30, (color, other)


@pytest.mark.parametrize(
    "check",
    [
        with_torch.both_renderers_draw_the_same_scene,
        with_torch.patch_targets_find_every_shape_apart_from_the_others,
        with_torch.any_text_can_be_read_and_what_is_written_reads_back,
    ],
)
def test_with_torch(check: Callable[[], None], in_engine: InEngine) -> None:
    in_engine(check)


def test_a_few_steps_on_the_cpu_lower_the_loss(tmp_path: Path, in_engine: InEngine) -> None:
    in_engine(with_torch.a_few_steps_on_the_cpu_lower_the_loss, tmp_path)


def test_examples_name_pictures_that_exist() -> None:
    examples = json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))
    assert 8 <= len(examples) <= 10
    for example in examples:
        assert (EXAMPLES / example["file"]).stat().st_size > 0
        assert set(example) == {"file", "question_en", "question_zh", "answer_en", "answer_zh"}
    for shown in load_examples():
        assert shown.thumbnail == EXAMPLES / "small" / f"{shown.picture.stem}.webp"
        with Image.open(shown.picture) as whole, Image.open(shown.thumbnail) as small:
            assert max(small.size) <= SMALL_SIDE and shown.thumbnail.stat().st_size < 70_000
            assert small.width / small.height == pytest.approx(whole.width / whole.height, rel=0.01)


@pytest.mark.parametrize("source", [held_out, easy_vqa])
def test_a_data_set_asks_every_question_about_its_own_picture(
    source: Callable[[int], Iterable[Item]], tmp_path: Path
) -> None:
    items = list(source(30))
    rows = list(open_dataset(write(items, tmp_path)).rows())
    for item, row in zip(items, rows, strict=True):
        assert isinstance(row, Row)
        assert (row.id, row.answers) == (item.key, (item.answer,))
        assert load_local(row.pictures[0], ImageLimits()).data_url == item.url
    assert len({item.url for item in items}) > 1
