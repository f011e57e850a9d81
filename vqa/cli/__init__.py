"""The command line: puts the commands together and turns every error into a sentence and an exit status."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from typing import Annotated

import typer

from vqa import __version__
from vqa.cli.lazy import LazyGroup
from vqa.errors import InputError, UnforeseenError, VQAError
from vqa.text import Language, pick_language

USAGE_ERROR = 2
# Typer brings its own copy of click and shows only this class of its errors; the third is the base of them all.
COMMAND_LINE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
INTERRUPTED = 130


def build_app() -> typer.Typer:
    """Returns the command line with all its commands."""
    app = typer.Typer(
        name="vqa",
        cls=LazyGroup,
        help="Ask a local vision-language model about images, and prove whether its answers repeat.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(help=app.info.help)(_options)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"vqa-lab {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Takes the options that stand before a command."""


def cli_language() -> Language:
    """Returns the language of VQA_LANGUAGE (of the environment or of `.env`), else of the terminal's locale."""
    from vqa.settings import load_settings

    try:
        wanted = load_settings().language
    except VQAError:  # it is about to be shown, in this language
        wanted = "auto"
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG")
    return pick_language(locale if wanted == "auto" else wanted)


def show_error(error: VQAError) -> None:
    """Prints what happened and what to do next to standard error."""
    language = cli_language()
    print(f"{error.message(language)}\n{error.hint(language)}", file=sys.stderr)


def _speak_plainly() -> None:
    """Keeps what libraries log, tracebacks too, off the terminal, and writes what its encoding lacks as escapes.

    `vqa page` logs; with VQA_TRACEBACK everything is shown.
    """
    root = logging.getLogger()
    if not root.handlers and not os.environ.get("VQA_TRACEBACK"):
        root.addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _check_text(arguments: list[str]) -> None:
    """Raises InputError for a word that is no UTF-8: no store keeps it, and no request carries it."""
    for word in arguments:
        if any("\ud800" <= char <= "\udfff" for char in word):
            raise InputError("word_no_text", word=ascii(word))


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status: 2 for bad input, 130 when interrupted."""
    # So that `finally` blocks stop an engine that this command started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _speak_plainly()
    try:
        _check_text(sys.argv[1:] if arguments is None else arguments)
        result = build_app()(args=arguments, standalone_mode=False)
    except VQAError as error:
        show_error(error)
        return USAGE_ERROR
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except typer.Exit as ended:
        return int(ended.exit_code)
    except COMMAND_LINE_ERROR as problem:
        problem.show()  # type: ignore[attr-defined]
        return USAGE_ERROR
    except BrokenPipeError:
        # Whoever read our output has gone; say nothing more into the closed pipe.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        return 0
    except Exception as problem:
        if os.environ.get("VQA_TRACEBACK"):
            raise
        # What nobody foresaw is told in a sentence too; where it happened is for who mends it.
        show_error(UnforeseenError(problem))
        return USAGE_ERROR
    return result if isinstance(result, int) else 0
