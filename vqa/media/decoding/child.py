"""The process that decodes pictures, PDFs and videos, one after the other: requests in on a socket, pictures out.

Whoever made a file may have made it to break a decoder, and some break by themselves. So it is read here, apart from
the page, within limits of time and memory, and without what the page has in its environment. Nobody but
`vqa.media.runner` starts it; it ends when whoever started it is gone.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

# Imported at start, so that a warm child has nothing left to load for a usual picture.
from vqa.media.decoding import copies, opening, pages, prepare
from vqa.media.decoding.values import Bounds, Ready, RefusedError
from vqa.media.decoding.wire import ClosedError, receive, send

MAX_MEMORY = 3 << 30
"""Bytes of address space; a video's decoder keeps up to sixteen frames."""
Request = dict[str, Any]
Answer = tuple[dict[str, Any], list[bytes]]


def main() -> None:
    """Answers requests on the socket that the first argument numbers until it is closed."""
    line = socket.socket(fileno=int(sys.argv[1]))
    opening.formats()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ClosedError):
        send(line, {"ready": True})
        while True:
            request, blobs = receive(line)
            _limit_processor(float(request["seconds"]))
            values, out = answer(request, blobs)
            send(line, values, out)


def _limit_processor(seconds: float) -> None:
    """Lets the kernel end this process once it has used so many seconds more of a processor."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    soft = int(used + seconds) + 1
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def answer(request: Request, blobs: Sequence[bytes]) -> Answer:
    """Returns the answer to one request; what is wrong with a file is an answer too."""
    try:
        return DOINGS[request["do"]](request, *blobs)
    except RefusedError as problem:
        return {"code": problem.code, "values": {name: str(value) for name, value in problem.values.items()}}, []
    except MemoryError:
        return {"code": "image_too_heavy", "values": {}}, []
    except Exception as problem:  # a plug-in's own error classes (struct.error, zlib.error, …) are many
        return {"code": "image_damaged", "values": {"reason": str(problem)[:300] or type(problem).__name__}}, []


def _bounds(request: Request) -> Bounds:
    return Bounds(**request["bounds"])


def _pictures(found: Sequence[Ready]) -> Answer:
    rows = [{**asdict(each), "data": each.data is not None} for each in found]
    return {"pictures": rows}, [each.data for each in found if each.data is not None]


def _copy(made: tuple[bytes, str, int, int]) -> Answer:
    data, mime, width, height = made
    return {"mime": mime, "width": width, "height": height}, [data]


def _prepare(request: Request, data: bytes) -> Answer:
    return _pictures(prepare.prepare(data, request["name"], _bounds(request), prepare.Wanted(**request["wanted"])))


def _each(request: Request, *blobs: bytes) -> Answer:
    """Returns what `answer` makes of each file alone, and how many of the blobs belong to which."""
    answered = [answer(one, [blob]) for one, blob in zip(request["of"], blobs, strict=True)]
    told = {"answers": [values for values, _ in answered], "counts": [len(out) for _, out in answered]}
    return told, [blob for _, out in answered for blob in out]


def _tiff(request: Request, data: bytes) -> Answer:
    wanted, name = prepare.Wanted(**request["wanted"]), request["name"]
    return _pictures(pages.of_tiff(data, name, _bounds(request), wanted, request["pages"], request["at_most"]))


def _pdf(request: Request) -> Answer:
    wanted = prepare.Wanted(**request["wanted"])
    return _pictures(pages.of_pdf(request["path"], _bounds(request), wanted, request["pages"], request["at_most"]))


def _video(request: Request) -> Answer:
    told = (request[name] for name in ("at_most", "first_seconds"))
    return _pictures(pages.of_video(request["path"], request["kind"], _bounds(request), *told))


def _count(request: Request, data: bytes) -> Answer:
    kind, found = pages.count(data, request["name"])
    return {"format": kind, "count": found}, []


def _box(request: Request) -> tuple[int, int, int, int]:
    left, top, right, bottom = (int(value) for value in request["box"])
    return left, top, right, bottom


DOINGS: dict[str, Callable[..., Answer]] = {
    "each": _each,
    "prepare": _prepare,
    "tiff": _tiff,
    "pdf": _pdf,
    "video": _video,
    "count": _count,
    "small": lambda request, data: _copy(copies.small(data, request["side"], as_jpeg=request["as_jpeg"])),
    "boxed": lambda request, data: _copy(copies.boxed(data, _box(request), as_jpeg=request["as_jpeg"])),
    "stretched": lambda request, data: _copy(copies.stretched(data, tuple(request["size"]), request["turns"])),
    "again": lambda request, data: _copy(copies.again(data, request["level"])),
}
"""What a child can be asked for."""


if __name__ == "__main__":
    main()
