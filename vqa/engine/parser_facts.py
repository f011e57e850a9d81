"""What the installed vLLM's parser was found to take, and what it would refuse in a spec. Pure: asks nobody."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vqa.engine.spec import EngineSpec
from vqa.errors import InputError

SAMPLES = {
    "integer": "1",
    "decimal": "1.5",
    "suffix": "1k",
    "binary": "1.5K",
    "auto": "auto",
    "none": "None",
    "json": "{}",
    "word": "some word",
}
"""What the parser's own converters are tried on, so that a value of the same form is known to pass or not."""
_FORMS = {
    "integer": re.compile(r"\s*[+-]?\d+(_\d+)*\s*"),
    "decimal": re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*|[+-]?(inf|nan)", re.I),
    "suffix": re.compile(r"\s*(\d+(\.\d+)?[kmgt]|\d+[KMGT])\s*"),
    "binary": re.compile(r"\s*\d+\.\d+[KMGT]\s*"),
    "auto": re.compile(r"\s*auto\s*", re.I),
    "none": re.compile(r"None|"),
}
_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")
"""What argparse takes for a value although it begins with a dash."""


@dataclass(frozen=True)
class FlagFacts:
    """One flag of the parser.

    Attributes:
        nargs: how many values follow it as argparse says it: "0" for a switch, "1", "?", "*" or "+".
        choices: the only values it takes; None when it takes others.
        takes: the names of the SAMPLES that its converter takes; empty when that is not known.
    """

    nargs: str = "1"
    choices: tuple[str, ...] | None = None
    takes: tuple[str, ...] = ()

    @property
    def number(self) -> bool:
        """Whether it takes numbers and no other words."""
        return "integer" in self.takes and not {"json", "word"} & set(self.takes)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "FlagFacts":
        """Returns what the asked parser wrote; a KeyError or TypeError when it is something else."""
        choices = plain["choices"]
        return cls(str(plain["nargs"]), tuple(choices) if choices else None, tuple(plain["takes"]))


@dataclass(frozen=True)
class ParserFacts:
    """What is remembered of the installed vLLM's parser; empty before it was asked."""

    flags: Mapping[str, FlagFacts] = field(default_factory=dict)
    checked: Mapping[str, str | None] = field(default_factory=dict)
    """What it said of command lines, by their digest."""


def check_flags(spec: EngineSpec, facts: ParserFacts) -> list[InputError]:
    """Returns what the installed vLLM's parser would refuse in `spec`; nothing while it was not asked."""
    problems: list[InputError] = []
    for name, given, values in _split(spec.flags()) if facts.flags else ():
        flag = _meant(name, facts.flags)
        if isinstance(flag, InputError):
            problems.append(flag)
        elif flag is not None and "." not in name:  # of a dotted one the value is a part of JSON
            problems += _value_problems(flag, facts.flags[flag], given, values)
    return problems


def _split(words: Sequence[str]) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    """Yields (flag, value after its `=`, the words after it that are no flags)."""
    for index, word in enumerate(words):
        if not _is_flag(word):
            continue
        name, equals, value = word.partition("=")
        rest = words[index + 1 :]
        end = next((at for at, each in enumerate(rest) if _is_flag(each)), len(rest))
        yield name, value if equals else None, tuple(rest[:end])


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _NEGATIVE.fullmatch(word) and " " not in word.partition("=")[0]


def _meant(name: str, flags: Mapping[str, FlagFacts]) -> str | InputError | None:
    """Returns the flag that the parser takes `name` for: with dashes for underscores, and completed when it is a part.

    A short one that is not known is left to the parser (None): it may hold its value, as -O3 does.
    """
    plain, _, _ = name.partition(".")
    if not name.startswith("--"):
        return plain if plain in flags else None
    plain = plain.replace("_", "-")
    if plain in flags:
        return plain
    completed = [flag for flag in flags if flag.startswith(plain)]
    if len(completed) == 1:
        return completed[0]
    if completed:
        reason = f"ambiguous option: {name} could match {', '.join(completed)}"
        return InputError("vllm_parser", reason=reason)
    return InputError("vllm_parser", reason=f"unrecognized arguments: {name}")


def _value_problems(name: str, facts: FlagFacts, given: str | None, following: tuple[str, ...]) -> list[InputError]:
    if facts.nargs == "0":
        ignored = InputError("vllm_parser", reason=f"argument {name}: ignored explicit argument {given!r}")
        return [] if given is None else [ignored]
    values = following if given is None else (given,)
    if facts.nargs == "1":
        values = values[:1]
    if not values and facts.nargs in ("1", "+"):
        return [InputError("flag_without_value", flag=name)]
    return [problem for value in values if (problem := _value_problem(name, facts, value))]


def _value_problem(name: str, facts: FlagFacts, value: str) -> InputError | None:
    if facts.choices:
        fine = value in facts.choices or (value == "" and "None" in facts.choices)
        return None if fine else InputError("flag_choice", flag=name, value=value, allowed=", ".join(facts.choices))
    form = next((form for form, pattern in _FORMS.items() if pattern.fullmatch(value)), "word")
    if not facts.number or form in facts.takes:
        return None
    whole = "decimal" not in facts.takes
    return InputError("flag_not_integer" if whole else "flag_not_number", flag=name, value=value)
