"""Writes what `make test-models` found into vqa/models/tried.json, and the table of it into docs/models.md.

usage: python -m scripts.models_table ROWS     (the file that TWIN_ROWS named; a model's newer row replaces its older)
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, fields
from pathlib import Path

from vqa.models.tried import FILE, Trial
from vqa.models.twins.write import alike

PAGE = Path(__file__).resolve().parent.parent / "docs" / "models.md"
BEGIN, END = "<!-- table: scripts/models_table.py -->", "<!-- end of the table -->"
SIZES = ("64x64", "448x448", "1600x1000", "300x4000")


def merged(old: list[Trial], new: list[Trial]) -> list[Trial]:
    """Returns the old trials with the new ones in place of those of the same model, vLLM and weights."""
    found = {(trial.id, trial.versions, trial.weights): trial for trial in (*old, *new)}
    return list(found.values())


def read_rows(path: Path) -> list[Trial]:
    """Returns the trials of a file of JSON lines."""
    known = {each.name for each in fields(Trial)}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Trial(**{**{k: v for k, v in row.items() if k in known}, "alike": alike(row["id"])}) for row in rows]


def table(trials: list[Trial]) -> str:
    """Returns the trials as a table in Markdown."""
    head = ["model", "layout also of", "served by", "weights", "ready after", *SIZES, "different of 5", "flags", ""]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for trial in trials:
        others = ", ".join(other.rsplit("/", 1)[-1] for other in trial.alike)
        tokens = [f"{trial.image_tokens[size]:,}" if size in trial.image_tokens else "–" for size in SIZES]
        ready = f"{trial.seconds_to_ready:.0f} s" if trial.seconds_to_ready else "–"
        distinct = "–" if trial.distinct_of_5 is None else str(trial.distinct_of_5)
        flags = f"`{trial.flags}`" if trial.flags else "–"
        said = trial.problem or "works"
        cells = [trial.id, others or "–", f"{trial.versions} ({trial.device})", trial.weights, ready, *tokens]
        lines.append(f"| {' | '.join([*cells, distinct, flags, said])} |")
    return "\n".join(lines)


def page_with(page: str, trials: list[Trial]) -> str:
    """Returns the page with this table between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table(trials)}\n{END}{rest.partition(END)[2]}"


def plain(trial: Trial) -> dict[str, object]:
    """Returns a trial without what says nothing."""
    return {name: value for name, value in asdict(trial).items() if value not in ((), {}, "", 0.0, None)}


def main(rows: str) -> int:
    """Reads the rows, writes both files."""
    old = [
        Trial(**{**row, "alike": tuple(row.get("alike", ()))}) for row in json.loads(FILE.read_text(encoding="utf-8"))
    ]
    trials = merged(old, read_rows(Path(rows)))
    lines = ",\n".join(f" {json.dumps(plain(trial), ensure_ascii=False)}" for trial in trials)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), trials), encoding="utf-8")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
