"""The process that decodes one video: a request on stdin, PNG files out, a report on stdout.

Whoever made the video may have made it to break a decoder, so it is decoded apart from the page, within limits of time,
memory and pixels, and read as a stream by the demuxer that its first bytes ask for: it can name no other file. Nobody
but `vqa.media.video` starts it.
"""

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

MAX_MEMORY = 3 * 1024**3
"""Bytes of address space; a frame of 50 million pixels takes some 75 MB, and a decoder keeps up to sixteen."""
THREADS = 2


class RefusedError(Exception):
    """Why there are no frames; the code is one of `vqa.errors`."""


def main() -> None:
    """Reads the request, writes the frames, reports the files or a code."""
    request = json.loads(sys.stdin.readline())
    seconds = int(request["seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds * THREADS, seconds * THREADS))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    try:
        report: dict[str, Any] = {"frames": list(frames(**request["video"]))}
    except RefusedError as problem:
        report = {"code": str(problem)}
    except (av.FFmpegError, MemoryError, ValueError, OSError) as problem:
        report = {"code": "video_damaged", "reason": str(problem) or type(problem).__name__}
    print(json.dumps(report), flush=True)


def frames(path: str, kind: str, folder: str, at_most: int, first_seconds: float, max_pixels: int) -> Iterator[Any]:
    """Yields the file and the time in seconds of each frame, evenly spaced over the first seconds of the video."""
    with Path(path).open("rb") as file, av.open(file, "r", format=kind) as container:
        length = min(_length(container), first_seconds)
    taken = 0
    with Path(path).open("rb") as file, av.open(file, "r", format=kind) as container:
        stream = _stream(container)
        _check(stream.codec_context, max_pixels)
        stream.codec_context.thread_count = THREADS
        begin = None
        for frame in container.decode(stream):
            begin = frame.time if begin is None else begin
            at = (frame.time or 0.0) - (begin or 0.0)
            if at > first_seconds:
                return
            if at + 1e-6 < taken * length / at_most:
                continue
            _check(frame, max_pixels)
            target = Path(folder) / f"{taken}.png"
            frame.to_image().rotate(frame.rotation, expand=True).save(target, "PNG", compress_level=4)
            yield [str(target), round(at, 3)]
            taken += 1
            if taken == at_most:
                return  # what comes after is not decoded


def _stream(container: Any) -> Any:
    if not container.streams.video:
        raise RefusedError("video_empty")
    return container.streams.video[0]


def _check(sized: Any, max_pixels: int) -> None:
    if sized.width * sized.height > max_pixels:
        raise RefusedError("video_too_many_pixels")


def _length(container: Any) -> float:
    """Returns the seconds up to the end of the last packet: recordings and animations often carry no length."""
    stream, ends = _stream(container), [0.0]
    for packet in container.demux(stream):
        if packet.pts is not None:
            ends.append(float((packet.pts - (stream.start_time or 0) + (packet.duration or 0)) * packet.time_base))
    return max(ends)


if __name__ == "__main__":
    main()
