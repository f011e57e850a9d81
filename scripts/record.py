"""`python scripts/record.py RUN.json ID NAME`: makes a run's JSON file a recorded run that ships with the app.

The run keeps its samples, header and verdict; it gets a readable id and a name, and paths are cut to their last part.
"""

from __future__ import annotations

import gzip
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vqa.lab.run.public_header import public
from vqa.lab.run.recorded import ENDING, FOLDER
from vqa.lab.run.run_json import Report, dump, load_report


def main() -> int:
    """Writes the recorded run and says how large it is."""
    source, run_id, name = sys.argv[1:4]
    report = load_report(Path(source))
    result = public(report.run.result) if report.run.result else None
    run = replace(report.run, id=run_id, name=name, result=result, plan=public(report.run.plan))
    text = dump(Report(run, report.samples, report.images, report.app_version))
    path = FOLDER / f"{run_id}{ENDING}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{path.relative_to(FOLDER.parent.parent)}: {path.stat().st_size} bytes, {len(report.samples)} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
