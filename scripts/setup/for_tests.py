"""Makes sure of what only the tests need: a browser, and PostgreSQL where it can be had."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from scripts.setup.steps import PYTHON, SetupFailed, run, step, tail

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def ensure_browser() -> None:
    """Finds Chromium for the browser tests, or installs it."""
    if any(shutil.which(name) for name in BROWSERS) or os.environ.get("CHROMIUM"):
        return
    if installed("chromium", "Chromium for the browser tests"):
        return
    with step("Downloading Chromium for the browser tests (playwright)"):
        done = run(PYTHON, "-m", "playwright", "install", "--with-deps", "chromium")
    if done.returncode:
        raise SetupFailed(
            f"Chromium is needed for the browser tests: install it, or name it in CHROMIUM.\n{tail(done)}"
        )


def ensure_postgres() -> None:
    """Finds PostgreSQL for the store's test with it, or installs it as root on Debian; else the test is skipped."""
    if shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return
    if installed("postgresql", "PostgreSQL for the store's test with it"):
        return
    print("- PostgreSQL is not here: the store's test with it is left out.", flush=True)


def installed(package: str, what: str) -> bool:
    """Installs a package of Debian's as root; returns False where that is not possible."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return False
    with step(f"Installing {what} (apt-get)"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=quiet)
        done = run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package, env=quiet)
    return done.returncode == 0
