"""The form that says what to ask and how often; Repeat and Diagnose share it. Renders and reads; starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from vqa.answers import Sampling
from vqa.errors import InputError, StoreError
from vqa.lab.plan.arms import MAX_CONCURRENCY, CachePolicy, RunSpec, SeedPolicy
from vqa.settings import Settings
from vqa.store import Run, Store
from vqa.text import Language
from vqa.ui.examples import example, unsure_example
from vqa.ui.lab import lab_pictures
from vqa.ui.pictures import treatment_box
from vqa.ui.services import Services
from vqa.ui.text import words
from vqa.ui.web.folder import owned
from vqa.ui.widgets.notices import safely

LEAST_REPEATS = 2
SESSION_SECONDS = 6 * 3600


@dataclass(frozen=True)
class LabForm:
    """The components of the form, in the order in which `read` takes their values."""

    images: gr.Gallery
    questions: gr.Textbox
    each_image: gr.Checkbox
    n: gr.Number
    concurrency: gr.Number
    temperature: gr.Number
    seed_policy: gr.Radio
    cache: gr.Radio
    seed: gr.Number
    max_tokens: gr.Number
    top_p: gr.Number
    system: gr.Textbox
    name: gr.Textbox
    tones: gr.Dropdown
    background: gr.Dropdown
    shape: gr.Radio

    @property
    def inputs(self) -> list[Any]:
        """The components as an event takes them."""
        return list(vars(self).values())


def ask_fields(
    services: Services, lang: Language, prefix: str, example_of: Callable[[Language], tuple[str, str]]
) -> tuple[lab_pictures.LabPictures, gr.Textbox, gr.Checkbox]:
    """Renders the pictures, the questions and the button that fills in an example."""
    tr = words(lang)
    pictures = lab_pictures.render(lang, prefix, SESSION_SECONDS)
    questions = gr.Textbox(
        label=tr("repeat.questions"),
        info=tr("repeat.questions_info"),
        lines=2,
        max_lines=8,
        autoscroll=False,
        elem_id=f"{prefix}-questions",
    )
    each = gr.Checkbox(label=tr("repeat.each_image"), value=False, visible=False)
    button = gr.Button(tr("repeat.example"), size="sm", elem_id=f"{prefix}-example")

    @safely(lang)
    def fill() -> Any:
        path, question = example_of(lang)
        return [(path, None)], question

    button.click(fill, None, [pictures.gallery, questions], show_progress="hidden", queue=False)
    pictures.gallery.change(
        lambda given: gr.Checkbox(visible=len(given or ()) > 1),
        pictures.gallery,
        each,
        show_progress="hidden",
        queue=False,
    )
    lab_pictures.bind(services, lang, pictures)
    return pictures, questions, each


def build(
    services: Services, lang: Language, *, prefix: str, buttons: Callable[[], None], repeats: bool = True
) -> LabForm:
    """Renders the whole form, with what `buttons` renders above the settings that are seldom touched.

    Without `repeats` the numbers of requests are hidden, since a plan sets them.
    """
    tr = words(lang)
    pictures, questions, each = ask_fields(services, lang, prefix, example if repeats else unsure_example)
    with gr.Row(equal_height=True, visible=repeats):
        most = services.settings.max_repeats
        n = gr.Number(20, label=tr("repeat.n"), info=tr("repeat.n_info", most=most), precision=0, min_width=130)
        concurrency = gr.Number(
            1, label=tr("repeat.concurrency"), info=tr("repeat.concurrency_info"), precision=0, min_width=130
        )
    buttons()
    with gr.Accordion(tr("repeat.more"), open=False, elem_id=f"{prefix}-more"):
        temperature = gr.Number(0, label=tr("repeat.temperature"), info=tr("repeat.temperature_info"), step=0.1)
        seeds = [(tr(f"repeat.seeds_{name}"), name) for name in ("fixed", "varied")]
        seed_policy = gr.Radio(seeds, value="fixed", label=tr("repeat.seeds"), visible=repeats)
        caches = [(tr(f"repeat.cache_{name}"), name) for name in ("as_is", "cold", "warm")]
        cache_policy = gr.Radio(
            caches, value="as_is", label=tr("repeat.cache"), info=tr("repeat.cache_info"), visible=repeats
        )
        with gr.Row():
            seed = gr.Number(None, label=tr("repeat.seed"), precision=0, min_width=120)
            max_tokens = gr.Number(256, label="max_tokens", precision=0, min_width=120)
            top_p = gr.Number(0.9, label="top_p", step=0.05, min_width=120)
        system = gr.Textbox(label=tr("repeat.system"), lines=1)
        name = gr.Textbox(label=tr("repeat.name"), placeholder=tr("repeat.name_hint"), lines=1)
    return LabForm(
        pictures.gallery, questions, each, n, concurrency, temperature, seed_policy, cache_policy, seed, max_tokens,
        top_p, system, name, *pictures.treatment.inputs,
    )  # fmt: skip


def read(values: Sequence[Any], settings: Settings, model: str | None = None) -> RunSpec:
    """Returns the spec that the form's values give; every limit is checked here again, whoever called.

    `model` is whom to ask, as the server calls it; the first that it lists when None.

    Raises:
        InputError: a picture, a question or a number cannot be used.
    """
    form = dict(zip((field for field in LabForm.__dataclass_fields__), values, strict=True))
    questions = tuple(line.strip() for line in (form["questions"] or "").splitlines() if line.strip())
    if not questions:
        raise InputError("question_empty")
    system = form["system"] or ""
    for text in (*questions, system):
        if len(text) > settings.max_question_chars:
            raise InputError("question_too_long", length=len(text), limit=settings.max_question_chars)
    treatment = [form[name] for name in ("tones", "background", "shape")]
    if settings.public and len(lab_pictures.paths_of(form["images"])) > settings.public_max_pictures:
        raise InputError("too_many_pictures", limit=settings.public_max_pictures)
    n = _whole(form["n"], "N", LEAST_REPEATS, settings.max_repeats)
    images = lab_pictures.load(form["images"], treatment, settings)
    each_image = bool(form["each_image"]) and len(images) > 1
    requests = n * len(questions) * (len(images) if each_image else 1)
    if requests > settings.max_requests:
        raise InputError("too_many_requests", count=requests, limit=settings.max_requests)
    seed = form["seed"]
    sampling = Sampling(
        temperature=_number(form["temperature"], "temperature", 0, 2),
        top_p=_number(form["top_p"], "top_p", 0.01, 1),
        max_tokens=_whole(form["max_tokens"], "max_tokens", 1, settings.max_tokens),
        seed=None if seed is None else _whole(seed, "seed", 0, 2**63 - 1),
    )
    seed_policy: SeedPolicy = "varied" if form["seed_policy"] == "varied" else "fixed"
    caches: dict[str, CachePolicy] = {"cold": "cold", "warm": "warm"}
    return RunSpec(
        questions=questions,
        images=images,
        each_image=each_image,
        n=n,
        concurrency=_whole(form["concurrency"], "c", 1, most_at_once(settings)),
        sampling=sampling,
        system=system,
        seed_policy=seed_policy,
        cache=caches.get(form["cache"], "as_is"),
        name=(form["name"] or "").strip()[:200],
        model=model,
        max_repeats=settings.max_repeats,
    ).check()


def most_at_once(settings: Settings) -> int:
    """Returns how many requests of a run may be under way at a time: a visitor's as many as their answers."""
    return settings.public_concurrent if settings.public else MAX_CONCURRENCY


