"""What is packed for somebody else: versions, flags, the log; no key, no token, no password, no home."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from vqa import cli
from vqa.engine.bundle import HIDDEN, without_secrets, write_bundle
from vqa.errors import InputError

KEY = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"key {KEY} twice {KEY}", f"key {HIDDEN} twice {HIDDEN}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {HIDDEN}"),
        ("--api-key hush --port 1", f"--api-key {HIDDEN} --port 1"),
        ("args: {'api_key': ['hush'], 'port': 1}", f"args: {{'api_key': ['{HIDDEN}'], 'port': 1}}"),
        ("proxy http://me:pass@proxy:3128/", f"proxy http://{HIDDEN}@proxy:3128/"),
        ("hf_" + 20 * "a", HIDDEN),
        (f"{Path.home()}/models/x", "~/models/x"),
        ("seed 1", "seed 1"),
    ],
)  # fmt: skip
def test_no_secret_is_left_in_a_text(text: str, told: str) -> None:
    assert without_secrets(text, [KEY, "1", ""]) == told


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        write_bundle(tmp_path / "absent" / "x.zip", {}, (), ())
    assert told.value.code == "output_unwritable"


def test_the_doctor_packs_versions_flags_and_both_logs_without_the_keys_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VQA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "the-token-of-somebody")
    monkeypatch.setenv("VQA_API_KEY", KEY)
    engine = tmp_path / "engine"
    engine.mkdir()
    (engine / "engine.log").write_text(f"asked with {KEY} and the-token-of-somebody\n")
    (engine / "engine.previous.log").write_text("before\n")
    path = tmp_path / "sent.zip"
    cli.main(["doctor", "--bundle", str(path)])
    told = capsys.readouterr().err
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name).decode() for name in file.namelist()}
    assert set(parts) == {
        "doctor.json",
        "engine.json",
        "machine.json",
        "environment.json",
        "engine.log",
        "engine.previous.log",
    }
    assert all(name in told for name in parts)
    assert parts["engine.log"] == f"asked with {HIDDEN} and {HIDDEN}\n"
    assert not any(KEY in text or "the-token-of-somebody" in text for text in parts.values())
    assert json.loads(parts["engine.json"])["state"] == "stopped"
    assert json.loads(parts["environment.json"])["works"]
