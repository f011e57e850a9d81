"""The page's thinking without a page: conversations, code, boxes, differences, harmless text, languages."""

from __future__ import annotations

import ast
import base64
import json
import re
import subprocess
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.conftest import ROOT
from vqa.answers import Answer, Question, Sampling, Token
from vqa.engine.spec import EngineSpec
from vqa.errors import InputError
from vqa.media.images import ImagePayload, load_image
from vqa.settings import Settings
from vqa.ui.ask import ask_views, asking
from vqa.ui.ask.comparing import marked
from vqa.ui.ask.conversation import Conversation, Message, as_json, as_markdown, message_from_json, message_json
from vqa.ui.ask.snippets import snippets
from vqa.ui.pictures.grounding import find_marks
from vqa.ui.server.tab import as_planned
from vqa.ui.web.middleware import FirstLanguage, PageHeaders


@pytest.fixture
def image() -> ImagePayload:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (200, 100), "red").save(out, "PNG")
    return load_image(out.getvalue(), name="it's red.png")


def conversation(image: ImagePayload) -> Conversation:
    asked = Conversation(name="talk").add(Message(1, None, "user", "What?", (image,)))
    return asked.add(Message(2, 1, "assistant", "Red.", answer=Answer("Red.", "stop", model="m")))


def test_asking_again_adds_a_version_and_keeps_the_other(image: ImagePayload) -> None:
    first = conversation(image)
    second = first.until(1).add(Message(3, 1, "assistant", "Blue."))
    assert [each.text for each in second.path()] == ["What?", "Blue."]
    assert second.versions() == (2, 3)
    assert [each.text for each in second.until(2).path()] == ["What?", "Red."]


def test_editing_begins_a_version_from_the_edited_message_on(image: ImagePayload) -> None:
    edited = conversation(image).until(None).add(Message(3, None, "user", "Why?", (image,)))
    assert [each.text for each in edited.path()] == ["Why?"]
    assert edited.versions() == (2, 3)
    assert [each.text for each in edited.until(2).path()] == ["What?", "Red."]


def test_versions_that_begin_alike_stand_side_by_side(image: ImagePayload) -> None:
    talk = conversation(image).until(None).add(Message(3, None, "user", "Why?", (image,)))
    talk = talk.until(1).add(Message(4, 1, "assistant", "Blue.")).add(Message(5, 4, "user", "Sure?"))
    assert talk.versions() == (2, 5, 3)
    assert Conversation().versions() == ()


def test_a_follow_up_is_sent_with_the_earlier_turns_and_their_pictures(image: ImagePayload) -> None:
    question = asking.make_question(conversation(image), "And?", (), asking.AskOptions())
    assert [(turn.role, turn.text, len(turn.images)) for turn in question.history] == [
        ("user", "What?", 1),
        ("assistant", "Red.", 0),
    ]


def test_a_conversation_without_any_picture_is_refused() -> None:
    with pytest.raises(InputError) as told:
        asking.make_question(Conversation(), "What?", (), asking.AskOptions())
    assert told.value.code == "image_none"


def test_a_message_survives_the_store(image: ImagePayload) -> None:
    answer = Answer("Red.", "stop", tokens=(Token("Red.", -0.1, (("Red.", -0.1),)),), token_ids=(5,), model="m")
    message = Message(2, 1, "assistant", "Red.", (), answer, (("temperature", 0.0),), None, True)
    row = {**json.loads(json.dumps(message_json(message))), "id": 2, "parent": 1}
    assert message_from_json(row, ()) == message


def test_exports_hold_every_message(image: ImagePayload) -> None:
    titles = {"untitled": "Untitled", "user": "You", "assistant": "Model"}
    text = as_markdown(conversation(image), titles)
    assert text.startswith("# talk") and "What?" in text and "Red." in text
    (held,) = re.findall(r"!\[it's red.png\]\(data:image/png;base64,([^)]+)\)", text)
    assert base64.b64decode(held) == image.data
    (picture,) = as_json(conversation(image))["pictures"].values()
    assert base64.b64decode(picture["url"].partition(",")[2]) == image.data
    assert [row["text"] for row in as_json(conversation(image))["messages"]] == ["What?", "Red."]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ((3.0, 0.9, "", "", "", "", ""), "number_invalid"),
        ((0.0, 0.0, "", "", "", "", ""), "number_invalid"),
        ((0.0, 0.9, "0", "", "", "", ""), "number_invalid"),
        ((0.0, 0.9, "1.5", "", "", "", ""), "number_invalid"),
        ((0.0, 0.9, "", "-1", "", "", ""), "number_invalid"),
        ((0.0, 0.9, "", "", "", "", "{"), "schema_invalid"),
        ((0.0, 0.9, "", "", "", "", "[1]"), "schema_invalid"),
        ((0.0, 0.9, "", "", "x" * 100_000, "", ""), "question_too_long"),
    ],
)
def test_options_out_of_range_are_refused(values: tuple[object, ...], code: str) -> None:
    with pytest.raises(InputError) as told:
        asking.read_options(Settings(), *values)  # type: ignore[arg-type]
    assert told.value.code == code


