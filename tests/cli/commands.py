"""Every command of the command line in a form that needs no engine, no network and no second to end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from vqa.cli import main
from vqa.cli.lazy import HOME
from vqa.text import t

NOWHERE = "/nonexistent"
COMMANDS: dict[str, list[str]] = {
    "page": ["page"],
    "ask": ["ask", "p.png", "What?"],
    "repeat": ["repeat", "p.png", "What?", "-n", "2"],
    "diagnose": ["diagnose", "p.png", "What?"],
    "certify": ["certify", "--profiles", "nonsense"],
    "horizon": ["horizon", "--profiles", "nonsense"],
    "matrix": ["matrix", "--sizes", "large"],
    "verify": ["verify", "nothing"],
    "runs": ["runs"],
    "report": ["report", "nothing", "--html", "-"],
    "holds": ["holds"],
    "evaluate": ["evaluate", "rows.jsonl"],
    "score": ["score", "nothing"],
    "compare": ["compare", "one", "other"],
    "gate": ["gate", "base.json", "rows.jsonl"],
    "power": ["power", "nothing"],
    "forecast": ["forecast", "nothing"],
    "serve": ["serve", NOWHERE],
    "start": ["start", NOWHERE],
    "stop": ["stop"],
    "restart": ["restart"],
    "status": ["status"],
    "logs": ["logs"],
    "check": ["check", NOWHERE],
    "download": ["download", "no-such"],
    "models": ["models"],
    "remove": ["remove", "no/such", "-y"],
    "complete": ["complete", NOWHERE],
    "twin": ["twin", "no/such", f"{NOWHERE}/x"],
    "doctor": ["doctor"],
}
SETTINGS = {"MODEL": NOWHERE, "VLLM_PYTHON": f"{NOWHERE}/python", "HOST": "192.0.2.7", "LANGUAGE": "en"}
"""Under which nothing starts: no model, no vLLM, and an address at which no page may be opened."""
UNFORESEEN = t("errors.unforeseen", "en", kind="|", reason="").partition("|")[0]


@dataclass(frozen=True)
class Told:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def fault(self) -> str | None:
        """What is wrong with it; None for an exit status with, unless it is 0, a sentence beside it."""
        said = self.out + self.err
        if "Traceback" in said or UNFORESEEN in said:
            return said[-2000:]
        return "no word" if self.status and not said.strip() else None


class Everything:
    """Runs commands in a folder of their own, with a picture and a data set in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        assert COMMANDS.keys() == HOME.keys(), "every command is tried"
        self.folder, self._capfd = folder, capfd
        Image.new("RGB", (64, 64), "white").save(folder / "p.png")
        row = {"image": "p.png", "question": "What?", "answer": "red"}
        (folder / "rows.jsonl").write_text(json.dumps(row), encoding="utf-8")
        monkeypatch.chdir(folder)
        monkeypatch.delenv("VQA_TRACEBACK", raising=False)
        monkeypatch.setenv("VQA_DATA_DIR", str(folder / "data"))
        for name, value in SETTINGS.items():
            monkeypatch.setenv(f"VQA_{name}", value)

    def run(self, name: str) -> Told:
        """Runs a command; whatever it raises is a fault of the test."""
        return self.typed(COMMANDS[name])

    def typed(self, words: list[str]) -> Told:
        """Runs a command as it was typed."""
        self._capfd.readouterr()
        status = main(words)
        told = self._capfd.readouterr()
        return Told(status, told.out, told.err)

    def faults(self, names: list[str] | None = None) -> dict[str, str]:
        """Returns the commands that end in anything but success or a sentence, with what they said."""
        found = {name: self.run(name).fault for name in names or COMMANDS}
        return {name: fault for name, fault in found.items() if fault is not None}
