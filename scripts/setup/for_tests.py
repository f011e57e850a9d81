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
    if shutil.which("apt-get") and os.geteuid() == 0:
        with step("Installing Chromium for the browser tests (apt-get)"):
            quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            run("apt-get", "update", "-qq", env=quiet)
            done = run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", env=quiet)
        if done.returncode == 0:
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
    if shutil.which("apt-get") and os.geteuid() == 0:
        with step("Installing PostgreSQL for the store's test with it (apt-get)"):
            quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            run("apt-get", "update", "-qq", env=quiet)
            done = run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql", env=quiet)
        if done.returncode == 0:
            return
    print("- PostgreSQL is not here: the store's test with it is left out.", flush=True)
