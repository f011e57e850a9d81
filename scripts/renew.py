"""`make renew`: writes the exact versions of today's newest packages into the constraints files.

Page and command line are resolved in an empty environment, the engine for CPUs in another; what pip has installed there
is what the files then say. `make renew` runs the tests with them afterwards.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.setup.engine import REQUIREMENTS, cpu_index
from scripts.setup.page import CONSTRAINTS
from scripts.setup.steps import ROOT, pip

ENGINE_CONSTRAINTS = ROOT / "engine" / "constraints-cpu.txt"
HEAD = "# Exact versions that were tested together; made by make renew.\n"


def main() -> int:
    """Writes both files; returns an exit status."""
    text = REQUIREMENTS["cpu"].read_text()
    engine = [line.partition(";")[0].strip() for line in text.splitlines() if line[:1].isalpha()]
    with tempfile.TemporaryDirectory() as folder:
        return write(CONSTRAINTS, Path(folder) / "page", ["--editable", ".[page,dev]"]) or write(
            ENGINE_CONSTRAINTS, Path(folder) / "engine", engine
        )


def write(path: Path, folder: Path, wanted: list[str]) -> int:
    """Installs `wanted` into a new environment in `folder` and writes what was installed into `path`."""
    print(f"- {path.relative_to(ROOT)}: {' '.join(wanted)} …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    extra = cpu_index(python) if path == ENGINE_CONSTRAINTS else []
    done = pip(python, "install", "--quiet", "--no-compile", *extra, *wanted)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 1
    listed = pip(python, "list", "--format=freeze", "--exclude", "pip", "--exclude", "setuptools", "--exclude-editable")
    versions = sorted(listed.stdout.split(), key=str.lower)
    path.write_text(HEAD + "".join(f"{each}\n" for each in versions))
    print(f"  {len(versions)} packages", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
