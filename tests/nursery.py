"""A process that has imported all that the app imports, and for each line that it reads becomes an app, as a copy.

Importing takes a start of `app.py` longer than all else. Run as `python -m tests.nursery` by `tests.apps`. Each line is
JSON: `{"start": {"environment": …, "log": …}}` is answered with the PID of the new process, `{"poll": PID}` with its
exit status (as `subprocess.Popen.returncode` has it), or null while it lives.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from vqa.cli.page import QUIET

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Answers one line after the other until there are no more; returns in each app, too, once it has ended."""
    os.environ |= QUIET
    import_module("vqa.cli.serving")
    for tab in import_module("vqa.ui.page").TABS:
        import_module(tab.module)
    for line in sys.stdin:
        asked = json.loads(line)
        if "poll" in asked:
            answer = status(asked["poll"])
        elif (answer := os.fork()) == 0:
            become_app(**asked["start"])
            return
        print(json.dumps(answer), flush=True)


def status(pid: int) -> int | None:
    """The exit status of an app that has ended; below zero, the signal that ended it. None while it lives."""
    found, told = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(told) if found else None


def become_app(environment: dict[str, str], log: str) -> Any:
    """Goes on as `python app.py` would with this environment, its output in a file."""
    os.environ.clear()
    os.environ.update(environment)
    for place, target in ((0, os.devnull), (1, log), (2, log)):
        opened = os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, place)
        os.close(opened)
    os.chdir(ROOT)
    sys.argv = ["app.py"]
    runpy.run_path("app.py", run_name="__main__")


if __name__ == "__main__":
    main()
