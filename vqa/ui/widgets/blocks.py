"""What Gradio knows of the page that is being built: the app itself, for events of the page as a whole."""

from __future__ import annotations

import gradio as gr
from gradio.context import Context


def root() -> gr.Blocks:
    """Returns the app that is being built; its `load` runs when the page of the language being built is opened."""
    block = Context.root_block
    assert isinstance(block, gr.Blocks), "only while the page is being built"
    return block
