"""What the app takes from a laptop: seconds until the page is there, and memory."""

from pathlib import Path

import psutil
import pytest

from tests.conftest import RunningApp

pytestmark = pytest.mark.engine


def proportional_bytes(process: psutil.Process) -> int:
    """A process's memory, pages that it shares counted in proportion (PSS)."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    if not rollup.exists():
        pytest.skip("this system does not tell proportional memory")
    line = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


def test_the_page_is_there_soon_while_the_engine_is_still_starting(app: RunningApp) -> None:
    assert app.seconds_to_page < app.seconds_to_engine


def test_the_app_stays_under_500_mb_and_the_engine_under_3_gb(app: RunningApp) -> None:
    page = psutil.Process(app.process.pid)
    assert page.memory_info().rss < 500_000_000
    assert 0 < sum(map(proportional_bytes, page.children(recursive=True))) < 3_000_000_000