def test_temperature_reaches_exactly_zero_and_empty_fields_send_nothing() -> None:
    options = asking.read_options(Settings(), 0, 0.9, "", None, "", "", "")
    assert (options.temperature, options.max_tokens, options.seed) == (0.0, None, None)


CAT = (0.1, 0.2, 0.5, 0.6)
DOG = (0.7, 0.1, 0.9, 0.3)


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        ("InternVL2_5-1B", "<ref>cat</ref><box>[[100, 200, 500, 600]]</box>", [CAT]),
        ("InternVL2_5-1B", "<ref>cat</ref><box>[[100, 200, 500, 600], [700, 100, 900, 300]]</box>", [CAT, DOG]),
        ("Qwen-VL-Chat", "<ref>cat</ref><box>(100,200),(500,600)</box>", [CAT]),
        (
            "Qwen2-VL",
            "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(100,200),(500,600)<|box_end|>",
            [CAT],
        ),
        ("Qwen2-VL", "the cat(100,200),(500,600) and the dog(700,100),(900,300)", [CAT, DOG]),
        ("Qwen3-VL", '```json\n[{"bbox_2d": [100, 200, 500, 600], "label": "cat"}]\n```', [CAT]),
        ("Qwen3-VL", 'It is here: {"bbox_2d": [100, 200, 500, 600], "label": "cat"}', [CAT]),
        ("Qwen3-VL", '[{"point_2d": [100, 200], "label": "cat"}]', [(0.1, 0.2, 0.1, 0.2)]),
        ("Qwen2.5-VL-3B", '[{"bbox_2d": [20, 20, 100, 60], "label": "cat"}]', [CAT]),
        ("paligemma", '[{"box_2d": [200, 100, 600, 500], "label": "cat"}]', [CAT]),
        ("InternVL3", "<point>[[100, 200]]</point>", [(0.1, 0.2, 0.1, 0.2)]),
        ("llava", "between (100,200),(500,600) nothing", []),
        ("Qwen3-VL", "no box (see 1) here", []),
    ],
)
def test_boxes_of_each_format_are_found(
    image: ImagePayload, model: str, text: str, expected: list[tuple[float, ...]]
) -> None:
    marks = find_marks(text, image, model)
    assert [(m.left, m.top, m.right, m.bottom) for m in marks] == [pytest.approx(each) for each in expected]
    assert all("cat" in mark.label or mark.label in {"", "and the dog"} for mark in marks)


def test_differences_are_marked_word_by_word_and_in_chinese_by_character() -> None:
    assert marked("a red circle", "a blue circle") == "a <mark>red</mark> circle"
    assert marked("红色的圆", "蓝色的圆") == "<mark>红</mark>色的圆"
    assert marked("<b>", "<i>") == "&lt;<mark>b</mark>&gt;"


def test_the_code_names_files_and_holds_every_setting(image: ImagePayload) -> None:
    question = Question("it's?", (image,), sampling=Sampling(0.0, 0.9, 64, 7), system="short")
    python, curl, script = snippets(question, "http://127.0.0.1:8000/v1", "m", vllm=True)
    call = next(
        node
        for node in ast.walk(ast.parse(python))
        if isinstance(node, ast.Call) and node.keywords and any(k.arg == "messages" for k in node.keywords)
    )
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    assert ast.literal_eval(given["seed"]) == 7 and ast.literal_eval(given["temperature"]) == 0.0
    assert "it's red.png" in python and "base64," in curl and "dataUrl(" in script
    assert all(base64.b64encode(image.data).decode() not in text for text in (python, curl, script))


def test_the_shell_code_sends_the_request_as_json(image: ImagePayload, tmp_path: object) -> None:
    question = Question('it\'s "quoted"?', (image,), sampling=Sampling(max_tokens=5))
    _, curl, _ = snippets(question, "http://127.0.0.1:8000/v1", "m", vllm=False)
    (tmp_path / "it's red.png").write_bytes(image.data)  # type: ignore[operator]
    sent = subprocess.run(
        ["bash", "-c", "curl() { cat; }\n" + curl], cwd=str(tmp_path), capture_output=True, text=True, check=True
    ).stdout
    body = json.loads(sent)
    assert body["messages"][0]["content"][0]["image_url"]["url"] == image.data_url
    assert body["messages"][0]["content"][1]["text"] == question.text


