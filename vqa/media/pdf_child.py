"""The process that renders one PDF: a request on stdin, PNG files out, a report on stdout.

PDFium may only be used by one thread at a time, and whoever made the file may have made it to break it; so it runs
apart from the page, within limits of time and memory. Nobody but `vqa.media.pdf` starts it.
"""

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2

MAX_MEMORY = 2 * 1024**3
"""Bytes of address space; a page of 4096 pixels each way takes some 130 MB while it is written."""
DOTS_PER_INCH = 144
POINTS_PER_INCH = 72


def main() -> None:
    """Reads the request, writes the pages, reports the files or what is wrong."""
    request = json.loads(sys.stdin.readline())
    seconds = int(request["seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    try:
        report: dict[str, Any] = {"pages": list(pages(**request["pdf"]))}
    except (pypdfium2.PdfiumError, MemoryError, ValueError, OSError) as problem:
        report = {"reason": str(problem) or type(problem).__name__}
    print(json.dumps(report), flush=True)


def pages(path: str, folder: str, at_most: int, max_side: int) -> Iterator[str]:
    """Yields the file of each of the first pages, 144 pixels to the inch and at most `max_side` pixels long."""
    with pypdfium2.PdfDocument(path) as document:
        for index in range(min(len(document), at_most)):
            page = document[index]
            scale = min(DOTS_PER_INCH / POINTS_PER_INCH, max_side / max(*page.get_size(), 1))
            target = Path(folder) / f"{index + 1}.png"
            page.render(scale=scale).to_pil().convert("RGB").save(target, "PNG", compress_level=4)
            yield str(target)


if __name__ == "__main__":
    main()
