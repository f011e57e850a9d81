"""What Gradio knows of the page that is being built: the app itself, for events of the page as a whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import gradio as gr
from gradio.context import Context

FOR_OTHER_PROGRAMS = ("api_info", "api_info_as_input", "api_info_as_output", "example_inputs")


class Page(gr.Blocks):
    """The app as its own page needs it. What other programs would be told of its events is left out: two thirds of the
    bytes that a browser reads before it draws anything, and no other program is let in (`queue(api_open=False)`).
    """

    def get_config_file(self) -> Any:
        """Returns what a browser builds the page from."""
        config = super().get_config_file()
        for component in config["components"]:
            for name in FOR_OTHER_PROGRAMS:
                component.pop(name, None)
        return config

    def get_api_info(self, all_endpoints: bool = False, page: str | None = None) -> Any:
        """Returns a list of no events."""
        return {"named_endpoints": {}, "unnamed_endpoints": {}}


class Opening:
    """The moment at which the tab that is being built is opened for the first time."""

    def __init__(self, tab: gr.Tab) -> None:
        self._tab = tab

    def first(self, fill: Callable[..., Any], outputs: Sequence[Any]) -> None:
        """Binds what fills the tab, which takes nothing but the request, to that moment.

        Not to the page's own: a browser pays for each output that is filled before anything can be typed.
        """
        asks, opened = bool(inspect.signature(fill).parameters), gr.State(False)

        def once(before: bool, request: gr.Request) -> Any:
            if before:
                return gr.skip()
            made = fill(request) if asks else fill()
            return True, *(made if isinstance(made, tuple | list) else (made,) * len(outputs))

        self._tab.select(once, opened, [opened, *outputs], show_progress="hidden", queue=False)


_OPENING: ContextVar[Opening] = ContextVar("opening")


@contextmanager
def first_opening(tab: gr.Tab) -> Iterator[None]:
    """Makes the tab the one whose first opening `opening()` returns, while its inside is being built."""
    token = _OPENING.set(Opening(tab))
    try:
        yield
    finally:
        _OPENING.reset(token)


def opening() -> Opening:
    """Returns the first opening of the tab that is being built."""
    return _OPENING.get()


def root() -> gr.Blocks:
    """Returns the app that is being built; its `load` runs when the page of the language being built is opened."""
    block = Context.root_block
    assert isinstance(block, gr.Blocks), "only while the page is being built"
    return block
