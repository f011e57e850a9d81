"""What Gradio knows of the page that is being built: the app itself, for events of the page as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.context import Context
from gradio.processing_utils import add_root_url

from vqa.ui.widgets import later

FOR_OTHER_PROGRAMS = ("api_info", "api_info_as_input", "api_info_as_output", "example_inputs")


class Page(gr.Blocks):
    """The app as its own page needs it. What other programs would be told of its events is left out: two thirds of the
    bytes that a browser reads before it draws anything, and no other program is let in (`queue(api_open=False)`). The
    inside of a tab is left out until somebody opens it.
    """

    def __init__(self, **options: Any) -> None:
        """`options` are those of gr.Blocks."""
        self._drawing: dict[int, int] = {}
        self._insides: dict[int, Any] = {}
        super().__init__(**options)

    def draw_when_opened(self, tab: gr.Tab) -> None:
        """Leaves the inside of the tab, which has been built, to the moment at which somebody selects it."""
        drawing = tab.select(lambda: None, None, None, show_progress="hidden", queue=False)
        self._drawing[drawing["id"]] = tab._id

    def get_config_file(self) -> Any:
        """Returns what a browser builds the page from."""
        config: Any = super().get_config_file()
        for component in config["components"]:
            for name in FOR_OTHER_PROGRAMS:
                component.pop(name, None)
        self._insides = {event: later.take_out(config, tab, event) for event, tab in self._drawing.items()}
        return config

    async def process_api(self, *given: Any, **named: Any) -> dict[str, Any]:
        """Handles an event as gr.Blocks does; the reply to the one that draws a tab holds the tab's inside."""
        reply = await super().process_api(*given, **named)
        event = named["block_fn"] if "block_fn" in named else given[0]
        inside = self._insides.get(event if isinstance(event, int) else event._id)
        if inside is not None:
            root = named.get("root_path")
            reply["render_config"] = inside if root is None else add_root_url(inside, root, None)
        return reply

    def get_api_info(self, all_endpoints: bool = False, page: str | None = None) -> Any:
        """Returns a list of no events."""
        return {"named_endpoints": {}, "unnamed_endpoints": {}}


def when_drawn(fill: Callable[..., Any], outputs: Sequence[Any]) -> None:
    """Binds what fills a tab, which takes nothing but the request, to its first opening.

    It is bound to the page's load, and left out of it with the rest of the tab: a browser loads what it draws.
    """
    root().load(fill, None, outputs, show_progress="hidden", queue=False)


def root() -> gr.Blocks:
    """Returns the app that is being built; its `load` runs when the page of the language being built is opened."""
    block = Context.root_block
    assert isinstance(block, gr.Blocks), "only while the page is being built"
    return block
