"""Settings come from overrides, the environment, `.env` and defaults, in that order, and a wrong one is named."""

import re
from pathlib import Path

import pytest

from vqa.errors import InputError
from vqa.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_stands_in_the_example_with_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.findall(r"^#?(VQA_[A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert {name for name, _ in lines} == {f"VQA_{name.upper()}" for name in Settings.model_fields}
    monkeypatch.delenv("VQA_DATA_DIR")
    monkeypatch.delenv("VQA_LANGUAGE")
    monkeypatch.chdir(tmp_path)
    defaults = load_settings()
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in lines))
    assert load_settings() == defaults


def test_the_environment_wins_over_the_file_and_overrides_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("VQA_PORT=1111\nVQA_ENGINE_PORT=2222\nVQA_MODEL=甲 乙\n")
    monkeypatch.setenv("VQA_PORT", "3333")
    settings = load_settings(engine_port=4444)
    assert (settings.port, settings.engine_port, settings.model) == (3333, 4444, "甲 乙")


@pytest.mark.parametrize(("name", "value"), [("VQA_PORT", "70000"), ("VQA_PORT", "-1"), ("VQA_SOURCE", "elsewhere")])
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=name) as refused:
        load_settings()
    assert value.lstrip("-") in refused.value.message("zh")


@pytest.mark.parametrize(
    "names", ["https://vqa.example.org", "vqa.example.org/lab", "a.org:443", "*vqa.org", "a.org,,b.org"]
)
def test_hosts_that_are_no_names_are_refused(names: str) -> None:
    with pytest.raises(InputError, match="VQA_ALLOWED_HOSTS"):
        load_settings(allowed_hosts=names)
    assert load_settings(allowed_hosts="vqa.example.org, *.example.org,[::1]").allowed_hosts


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VQA_AUTH", "VQA_API_KEY", "VQA_HUB_TOKEN"):
        monkeypatch.setenv(name, "hush-hush")
    assert "hush-hush" not in repr(load_settings())


@pytest.mark.parametrize("name", ["VQA_API_KEY", "VQA_HUB_TOKEN"])
def test_a_secret_that_fits_into_no_header_is_refused_without_being_shown(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "schlüssel-geheim")
    with pytest.raises(InputError, match=name) as refused:
        load_settings()
    assert "geheim" not in refused.value.message("en") + refused.value.hint("en") + repr(refused.value.values)
