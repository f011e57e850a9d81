"""Reports: a round trip through JSON, files others can read, nothing executed or given away, quick at 10,000."""

from __future__ import annotations

import cProfile
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.lab.made import answer, failed, picture, samples
from vqa.answers import Answer, Json, Sample
from vqa.errors import InputError
from vqa.lab.diagnosis.facts import Facts, Identity
from vqa.lab.report.export import collect, document, dump, load_report, summaries, to_csv, to_html, to_junit
from vqa.lab.run.run_json import Report
from vqa.store import Run, Store
from vqa.text import LANGUAGES

ATTACK = """<script>alert(1)</script>"><img src=x onerror=alert(2)>' {{ 7*7 }} ${alert(3)}"""


def made(
    taken: list[Sample],
    *,
    kind: str = "repeat",
    name: str = "",
    header: Json = None,
    questions: tuple[str, ...] = ("What?",),
) -> Report:
    image = picture()
    spec = {
        "questions": list(questions),
        "images": [image.sha256],
        "n": len(taken),
        "concurrency": 8,
        "sampling": {"temperature": 0.0, "top_p": 0.9, "max_tokens": 64},
        "require": "text",
    }
    header = {"model": "/home/me/models/secret-project/demo", "base_url": "http://127.0.0.1:8000/v1"} | (header or {})
    header["images"] = [{"given_name": image.given_name, "mime": image.mime}]
    now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    run = Run("abc123", kind, name, "finished", now, now, header, {"spec": spec}, None, None, len(taken))
    return Report(run, tuple(replace(sample, id=place) for place, sample in enumerate(taken, 1)), (image,))


def first_differs(n: int = 20) -> list[Sample]:
    return samples("a blue square", *["a red circle"] * (n - 1))


