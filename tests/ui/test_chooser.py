"""What was chosen of another run is no error of the next tick."""

from __future__ import annotations

import gradio as gr
import pytest

from vqa.ui.widgets.chooser import chooser


@pytest.mark.parametrize(("sent", "taken"), [("load", "load"), (3, 3), (None, None), (["load"], None), (True, None)])
def test_a_choice_of_the_run_before_reaches_the_handler_of_the_next(sent: object, taken: object) -> None:
    with gr.Blocks():
        assert chooser(label="Look into").preprocess(sent) == taken  # type: ignore[arg-type]
