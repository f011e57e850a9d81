"""`python -m vqa twin`: a stand-in of a model with random weights, for developers and testers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vqa.models.progress import size_text
from vqa.models.twins.write import write_twin


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(twin)


def twin(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="A model of `python -m vqa models`.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder, or an older twin's.")],
    full: Annotated[bool, typer.Option("--full/--tiny", help="The published sizes, or a few MB.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random weights.")] = 0,
) -> int:
    """Write a checkpoint laid out like the model's, with random weights: it is served alike and knows nothing."""
    print(f"{folder} {size_text(write_twin(model_id, folder, full=full, seed=seed))}")
    return 0