class Tags(HTMLParser):
    """Collects what a browser would take for elements and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources |= {(value or "")[:5] for name, value in attrs if name in {"src", "href"}}


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


# JSON ---------------------------------------------------------------------------------------------------------------


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    report = made([*first_differs(), failed(20)])
    path = tmp_path / "run.json"
    path.write_text(dump(report), encoding="utf-8")
    back = load_report(path)
    assert back.samples == report.samples
    assert back.images == report.images
    assert replace(back.run, header={}) == replace(report.run, header={})
    assert dump(back) == dump(report)


def test_a_stored_run_is_collected_with_its_samples_and_pictures(store: Store) -> None:
    report = made(first_differs())
    run_id = store.create_run("repeat", header=report.run.header, plan=report.run.plan)
    store.put_image(report.images[0])
    for sample in report.samples:
        store.add_samples(run_id, [sample])
    found = collect(store, run_id)
    assert [sample.answer for sample in found.samples] == [sample.answer for sample in report.samples]
    assert found.images == report.images
    assert load_report(dump(found).encode()).samples == tuple(
        replace(sample, id=place) for place, sample in enumerate(found.samples, 1)
    )


@pytest.mark.parametrize("taken", [[], first_differs(), [failed(0), failed(1)]])
def test_json_follows_the_published_schema(taken: list[Sample]) -> None:
    schema = json.loads((files("vqa.lab.run") / "report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document(made(taken)))


DIAGNOSIS = {"verdict": "differs", "values": {}, "findings": [], "evidence": []}


def _at(value: Any, path: str) -> tuple[Any, str]:
    *above, last = path.split(".")
    for step in above:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value, last


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("run.plan", []),
        ("run.plan.spec", {"n": "<b>2</b>"}),
        (
            "run.result",
            {"diagnosis": {"verdict": "differs", "values": {}, "findings": [], "evidence": [{"ok": "<b>"}]}},
        ),
        ("run.result", {"profiles": [{"name": "a", "reason": None, "loads": [{"ok": "<img src=x>"}]}]}),
        ("run.result", {"profiles": 5}),
        ("run.result", {"restarts": [{"arm": "a"}]}),
        ("run.header", {"questions": "one"}),
        ("run.kind", "</style>"),
        ("samples.0.index", "0"),
        ("samples.0.index", 10**12),  # as many places would be kept
        ("samples.0.started_at", 10**15),
        ("samples.0.concurrency", -1),
        ("samples.0.error", {"code": 1}),
        ("images", [{"mime": "image/png;base64,x); } </style>"}]),
        ("app_version", 3),
    ],
)
def test_a_report_of_another_shape_is_refused_with_the_place(path: str, wrong: object) -> None:
    value = document(made(first_differs()))
    holder, last = _at(value, path)
    holder[last] = wrong
    with pytest.raises(InputError) as refused:
        load_report(json.dumps(value).encode())
    assert refused.value.code == "report_invalid"
    assert path.replace(".", "/") in str(refused.value.values["reason"])


@pytest.mark.parametrize("digits", ["1e308", "-1e30", "9" * 400])
def test_a_number_that_no_run_holds_is_no_report(digits: str) -> None:
    text = json.dumps(document(made(first_differs()))).replace('"concurrency": 1', f'"concurrency": {digits}', 1)
    with pytest.raises(InputError) as refused:
        load_report(text.encode())
    assert refused.value.code == "report_invalid"


def test_the_time_of_an_end_is_a_time() -> None:
    value = document(made(first_differs()))
    value["run"]["finished_at"] = ""
    with pytest.raises(InputError) as refused:
        load_report(json.dumps(value).encode())
    assert refused.value.code == "report_invalid"


def test_json_that_is_nested_without_end_is_no_report() -> None:
    with pytest.raises(InputError) as refused:
        load_report(b"[" * 100_000)
    assert refused.value.code == "report_invalid"


def test_identical_answers_are_written_once() -> None:
    assert len(document(made(first_differs()))["answers"]) == 2


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"not json", "report_invalid"),
        (b"[1]", "report_invalid"),
        (b'{"schema": "something else", "version": 1}', "report_invalid"),
        (b'{"schema": "vqa-lab/run", "version": 99}', "report_too_new"),
        (b'{"schema": "vqa-lab/run", "version": 1}', "report_invalid"),
    ],
)
def test_a_file_that_is_no_report_is_refused_with_a_sentence(content: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_report(path)
    assert caught.value.code == code
    assert "some.json" in caught.value.message("zh")


def test_a_missing_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_report(tmp_path / "none.json")


def test_a_picture_that_does_not_match_its_hash_is_refused() -> None:
    value = document(made(first_differs()))
    value["images"][0]["sha256"] = "0" * 64
    with pytest.raises(InputError) as caught:
        load_report(json.dumps(value).encode())
    assert caught.value.code == "report_invalid"


# HTML ---------------------------------------------------------------------------------------------------------------


def test_html_says_verdict_groups_and_how_to_reproduce_in_both_languages() -> None:
    html = to_html(made(first_differs(), name="My run"))
    words = text_of(html)
    assert "The first of 20 answers differs" in words and "My run" in words
    assert "19 of 20" in words and "1 of 20" in words
    assert "python -m vqa repeat circle.png 'What?' -n 20 -c 8 --max-tokens 64" in words.replace("&#39;", "'")
    assert "每次请求" in words and "如何重现" in words


def test_html_opens_in_the_language_asked_for() -> None:
    assert re.search(r'id="language-zh" checked', to_html(made(first_differs()), "zh"))
    assert re.search(r'id="language-en" checked', to_html(made(first_differs()), "en"))


def test_html_is_one_file_that_fetches_nothing_and_runs_nothing() -> None:
    html = to_html(made(first_differs()))
    assert "<script" not in html.lower() and "<link" not in html.lower() and "javascript:" not in html.lower()
    addresses = re.findall(r"(?:src|href)=\"([^\"]+)\"|url\(\"?([^)\"]+)", html)
    assert addresses and all((one or other).startswith("data:") for one, other in addresses)
    assert "default-src 'none'" in html


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_anybody_wrote_becomes_markup(language: str) -> None:
    taken = samples(ATTACK, *[f"{ATTACK} more"] * 3)
    report = made(taken, name=ATTACK, questions=(ATTACK,), header={"model": ATTACK, "odd": {ATTACK: ATTACK}})
    report = replace(report, images=(replace(report.images[0], given_name=ATTACK),))
    html = to_html(report, "en" if language == "en" else "zh")
    parsed = Tags()
    parsed.feed(html)
    assert "script" not in parsed.tags and not [name for name in parsed.attributes if name.startswith("on")]
    assert parsed.sources <= {"data:"}
    assert "{{ 7*7 }}" in html and "${alert(3)}" in html


def test_reports_give_away_no_secret_and_no_folder() -> None:
    header = {
        "base_url": "http://user:hunter2@gpu.example:8000/v1",
        "engine": {
            "argv": ["vllm", "serve", "/home/me/models/demo", "--api-key", "sk-1234", "--hf-token=hf_5678"],
            "environment": {"VLLM_API_KEY": "sk-9", "VLLM_CPU_KVCACHE_SPACE": "1"},
            "model_path": "/home/me/models/demo",
        },
    }
    report = made(first_differs(), header=header)
    server = Identity(("demo",), "/home/me/models/demo", "0.32.0")
    facts = Facts(before=server, after=server).to_record()
    former = {"run": "before", "result": {"facts": facts}}
    result = (report.run.result or {}) | {"facts": facts, "before": former}
    report = replace(report, run=replace(report.run, result=result))
    for content in (to_html(report), dump(report), to_csv(report), to_junit(report)):
        for secret in ("hunter2", "sk-1234", "hf_5678", "sk-9", "/home/me"):
            assert secret not in content
    assert "vllm serve demo" in to_html(report)


def test_html_of_a_run_without_an_answer_says_so() -> None:
    assert "Nothing has been measured yet" in text_of(to_html(made([])))
    assert "2 of 2 requests failed" in text_of(to_html(made([failed(0), failed(1)])))


def test_html_of_a_server_that_shows_no_tokens_says_which_levels_it_hides() -> None:
    bare = [answer("a red circle", ids=False, shown=False)] * 5
    words = text_of(to_html(made(samples(*bare))))
    assert "does not show what is needed to judge: Bit for bit, Tokens" in words


def test_a_large_picture_goes_in_as_a_smaller_copy() -> None:
    from PIL import Image

    from vqa.media.images import load_image

    out = io.BytesIO()
    Image.effect_noise((1500, 1000), 80).convert("RGB").save(out, "PNG")
    report = replace(made(first_differs()), images=(load_image(out.getvalue()),))
    assert len(out.getvalue()) > 1_400_000 and len(to_html(report)) < 2_000_000


def test_ten_thousand_samples_are_rendered_in_five_megabytes_with_work_that_grows_as_their_number() -> None:
    """Calls are counted, not seconds: a busy machine makes no more of them. How long it takes is a benchmark."""
    answers = [varied(index) for index in range(10_000)]
    assert len(to_html(made(samples(*answers))).encode()) < 5_000_000
    few, many = (calls(made(samples(*answers[:n]))) for n in (500, 2_000))
    assert many < 4.5 * few and many < 800 * 2_000


def calls(report: Report) -> int:
    """How many calls rendering a report makes, those of built-in functions among them."""
    profile = cProfile.Profile()
    profile.runcall(to_html, report)
    return sum(entry.callcount for entry in profile.getstats())


def varied(index: int) -> Answer:
    words = ["the", "picture", "shows", "a", "red", "circle", "beside", f"v{index % 300 if index % 20 == 0 else 0}"]
    return answer(words, logprobs=[-0.1 - (index % 3) / 1000] * 8, seconds=0.5 + index % 11 / 10)


def test_summaries_are_kept_apart_by_arm() -> None:
    taken = [*samples("a", "a"), *samples("b", "c", arm="cold")]
    found = summaries(made(taken, kind="diagnose"))
    assert {name: len(run.questions[0].groups) for name, run in found.items()} == {"repeat": 1, "cold": 2}


def test_a_long_question_is_folded_and_its_title_cut() -> None:
    question = "What lies left of the red square? " * 60
    page = to_html(made(first_differs(), questions=(question,)))
    title = re.search(r"<h1>(.*?)</h1>", page, re.S)
    assert title is not None and len(title[1]) < 250
    folded = re.search(r'<details class="vr-long"><summary>(.*?)</summary>(.*?)</details>', page, re.S)
    assert folded is not None and len(folded[1]) < 350 and folded[2] == question
    assert "vr-long" not in to_html(made(first_differs())).partition("</style>")[2]
