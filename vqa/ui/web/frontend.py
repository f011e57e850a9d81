"""Gradio's own scripts and rules, so that a browser has them sooner: each packed once, kept by whoever has it, and
those that a page begins with named in its head. Knows how Gradio's build names its files, nothing of what they do.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import gradio
from starlette.datastructures import Headers
from starlette.responses import Response

from vqa.markup import Markup, html, joined
from vqa.ui.web.asgi import App, Receive, Scope, Send, path_of

FOLDER = Path(gradio.__file__).parent / "templates" / "frontend" / "assets"
ADDRESS = re.compile(r"/assets/([\w.-]+-[\w-]{8,10}\.(js|css))")
"""The signs before the suffix are of the file's content: what has this name is never another file."""
KINDS = {"js": "application/javascript", "css": "text/css; charset=utf-8"}
KEPT = "public, max-age=31536000, immutable"
LISTED = re.compile(r"m\.f=(\[[^\]]*\])")
"""In a script: which files its parts may need; each part names them by their places in this list."""
PART = re.compile(r"import\(`\./([^`]+)`\)[^`]{,80}?__vite__mapDeps\(\[([\d,]*)\]\)")
FIXED = re.compile(r"(?:from|import)[`\"']\./([^`\"']+\.js)[`\"']")
KIND = re.compile(r"\b(\w+):\{[^{}]*\bcomponent:\(\)=>\w+\(\(\)=>import\(`\./([^`]+)`\)")


class Frontend:
    """Answers for Gradio's scripts and rules from memory."""

    def __init__(self, app: App, *, files: Iterable[str]) -> None:
        """`files` are those that the page begins with: their rules are there as one file as well."""
        self._app = app
        name, rules = together(files)
        self._rules = {name: _pack(rules)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or passes the request on where it is for something else."""
        asked = ADDRESS.fullmatch(path_of(scope)) if scope["type"] == "http" and scope["method"] == "GET" else None
        found = asked and (self._rules.get(asked[1]) or _packed(asked[1]))
        if not asked or not found:
            await self._app(scope, receive, send)
            return
        plain = "gzip" not in Headers(scope=scope).get("accept-encoding", "")
        headers = {"cache-control": KEPT, "vary": "accept-encoding", "content-type": KINDS[asked[2]]}
        headers |= {} if plain else {"content-encoding": "gzip"}
        await Response(gzip.decompress(found) if plain else found, headers=headers)(scope, receive, send)


@cache
def _packed(name: str) -> bytes | None:
    file = FOLDER / name
    return _pack(file.read_bytes()) if file.is_file() else None


def _pack(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)


def together(files: Iterable[str]) -> tuple[str, bytes]:
    """Returns the rules of all files as one, and its name."""
    rules = b"\n".join((FOLDER / name).read_bytes() for name in files if name.endswith(".css"))
    return f"begin-{hashlib.sha256(rules).hexdigest()[:8]}.css", rules


def begins_with(kinds: Iterable[str]) -> tuple[str, ...]:
    """Returns the names of the files that a page of these kinds of components loads, scripts and rules.

    They stand in the order in which Gradio loads them, since of two rules for one thing the later one holds: what is
    for the whole page, then each component's own. They are read from Gradio's build; where a build is otherwise, what
    is not found is loaded when it is wanted.
    """
    found: dict[str, None] = {}
    for start in sorted(FOLDER.glob("index-*.js")):
        for name, needs in _parts(start.name):
            if name.startswith("Index-"):
                found |= dict.fromkeys(needs)
                for other, more in _parts(name):
                    found |= dict.fromkeys(more if other.startswith("Blocks-") else ())
    wanted = set(kinds)
    for core in [name for name in found if name.startswith("core-")]:
        first = {file for kind, file in KIND.findall(_text(core)) if kind in wanted}
        for name, needs in _parts(core):
            if name in first:
                found |= dict.fromkeys(needs)
    waiting = list(found)
    while waiting:
        more = [name for name in FIXED.findall(_text(waiting.pop())) if name not in found]
        found |= dict.fromkeys(more)
        waiting += more
    return tuple(name for name in found if (FOLDER / name).is_file())


def named(files: Iterable[str], first: Iterable[str]) -> Markup:
    """Returns what has a browser load the scripts among `first` at once, and the rules of all files, for <head>.

    A rule that has been loaded counts as such by its name: those names stand there switched off, since what they hold
    comes with the one file. So the rules are there, in their order, before a tab is drawn that has other parts.
    """
    listed, early = list(files), set(first)
    return joined(
        html('<link rel="modulepreload" href="./assets/{}">', name)
        if name.endswith(".js")
        else html('<link rel="stylesheet" disabled href="./assets/{}">', name)
        for name in listed
        if name in early or name.endswith(".css")
    ) + html('<link rel="preload" as="style" href="./assets/{}">', together(listed)[0])


def rules(files: Iterable[str]) -> Markup:
    """Returns what loads the files' rules, for the end of <head>: Gradio's general ones, which come before, yield."""
    return html('<link rel="stylesheet" href="./assets/{}">', together(files)[0])


@cache
def _text(name: str) -> str:
    file = FOLDER / name
    return file.read_text(encoding="utf-8") if file.suffix == ".js" and file.is_file() else ""


def _parts(name: str) -> list[tuple[str, list[str]]]:
    """Returns what a script loads when it is wanted: each part with the files that it needs, itself among them."""
    text = _text(name)
    listed = LISTED.search(text)
    files = [str(each).removeprefix("./") for each in json.loads(listed[1])] if listed else []
    return [(part, [part, *(files[int(n)] for n in places.split(",") if n)]) for part, places in PART.findall(text)]
