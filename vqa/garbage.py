"""Python's search for cyclic garbage, held back while a great many objects are made that all stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_searched(*, stays: bool = False) -> Iterator[None]:
    """Holds the search back while the context lasts, in all threads.

    Each search looks at everything that was made so far: importing gradio and reading a large run take a third to a
    half less time without. Contexts in several threads may overlap; the first that ends lets the search begin again.

    With `stays` everything that is there at the end is left out of all later searches too, as what lives as long as the
    process: with the page built, a whole one takes 0.2 s of a processor, in which no thread of the process goes on.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if stays:
            gc.freeze()
        if was_on:
            gc.enable()
