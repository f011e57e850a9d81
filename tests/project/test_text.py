"""Both languages are complete, and every code that is raised has its texts."""

import re
import string
from pathlib import Path

import pytest

from vqa.errors import InputError
from vqa.text import LANGUAGES, pick_language, t, table

PACKAGE = Path(__file__).resolve().parents[2] / "vqa"


def placeholders(text: str) -> set[str]:
    return {name.split(".")[0].split("[")[0] for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    english, chinese = table("en"), table("zh")
    assert english.keys() == chinese.keys()
    for key in english:
        assert placeholders(english[key]) == placeholders(chinese[key]), key
        assert english[key].strip() or key.endswith("_hint"), f"{key} is empty"


def test_chinese_texts_are_chinese() -> None:
    """A text with a sentence of English words and no Chinese character was forgotten."""
    forgotten = [
        key
        for key, text in table("zh").items()
        if len(re.findall(r"[A-Za-z]{3,}", re.sub(r"\{.*?\}|`.*?`", "", text))) > 3
        and not re.search(r"[\u4e00-\u9fff]", text)
    ]
    assert not forgotten


def test_a_token_has_one_name_in_chinese() -> None:
    # max_tokens, TOKEN and {token} are names of settings and places, not words.
    mixed = {key for key, text in table("zh").items() if re.search(r"(?<![\w{.`-])[Tt]okens?(?![\w}-])", text)}
    assert mixed == set()


def test_every_error_that_is_raised_has_a_message_and_a_hint() -> None:
    raised = re.compile(r"(?:InputError|ServerError|EngineError|ModelError|StoreError|BrokenStreamError)\(\s*\"(\w+)\"")
    codes = {code for path in PACKAGE.rglob("*.py") for code in raised.findall(path.read_text(encoding="utf-8"))}
    assert len(codes) > 20
    missing = [code for code in codes for key in (f"errors.{code}", f"errors.{code}_hint") if key not in table("en")]
    assert not missing


def test_texts_are_found_by_language_and_filled_in() -> None:
    assert t("errors.image_empty", "zh", name="甲.png").startswith("文件 甲.png")
    error = InputError("image_empty", name="a.png")
    assert str(error) == error.message("en") == "The file a.png is empty (0 bytes)."
    with pytest.raises(KeyError):
        t("errors.no_such_text")


@pytest.mark.parametrize(
    ("tag", "language"),
    [("zh-CN,zh;q=0.9", "zh"), ("ZH", "zh"), ("en-GB", "en"), ("fr", "en"), ("", "en"), (None, "en")],
)
def test_a_browser_gets_its_nearest_language(tag: str | None, language: str) -> None:
    assert pick_language(tag) == language
    assert set(LANGUAGES) == {"en", "zh"}
