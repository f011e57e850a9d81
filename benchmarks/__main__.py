"""`make bench`: runs every benchmark, prints one table, and saves it with the machine's description."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import Row
from vqa import __version__
from vqa.engine.machine import Machine
from vqa.settings import load_settings

OUT = Path("out/benchmarks.json")
ALONE = ("command_line", "images", "report", "redraw", "long_page", "idle", "ceiling", "start_to_ready", "first_answer")
"""These start what they need themselves."""
ON_A_SERVER = ("first_token", "page_load", "hands", "lab_throughput", "evaluation", "limits")
"""These take the address of a running engine."""
LARGE = ("large_data",)
"""These start what they need themselves, and take minutes and gigabytes: only where they are named."""


def main() -> int:
    """Runs the wanted benchmarks; exit status 1 when a bound did not hold, or one could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*ALONE, *ON_A_SERVER, *LARGE, []], help="all but the large ones when none is named"
    )
    parser.add_argument("--base-url", help="a running server; else one is started with the demo model")
    parser.add_argument("--json", type=Path, default=OUT, help="where the table is saved")
    wanted = parser.parse_args()
    names = wanted.names or [*ALONE, *ON_A_SERVER]
    rows: list[Row] = []
    missing: list[str] = []

    def add(name: str, *arguments: str) -> None:
        try:
            rows.extend(run(name, *arguments))
        except (Exception, SystemExit) as problem:  # minutes of others' figures are not lost with one
            print(f"  {name} could not be measured: {problem}", file=sys.stderr)
            missing.append(name)

    for name in (name for name in names if name in (*ALONE, *LARGE)):
        add(name)
    if any(name in ON_A_SERVER for name in names):
        with server(wanted.base_url) as base_url:
            for name in (name for name in names if name in ON_A_SERVER):
                add(name, base_url)
    show(rows)
    save(rows, wanted.json)
    return 0 if all(row.held for row in rows) and not missing else 1


def run(name: str, *arguments: str) -> list[Row]:
    """Runs one benchmark module's `run`, which may be a coroutine function."""
    print(f"- {name} …", flush=True)
    began = time.monotonic()
    result = importlib.import_module(f"benchmarks.{name}").run(*arguments)
    rows: list[Row] = asyncio.run(result) if asyncio.iscoroutine(result) else result
    print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return rows


@contextmanager
def server(base_url: str | None) -> Iterator[str]:
    """Yields the address of a server with the demo model."""
    from vqa.cli.target import target

    with target(load_settings(), base_url, model="demo") as found:
        yield found.base_url


def show(rows: list[Row]) -> None:
    """Prints the table."""
    table = Table("what", "ours", "bare", "unit", "ratio", "bound", "held")
    for row in rows:
        held = "yes" if row.held else "NO"
        table.add_row(row.what, f"{row.ours:.4g}", f"{row.bare:.4g}", row.unit, f"{row.ratio:.3f}", row.bound, held)
    Console().print(table)


def save(rows: list[Row], path: Path) -> None:
    """Writes the table with what it was measured on."""
    machine = Machine.load(load_settings())
    written = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "app": __version__,
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "cores": machine.cores,
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": [gpu.name for gpu in machine.gpus],
        "vllm": f"{machine.vllm_distribution} {machine.vllm_version}",
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(written, ensure_ascii=False, indent=1) + "\n")
    print(f"Saved to {path}")


if __name__ == "__main__":
    sys.exit(main())
