"""What the installed vLLM says of its own flags: their help, and whether its argument parser takes a command line.

Importing vLLM takes long. So the help is read out of its source files, where it stands beside each setting, and the
parser is asked in a child; what the parser answered is kept on disk for each version of vLLM.
"""

import ast
import contextlib
import hashlib
import json
import os
import subprocess
import threading
import time
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from vqa.engine.environments import engine_python
from vqa.engine.flags import SWITCHES, VALUES
from vqa.engine.parser_facts import SAMPLES, FlagFacts, ParserFacts, check_flags
from vqa.engine.python_facts import facts_of
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Engine
from vqa.errors import EngineError
from vqa.json_file import read_value, write_json
from vqa.settings import Settings

__all__ = [
    "check_flags",
    "check_with_vllm",
    "help_texts",
    "known_facts",
    "learn",
    "learn_when_serving",
    "must_ask",
]

_SECONDS = 300.0
_LATER = 60.0
_POLITE = "import os\nos.nice(19)\n"
_KEPT = 200
_SOURCES = ("config/*.py", "entrypoints/launchers/cli_args.py", "entrypoints/openai/cli_args.py")
_OTHER_NAMES = {"limit_mm_per_prompt": "limit_per_prompt"}
_PROGRAM = """
import contextlib, importlib, io, json, sys
def first(*places):
    for place in places:
        module, _, name = place.partition(":")
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    raise SystemExit("no parser in this vLLM")
said, problem = io.StringIO(), None
with contextlib.redirect_stdout(sys.stderr):
    places = "vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args"
    make = first(*(place + ":make_arg_parser" for place in places))
    Parser = first("vllm.utils.argparse_utils:FlexibleArgumentParser", "vllm.utils:FlexibleArgumentParser")
    parser = make(Parser(prog="vllm serve"))
try:
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        parser.parse_args(sys.argv[2:])
except SystemExit:
    problem = said.getvalue().strip().rsplit("error: ", 1)[-1]
except Exception as raised:
    problem = str(raised)
def takes(action, word):
    try:
        (action.type or str)(word)
        return True
    except Exception:
        return False
samples = json.loads(sys.argv[1])
flags = {
    name: {
        "nargs": "1" if action.nargs is None else str(action.nargs),
        "choices": [str(each) for each in action.choices] if action.choices else None,
        "takes": [form for form, word in samples.items() if takes(action, word)],
    }
    for action in parser._actions for name in action.option_strings
}
print(json.dumps({"problem": problem, "flags": flags}))
"""


def known_facts(settings: Settings) -> ParserFacts:
    """Returns what is remembered of the parser, without asking it."""
    try:
        plain = read_value(_cache(settings))
        flags = {name: FlagFacts.from_json(each) for name, each in plain["flags"].items()}
        return ParserFacts(flags, dict(plain["checked"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ParserFacts()


def check_with_vllm(spec: EngineSpec, settings: Settings, *, polite: bool = False) -> str | None:
    """Returns what vLLM's own parser says against `spec`, None when it takes it.

    Takes as long as importing vLLM for flags that it was not asked about before.

    Raises:
        EngineError: vLLM cannot be imported.
    """
    words = [f"--model={spec.model}", *spec.flags()]
    digest = hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]
    facts = known_facts(settings)
    if digest not in facts.checked:
        answer = _ask(settings, words, polite)
        checked = {**dict(list(facts.checked.items())[1 - _KEPT :]), digest: answer["problem"]}
        write_json(_cache(settings), {"flags": answer["flags"], "checked": checked})
        return str(answer["problem"]) if answer["problem"] else None
    return facts.checked[digest]


def must_ask(spec: EngineSpec, usual: EngineSpec, settings: Settings) -> bool:
    """Returns whether the parser has to be asked (see `learn`) before `spec` can be checked.

    `usual` is what would be started if nobody had changed a flag; that needs no check and waits for none.
    """
    return spec.flags() != usual.flags() and not known_facts(settings).flags


def learn(settings: Settings, *, polite: bool = False) -> None:
    """Asks the installed vLLM's parser for its flags and keeps them, so that `check_flags` knows them.

    Takes as long as importing vLLM, once for each version of it; `polite` leaves the processors to whoever else wants
    them. A vLLM that cannot be imported is told by the start.
    """
    with contextlib.suppress(EngineError):
        check_with_vllm(EngineSpec(""), settings, polite=polite)


def learn_when_serving(settings: Settings, engine: Engine) -> None:
    """Does `learn` in the background once the engine serves for the first time, when that delays nobody's start."""

    def work() -> None:
        with contextlib.suppress(EngineError):
            if not known_facts(settings).flags and engine.wait(lambda now: now.serving or now.attached).serving:
                time.sleep(_LATER)  # the first question after a start comes first
                learn(settings, polite=True)

    if settings.base_url is None:
        threading.Thread(target=work, name="vllm-flags", daemon=True).start()


def _cache(settings: Settings) -> Path:
    facts = facts_of(engine_python(settings), settings.data_dir / "engine")
    return settings.data_dir / "engine" / f"parser-{facts.distribution}-{facts.vllm_version}.json"


def _ask(settings: Settings, words: list[str], polite: bool) -> dict[str, Any]:
    python = engine_python(settings)
    folder = settings.data_dir / "engine"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        done = subprocess.run(
            [python, "-c", (_POLITE if polite else "") + _PROGRAM, json.dumps(SAMPLES), *words],
            capture_output=True,
            text=True,
            env=EngineSpec("").env(os.environ),
            cwd=folder,
            timeout=_SECONDS,
            check=False,
        )
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        return {"problem": answer["problem"], "flags": answer["flags"]}
    except (OSError, subprocess.SubprocessError) as problem:
        raise EngineError("vllm_unusable", reason=str(problem)) from problem
    except (ValueError, IndexError, KeyError, TypeError):
        lines = done.stderr.strip().splitlines()
        raise EngineError("vllm_unusable", reason=lines[-1] if lines else f"status {done.returncode}") from None


def help_texts(settings: Settings) -> dict[str, str]:
    """Returns what vLLM itself says of each field of a spec, in its English; takes a fraction of a second once.

    A field is left out when the installed vLLM does not document it, or there is no vLLM.
    """
    folder = facts_of(engine_python(settings), settings.data_dir / "engine").folder
    return dict(_documented(Path(folder))) if folder else {}


@cache
def _documented(folder: Path) -> tuple[tuple[str, str], ...]:
    names = {_OTHER_NAMES.get(name, name): name for name in (*VALUES, *SWITCHES)}
    found: dict[str, str] = {}
    for pattern in _SOURCES:
        for path in sorted(folder.glob(pattern)):
            for name, text in _attribute_docs(path):
                if name in names:
                    found.setdefault(names[name], " ".join(text.split()))
    return tuple(found.items())


def _attribute_docs(path: Path) -> list[tuple[str, str]]:
    """Returns (name, docstring) of every documented class attribute in a source file."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []
    found = []
    for body in (node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for one, other in pairwise(body):
            if (
                isinstance(one, ast.AnnAssign)
                and isinstance(one.target, ast.Name)
                and isinstance(other, ast.Expr)
                and isinstance(other.value, ast.Constant)
                and isinstance(other.value.value, str)
            ):
                found.append((one.target.id, other.value.value))
    return found