def test_the_least_certain_token_is_named_with_its_rival() -> None:
    tokens = (Token("red", -0.01, (("red", -0.01),)), Token(" <x>", -0.9, ((" <x>", -0.9), (" y", -1.0))))
    html = ask_views.sure_html(Answer("red <x>", "stop", tokens=tokens), "en")
    assert "␣&lt;x&gt;" in html and "␣y" in html and "<x>" not in html


@pytest.mark.parametrize(
    ("logprob", "told"),
    [(0.0, "100.0"), (-1e-6, "> 99.9"), (-0.001, "99.9"), (-0.7, "49.7"), (-9.0, "< 0.1"), (-9999.0, "0.0")],
)
def test_a_probability_never_rounds_to_certainty(logprob: float, told: str) -> None:
    assert ask_views.percent(logprob) == told


@pytest.mark.parametrize("ending", ["<end_of_utterance>", "</s>", "<|im_end|>", "<｜end▁of▁sentence｜>"])
def test_the_token_that_ends_an_answer_is_a_sign(ending: str) -> None:
    html = ask_views.sure_html(Answer("red", "stop", tokens=(Token("red", -0.1), Token(ending, -0.2))), "en")
    assert '<span class="tok p1" tabindex="-1">red' in html
    assert ">■<" in html
    assert "■ stands for" in html
    assert "■" not in ask_views.sure_html(Answer("red", "stop", tokens=(Token("red", -0.1),)), "en")


def page_app(configured: str = "auto") -> TestClient:
    async def page(_: object) -> HTMLResponse:
        return HTMLResponse('<html lang="en"><head></head><body>x</body></html>')

    middleware = [
        Middleware(PageHeaders, framed=False),
        Middleware(FirstLanguage, configured=configured, head="<meta name=ours>"),
    ]
    return TestClient(Starlette(routes=[Route("/", page), Route("/zh", page)], middleware=middleware))


@pytest.mark.parametrize(
    ("path", "headers", "configured", "ends_at"),
    [
        ("/", {"accept-language": "zh-CN,zh;q=0.9"}, "auto", "/zh"),
        ("/", {"accept-language": "de"}, "auto", "/"),
        ("/", {"accept-language": "zh", "cookie": "vqa-language=en"}, "auto", "/"),
        ("/", {"cookie": "vqa-language=zh"}, "auto", "/zh"),
        ("/", {"accept-language": "en"}, "zh", "/zh"),
        ("/zh", {"accept-language": "en"}, "auto", "/zh"),
        ("/zh?lang=en", {}, "auto", "/"),
        ("/?tab=repeat&run=abc", {"accept-language": "zh"}, "auto", "/zh"),
    ],
)
def test_each_visitor_gets_the_page_of_their_language(
    path: str, headers: dict[str, str], configured: str, ends_at: str
) -> None:
    reply = page_app(configured).get(path, headers=headers)
    assert reply.status_code == 200 and reply.url.path == ends_at
    assert "<head><meta name=ours>" in reply.text
    assert f'lang="{"zh-CN" if ends_at == "/zh" else "en"}"' in reply.text
    if "run=" in path:
        assert "run=abc" in str(reply.url)


def test_every_response_forbids_other_origins() -> None:
    policy = page_app().get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'self'" in policy


def test_stylesheet_and_script_name_no_other_origin() -> None:
    for name in ("page.css", "page.js", "events.js"):
        text = (ROOT / "assets" / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text and "@import" not in text


def test_answers_without_text_are_left_out_of_the_history(image: ImagePayload) -> None:
    failed = conversation(image)
    failed = replace(failed, messages=(failed.messages[0], replace(failed.messages[1], text="")))
    assert [turn.role for turn in failed.turns()] == ["user"]


def test_a_pasted_command_keeps_the_operators_own_flags() -> None:
    planned = EngineSpec("/m", served_model_name="m", extra_args=("--no-enable-chunked-prefill",))
    pasted = EngineSpec.from_command("vllm serve /other --max-logprobs 20")
    taken = as_planned(pasted, planned)
    assert taken.extra_args == ("--no-enable-chunked-prefill", "--max-logprobs=20")
    assert (taken.model, taken.served_model_name) == ("/m", "m")
    assert as_planned(planned, planned) == planned
