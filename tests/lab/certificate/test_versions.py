"""What another vLLM changes: told of each condition that both engines answered, in sentences and as a table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scripts.setup.engine import wanted_engine
from tests.lab.made import samples
from vqa.answers import Json, Sample
from vqa.lab.certificate.versions import version_rows
from vqa.lab.report.conclusions import length_words
from vqa.lab.report.outcomes import certificate
from vqa.lab.report.reproduce import commands
from vqa.lab.report.say import certificate_lines
from vqa.store import Run

OLD, NEW = "default (vllm-0.32.0)", "default (vllm-0.33.0)"


def arms(*told: tuple[str, list[str]]) -> dict[str, list[Sample]]:
    return {name: samples(*answers, arm=name) for name, answers in told}


def rows(**changed: Json) -> list[dict[str, Json]]:
    shared = {"profile": "default", "reason": None, "loads": []}
    return [{**shared, "name": OLD, "vllm": "vllm-0.32.0"}, {**shared, "name": NEW, "vllm": "vllm-0.33.0", **changed}]


def test_what_both_answered_is_compared_and_the_control_is_not() -> None:
    taken = arms(
        (f"{OLD}/repeat", ["red"] * 3),
        (f"{OLD}/cold", ["red", "blue"]),
        (f"{OLD}/positive_control", ["x", "y"]),
        (f"{NEW}/repeat", ["red"] * 3),
        (f"{NEW}/cold", ["blue", "green"]),
        (f"{NEW}/positive_control", ["z"]),
    )
    (pair,) = version_rows(rows(), taken)
    assert pair["conditions"] == [
        {"arm": "repeat", "before": 1, "now": 1, "shared": 1, "level": "bitwise"},
        {"arm": "cold", "before": 2, "now": 2, "shared": 1, "level": "none"},
    ]
    result = {"require": "tokens", "profiles": rows(), "versions": [pair]}
    said = "default: from vllm-0.32.0 to vllm-0.33.0 answers change: of 3 different answers 1 were given by both"
    assert certificate_lines(result)[-1].startswith(said)
    assert said in certificate(result, "en")
    assert "vllm-0.33.0" in certificate(result, "zh")


@pytest.mark.parametrize("answers", [["red"] * 3, ["red", "blue", "red"]])
def test_versions_that_answer_alike_are_said_to_change_nothing(answers: list[str]) -> None:
    """Also where each of them answers in two ways."""
    taken = arms((f"{OLD}/repeat", answers), (f"{NEW}/repeat", sorted(answers)))
    result = {"require": "tokens", "profiles": rows(), "versions": version_rows(rows(), taken)}
    assert "nothing changes: in all 1 tests" in certificate_lines(result)[-1]


def test_an_engine_that_did_not_start_is_compared_with_nothing() -> None:
    taken = arms((f"{OLD}/repeat", ["red"] * 3))
    assert version_rows(rows(reason="no GPU"), taken) == []
    assert version_rows([{"name": "default", "reason": None}], taken) == []


def certificate_of(result: dict[str, Json]) -> Run:
    return Run("c", "certify", "", "finished", datetime.now(UTC), None, {}, {}, result, None, 0)


def test_a_command_that_repeats_it_names_engines_that_the_line_before_makes() -> None:
    """Also where Pythons ran them here that are no environments."""
    result = {"profiles": [{**row, "vllm": row["vllm"].replace("0.32.0", "0.32.0+cpu")} for row in rows()]}
    told = dict(commands(certificate_of(result), "en"))
    made = [line.removeprefix("make engine VLLM=") for line in told["The engines that are compared"].split(" && ")]
    names = [wanted_engine("gpu", requirement)[0] for requirement in made]
    assert f"--engines {','.join(names)}" in told["The run"]
    assert "The engines that are compared" not in dict(commands(certificate_of({"profiles": []}), "en"))


def test_a_prompt_longer_than_what_is_computed_at_a_time_says_in_how_many_parts() -> None:
    told = [(350, "bitwise"), (8500, "none")]
    load = {"questions": [{"prompt_tokens": n, "level": level} for n, level in told]}
    short, long = length_words(load, "en", 8192)
    assert (short, long) == ("350 tokens: bitwise", "8500 tokens, computed in 2 parts: none")
    assert "parts" not in "".join(length_words(load, "en"))
