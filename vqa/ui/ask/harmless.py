"""A model's or a user's Markdown with nothing in it that could become markup of the page. Pure.

The page's Markdown is read by the browser, and no second reader can foresee exactly what the first takes for code or
for a formula. So nothing depends on that: no text that goes out holds the beginning of a tag or of a picture anywhere.
Where it seems to stand in code, in which an escape would be shown as it is written, an invisible character breaks it.
"""

from __future__ import annotations

import re

LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
    {"left": "\\(", "right": "\\)", "display": False},
    {"left": "\\[", "right": "\\]", "display": True},
]
"""What stands between these is drawn as a formula; handed to the chatbot, which looks for it in this order."""
JOINER = "\N{WORD JOINER}"
CODE = re.compile(
    r"(^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)"
    r"|(?<!`)(?P<run>`+)(?!`).*?(?<!`)(?P=run)(?!`))",
    re.DOTALL | re.MULTILINE,
)
TAG_START = re.compile(r"<(?=[A-Za-z/!?|])")
PLACEHOLDER = "%%%LATEX_BLOCK_"
"""Gradio takes formulas out under this name before it reads Markdown, and puts them back afterwards."""


def safe_markdown(text: str) -> str:
    """Returns a text with its Markdown and formulas, its HTML shown as text, and no picture fetched."""
    formulas: list[str] = []

    def taken(found: re.Match[str]) -> str:
        formulas.append(TAG_START.sub("&lt;", found[0]).replace("![", "!{}["))  # TeX sets {} as nothing
        return f"{PLACEHOLDER}{len(formulas) - 1}%%%"

    text = text.replace(PLACEHOLDER, PLACEHOLDER.replace("L", JOINER + "L", 1))
    for each in LATEX:
        left, right = re.escape(str(each["left"])), re.escape(str(each["right"]))
        text = re.sub(rf"{left}([\s\S]+?){right}", taken, text)
    parts, place = [], 0
    for code in CODE.finditer(text):
        parts += [_prose(text[place : code.start()]), _code(code[0])]
        place = code.end()
    text = "".join([*parts, _prose(text[place:])])
    for number in reversed(range(len(formulas))):  # one may hold those that were taken before it
        text = text.replace(f"{PLACEHOLDER}{number}%%%", formulas[number])
    return text


def _prose(text: str) -> str:
    return TAG_START.sub("&lt;", text).replace("![", "!\\[")


def _code(text: str) -> str:
    return TAG_START.sub(f"<{JOINER}", text).replace("![", f"!{JOINER}[")


def restored(text: str) -> str:
    """Returns what `safe_markdown` was given: the browser hands a message back as it was sent."""
    for written in (f"!{JOINER}[", "!\\[", "!{}["):
        text = text.replace(written, "![")
    text = text.replace(f"<{JOINER}", "<")
    return text.replace(f"%%%{JOINER}L", "%%%L").replace("&lt;", "<")