def filled(store: Store, run: Run) -> tuple[Any, ...]:
    """Returns values for all fields that ask again what a stored run asked; pictures that are gone stay out."""
    spec = run.plan.get("spec") or {}
    sampling = spec.get("sampling") or {}
    paths = []
    for place, digest in enumerate(spec.get("images") or ()):
        with suppress(StoreError):
            image = store.image(digest)
            ending = image.mime.rpartition("/")[2]
            paths.append(owned().write(image.given_name or f"image{place + 1}.{ending}", image.data))
    return (
        [(str(path), None) for path in paths],
        "\n".join(spec.get("questions") or ()),
        gr.Checkbox(value=bool(spec.get("each_image")), visible=len(paths) > 1),
        max(int(spec.get("n") or 20), LEAST_REPEATS),
        spec.get("concurrency") or 1,
        sampling.get("temperature", 0),
        spec.get("seed_policy") or "fixed",
        spec.get("cache") or "as_is",
        sampling.get("seed"),
        sampling.get("max_tokens") or 256,
        sampling.get("top_p", 0.9),
        spec.get("system") or "",
        run.name,
        *treatment_box.UNTOUCHED,  # the pictures are stored as they were sent
    )


def as_diagnosis(spec: RunSpec) -> RunSpec:
    """Returns the spec with what a plan of arms decides by itself put back to its usual value."""
    return replace(spec, n=20, concurrency=1, cache="as_is", seed_policy="fixed")


def _number(value: Any, name: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InputError("number_invalid", name=name, value=value, least=least, most=most)
    return float(value)


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if name == "N" and value is None:
        raise InputError("repeats_missing", least=least, most=most)
    if name == "N" and (not isinstance(value, int | float) or not least <= value <= most or value != int(value)):
        raise InputError("repeats_invalid", n=value, least=least, most=most)
    number = _number(value, name, least, most)
    if number != int(number):
        raise InputError("number_invalid", name=name, value=value, least=least, most=most)
    return int(number)
