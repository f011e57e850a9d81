"""The text that is sent for a row: a template with `{question}`, `{options}` and `{hint}`. Pure."""

from __future__ import annotations

import re

from vqa.errors import InputError
from vqa.evaluate.reading.formats import LETTER, SHORT
from vqa.evaluate.reading.values import Row

PLACES = ("question", "options", "hint")
PLACE = re.compile(r"\{(\w+)\}")


def parse_prompt(text: str) -> str:
    r"""Returns a template as a user typed it, `\n` standing for a line's end.

    Raises:
        InputError: it names something that is not there, or leaves the question out.
    """
    template = text.replace("\\n", "\n")
    for name in PLACE.findall(template):
        if name not in PLACES:
            raise InputError(
                "choice_invalid", name="--prompt", value=f"{{{name}}}", known="{question}, {options}, {hint}"
            )
    if "{question}" not in template:
        raise InputError("prompt_without_question", prompt=text)
    return template


def prompt_of(row: Row, template: str) -> str:
    """Returns what is asked. Options and hint that the template does not place stand with the question.

    No letter is asked for where a row of a format with options has none.
    """
    if template == LETTER and not row.options:
        template = f"{{hint}}\n{SHORT}"
    options = "\n".join(f"{name}. {text}" for name, text in row.options)
    question = row.question
    if row.hint and "{hint}" not in template:
        question = f"{row.hint}\n{question}"
    if options and "{options}" not in template:
        question = f"{question}\n{options}"
    values = {"question": question, "options": options, "hint": row.hint}
    lines = PLACE.sub(lambda found: values[found[1]], template)
    # A row without a hint or options leaves no empty line where they would stand.
    return lines.strip() if row.hint and options else re.sub(r"\n{2,}", "\n", lines).strip()
