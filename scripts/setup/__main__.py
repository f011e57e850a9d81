"""Makes .venv and the engine's environment ready.

usage: python3 -m scripts.setup run        .venv at once, the engine's environment in the background: the page opens
                                           and shows it
       python3 -m scripts.setup test       .venv with what the tests need, and the engine's environment
       python3 -m scripts.setup lint       .venv with what the checks need
       python3 -m scripts.setup engine     the engine's environment alone; VLLM=0.33.0, or a path to a wheel, makes
                                           another beside it

DEVICE=cpu or DEVICE=gpu overrides what is found.
"""

from __future__ import annotations

import os
import sys
import time

from scripts.setup.engine import begin_engine, finish_engine, make_engine
from scripts.setup.for_tests import ensure_browser, ensure_postgres
from scripts.setup.page import EXTRAS, install_page
from scripts.setup.steps import VENV, SetupFailed, check_python, find_device, make_venv


def main(goal: str) -> int:
    """Does the steps that `goal` needs; returns an exit status."""
    began = time.monotonic()
    try:
        check_python()
        device = find_device()
        if goal == "engine":
            make_engine(device, os.environ.get("VLLM", ""))
        else:
            engine = None if goal == "lint" else begin_engine(device)
            make_venv(VENV)
            install_page(EXTRAS[goal])
            if goal == "test":
                ensure_browser()
                ensure_postgres()
                finish_engine(engine)
    except SetupFailed as failed:
        print(f"\nSet-up failed: {failed}", file=sys.stderr)
        return 1
    print(f"Set-up is complete ({time.monotonic() - began:.0f} s).", flush=True)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in {"run", "test", "lint", "engine"}:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
