"""The operator's own flags: passed on as they are, but for those that have a place of their own."""

import shlex
from pathlib import Path

import pytest

from vqa.engine.access import engine_args
from vqa.errors import InputError
from vqa.settings import Settings


def args(tmp_path: Path, text: str) -> tuple[str, ...]:
    return engine_args(Settings(data_dir=tmp_path, engine_args=text))


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("--port 9", "--port"),
        ("--model=/m", "--model"),
        ("--api-key s", "--api-key"),
        ("--api_key=s", "--api-key"),
        ("--served-model-name other", "--served-model-name"),
        ("--served_model_name=other", "--served-model-name"),
        ("--max-num-seqs 4 --served-model other", "--served-model-name"),
        ("--host 192.0.2.1", "--host"),
        ("--host=192.0.2.1", "--host"),
        ("--uds /tmp/s", "--uds"),
        ("--ssl-certfile=c.pem", "--ssl-certfile"),
        ("--headless", "--headless"),
    ],
)
def test_what_has_a_place_of_its_own_or_hides_the_engine_is_refused(tmp_path: Path, text: str, flag: str) -> None:
    with pytest.raises(InputError) as refused:
        args(tmp_path, text)
    assert refused.value.code == "engine_args_managed"
    assert flag in refused.value.message("en")
    assert flag in refused.value.message("zh")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "--host 0.0.0.0",
        "--host=::",
        "--kv-cache-dtype fp8 --max_logprobs=20",
        "--middleware a.b --config c.yaml",
        '--model-impl transformers --hf-overrides \'{"a": "--port"}\'',
        "--limit-mm-per-prompt.image 4",
    ],
)
def test_everything_else_is_passed_on_as_a_shell_would_split_it(tmp_path: Path, text: str) -> None:
    assert args(tmp_path, text) == tuple(shlex.split(text))


def test_unbalanced_quotation_marks_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        args(tmp_path, "--a 'b")
    assert refused.value.code == "engine_args_invalid"
