"""No command ends in a traceback, whatever is set, whatever lies on the disk, and whatever the environment is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.cli.commands import COMMANDS, Everything
from vqa.settings import Settings

ODD = ("nonsense", "/dev/null/x", "socks5://nowhere.invalid:1", "[::1", "~nobody9/x", "a\nb", "x" * 5000, "\udcff")
MATTERING = ["ask", "runs", "start", "status", "models", "doctor"]
TOLD_BY_ALL = sorted(COMMANDS.keys() - {"twin", "complete"})
"""The two read no settings."""


@pytest.fixture
def everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Everything:
    return Everything(tmp_path, monkeypatch, capfd)


def accepted(name: str, value: str) -> bool:
    """Whether the settings take the value, so that a command gets as far as using it; no other setting is read."""
    try:
        Settings.__pydantic_validator__.validate_assignment(Settings.model_construct(), name, value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if any(accepted(name, odd) for odd in ODD)])
def test_a_setting_that_is_taken_may_be_any_text(
    name: str, everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in [odd for odd in ODD if accepted(name, odd)][:3]:
        monkeypatch.setenv(f"VQA_{name.upper()}", value)
        assert everything.faults(MATTERING) == {}, value


@pytest.mark.parametrize("value", ["\udcff", "1e309"])
def test_a_setting_that_is_not_taken_is_named(
    value: str, everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in Settings.model_fields:
        with monkeypatch.context() as set_here:
            set_here.setenv(f"VQA_{name.upper()}", value)
            told = everything.run("runs")
        assert (name, told.fault) == (name, None)
        if not accepted(name, value):
            assert (told.status, f"VQA_{name.upper()}" in told.err) == (2, True)


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_every_command_names_a_setting_that_it_cannot_use(
    place: str, everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == ".env":
        (everything.folder / ".env").write_text("VQA_PORT=abc\n", encoding="utf-8")
    else:
        monkeypatch.setenv("VQA_PORT", "abc")
    for name in TOLD_BY_ALL:
        told = everything.run(name)
        assert (name, told.status, "VQA_PORT" in told.err, told.fault) == (name, 2, True, None)


def is_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("junk", encoding="utf-8")


def is_binary(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(range(256)))


def is_folder(path: Path) -> None:
    path.mkdir(parents=True)


def dangles(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/nonexistent/place")


def is_a_loop(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path)


def has_other_tables(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE runs (a INTEGER)")


def is_junk_models(path: Path) -> None:
    dangles(path / "dangling")
    is_a_loop(path / "loop")
    for name, text in {
        "a/b/config.json": "{",
        "a/c/config.json": "[1]",
        "a/d/config.json": "{}",
        "a/d/model.safetensors": "xx",
        "a/e/config.json": '{"architectures": 5, "vision_config": [], "model_type": {}}',
        "a/e/model.safetensors.index.json": '{"weight_map": 5}',
        "a/f/adapter_config.json": "[]",
        "a/g/complete.json": "[]",
        "a/h/listing.json": "[" * 100_000,
        "a/i/config.json": "[" * 100_000,
    }.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    is_folder(path / "a/j/config.json")
    os.mkdir(os.fsencode(path) + b"/\xff\xfe")  # noqa: PTH102 - a name that is no text


@pytest.mark.parametrize(
    ("place", "broken"),
    [
        ("data", is_file),
        ("data", dangles),
        ("data", is_a_loop),
        ("data/vqa.db", is_file),
        ("data/vqa.db", is_folder),
        ("data/vqa.db", dangles),
        ("data/vqa.db", has_other_tables),
        ("data/engine", is_file),
        ("data/engine", dangles),
        ("data/models", is_file),
        ("data/models", is_junk_models),
        (".env", is_folder),
        (".env", is_binary),
        (".env", dangles),
        (".env", is_a_loop),
    ],
)
def test_what_lies_on_the_disk_may_be_anything(
    place: str, broken: Callable[[Path], None], everything: Everything
) -> None:
    broken(everything.folder / place)
    assert everything.faults() == {}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "broken"),
    [*((name, broken) for name in ("p.png", "rows.jsonl") for broken in (is_folder, dangles)), ("p.png", os.mkfifo)],
)
def test_what_a_command_is_given_may_be_anything(
    broken: Callable[[Path], None], name: str, everything: Everything
) -> None:
    (everything.folder / name).unlink()
    broken(everything.folder / name)
    assert everything.faults(["ask", "repeat", "diagnose", "evaluate", "gate"]) == {}


def test_a_cut_store_and_one_of_a_newer_version_are_told(everything: Everything) -> None:
    assert everything.run("runs").status == 0
    store = everything.folder / "data" / "vqa.db"
    whole = store.read_bytes()
    with sqlite3.connect(store) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert everything.run("runs").status == 2
    assert everything.faults() == {}
    store.write_bytes(whole[: len(whole) // 2])
    assert everything.faults() == {}


KEPT = [f"engine/{name}.json" for name in ("engine", "holder", "profiles", "presets", "environment", "environments/a")]
ENGINES = ["serve", "start", "stop", "restart", "status", "doctor"]
WRONG = ["{", "[]", '{"pid": "x", "python": {}, "state": 3}', '{"pid": 1e999}', "[" * 100_000]


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_may_hold_anything(name: str, everything: Everything) -> None:
    path = everything.folder / "data" / name
    for text in WRONG:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        assert everything.faults(ENGINES) == {}, text[:50]
    path.unlink(missing_ok=True)
    is_folder(path)
    assert everything.faults(ENGINES) == {}


@pytest.mark.parametrize(
    "environment",
    [
        {"SSL_CERT_FILE": "/nonexistent.pem", "VQA_BASE_URL": "https://127.0.0.1:9/v1"},
        {"SSL_CERT_FILE": "p.png", "VQA_BASE_URL": "https://127.0.0.1:9/v1"},
        {"SSL_CERT_DIR": "/nonexistent", "VQA_BASE_URL": "https://127.0.0.1:9/v1"},
        {"ALL_PROXY": "socks5://127.0.0.1:1", "VQA_BASE_URL": "http://models.example/v1"},
        {"HTTP_PROXY": "http://[::1", "VQA_BASE_URL": "http://models.example/v1"},
        {"HTTP_PROXY": "nonsense://x:y:z", "VQA_BASE_URL": "http://models.example/v1"},
        {"HTTP_PROXY": "http://127.0.0.1:99999", "VQA_BASE_URL": "http://models.example/v1"},
        {"NO_PROXY": "[::1,%%", "HTTP_PROXY": "http://127.0.0.1:9", "VQA_BASE_URL": "http://models.example/v1"},
        {"LC_ALL": "xx_YY.nonsense", "LANG": "C", "VQA_LANGUAGE": "auto"},
        {"TZ": "nonsense/zone", "TMPDIR": "/nonexistent", "HOME": "/nonexistent"},
        {"COLUMNS": "-1", "LINES": "x", "TERM": "nonsense", "FORCE_COLOR": "1"},
        {"CUDA_VISIBLE_DEVICES": "nonsense,-7", "VLLM_CPU_KVCACHE_SPACE": "x", "VLLM_BATCH_INVARIANT": "yes"},
        {"PATH": ""},
    ],
    ids=lambda environment: ",".join(name for name in environment if not name.startswith("VQA_")),
)
def test_the_environment_may_be_anything(
    environment: dict[str, str], everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert everything.faults() == {}


HUGE = str(2**70)


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "p.png", "What?", "--seed", HUGE],
        ["repeat", "p.png", "What?", "--seed", HUGE],
        ["repeat", "p.png", "What?", "--seed", str(2**63 - 2), "--seeds", "varied", "-n", "9"],
        ["diagnose", "p.png", "What?", "--seed", HUGE],
        ["evaluate", "rows.jsonl", "--seed", HUGE],
        ["evaluate", "rows.jsonl", "-n", HUGE],
        ["runs", "--limit", HUGE],
        ["runs", "\udcff"],
        ["report", "\udcff", "--html", "-"],
        ["repeat", "p.png", "\udcff", "-n", "2"],
        ["repeat", "p.png", "What?", "--name", "\udcff"],
        ["repeat", "p.png", "What?", "--csv", "x" * 300],
        ["repeat", "p.png", "What?", "--csv", "~nobody9/x.csv"],
    ],
    ids=lambda words: " ".join(words)[:40].encode("ascii", "replace").decode(),
)
def test_what_is_typed_may_be_anything(words: list[str], everything: Everything) -> None:
    told = everything.typed([*words, *([] if words[0] in {"runs", "report"} else ["--base-url", "http://127.0.0.1:9"])])
    assert (told.status, told.fault) == (2, None)
    assert "127.0.0.1" not in told.err, "it is told before anybody is asked"
