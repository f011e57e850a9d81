"""Several pictures out of one file: pages of a PDF or a TIFF, frames of a video. Pure; runs in the child only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from vqa.media.decoding import colours, opening, prepare, shapes, tones
from vqa.media.decoding.deep import is_tiff, tiff_page, tiff_pages
from vqa.media.decoding.values import Bounds, Ready, RefusedError
from vqa.media.notes import note

DOTS_PER_INCH = 144
POINTS_PER_INCH = 72
LONGEST = 65_000
"""Pixels of the longest side that is drawn of a page."""
THREADS = 2
"""Of a video's decoder."""


def count(data: bytes, name: str) -> tuple[str, int]:
    """Returns a file's format and how many pages or frames it has; 0 of what is no picture."""
    try:
        if is_tiff(data):
            return "TIFF", len(tiff_pages(data))
        picture = opening.opened(data, name)
        pages = getattr(picture, "n_frames", 1)
    except (RefusedError, *opening.DAMAGE):
        return "", 0
    return picture.format or "", int(pages)


def _chosen(total: int, wanted: Sequence[int], at_most: int) -> list[int]:
    places = [place for place in wanted if 0 <= place < total] if wanted else list(range(total))
    if not places:
        raise RefusedError("pages_missing", pages=total)
    return places[:at_most]


def of_pdf(path: str, bounds: Bounds, wanted: prepare.Wanted, pages: Sequence[int], at_most: int) -> list[Ready]:
    """Returns pages of a PDF, 144 pixels to the inch, with what was filled into their forms; of very long ones the
    tiles, where they are wanted. `pages` counts from 0, and means all when it is empty.

    Raises:
        RefusedError: none of the pages is there, or it is damaged.
    """
    import pypdfium2

    found: list[Ready] = []
    try:
        with pypdfium2.PdfDocument(path) as document:
            total = len(document)
            if not total:
                raise RefusedError("image_damaged", reason="0")
            document.init_forms()
            for index in _chosen(total, pages, at_most):
                picture, notes = _drawn(document[index], bounds)
                notes += [note("page", page=index + 1, pages=total)] if total > 1 else []
                whole = replace(wanted, at_most=min(wanted.at_most, at_most - len(found)))
                for ready in prepare.sent_of(picture, picture.size, bounds, whole, notes, as_jpeg=False):
                    name = f"-{index + 1}{ready.name.replace(' ', '.')}"
                    width, height = picture.size
                    found.append(replace(ready, format="PDF", given_width=width, given_height=height, name=name))
                if len(found) >= at_most:
                    break
    except pypdfium2.PdfiumError as problem:
        raise RefusedError("image_damaged", reason=str(problem)) from problem
    return found


def _drawn(page: Any, bounds: Bounds) -> tuple[Image.Image, list[str]]:
    """Returns a page of a PDF as large as it may be sent, and what that cost it; a very long one as large as can be."""
    width, height = page.get_size()
    usual = DOTS_PER_INCH / POINTS_PER_INCH
    if shapes.is_extreme(round(width * usual), round(height * usual), bounds.max_side):
        scale = min(usual, (bounds.max_pixels / max(width * height, 1)) ** 0.5, LONGEST / max(width, height))
    else:
        scale = min(usual, bounds.max_side / max(width, height, 1))
    picture = page.render(scale=scale).to_pil().convert("RGB")
    return picture, [note("scaled")] if scale < usual else []


def of_tiff(
    data: bytes, name: str, bounds: Bounds, wanted: prepare.Wanted, pages: Sequence[int], at_most: int
) -> list[Ready]:
    """Returns pages of a TIFF, each as `prepare` makes a picture ready."""
    places = tiff_pages(data)
    found: list[Ready] = []
    for number in _chosen(len(places), pages, at_most):
        notes = [note("converted"), note("page", page=number + 1, pages=len(places))]
        shown, turn = _tiff_page(data, name, places[number], bounds, wanted, notes)
        given = shown.size
        shown = prepare.finished(shown, turn, notes, wanted)
        whole = replace(wanted, at_most=min(wanted.at_most, at_most - len(found)))
        for ready in prepare.sent_of(shown, given, bounds, whole, notes, as_jpeg=False):
            one = f"-{number + 1}{ready.name.replace(' ', '.')}"
            found.append(replace(ready, format="TIFF", given_width=given[0], given_height=given[1], name=one))
        if len(found) >= at_most:
            break
    return found


def _tiff_page(
    data: bytes, name: str, place: int, bounds: Bounds, wanted: prepare.Wanted, notes: list[str]
) -> tuple[Image.Image, int]:
    """Returns a page in eight bits and its orientation; adds a note on how it was scaled."""
    if (deep := tiff_page(data, place, bounds)) is not None:
        shown, told = tones.to_eight(deep, wanted.tones)
        notes.append(told)
        return shown, deep.turn
    picture = prepare.opened(data, name)
    picture.seek(place)
    if picture.width * picture.height > bounds.max_pixels * prepare.MARGIN:
        raise RefusedError("image_too_many_pixels", limit=bounds.max_pixels // 1_000_000)
    return picture, prepare.loaded(picture, notes)


def of_video(path: str, kind: str, bounds: Bounds, at_most: int, first_seconds: float) -> list[Ready]:
    """Returns frames evenly spaced over the first seconds of a video, read as a stream: it can name no other file.

    Raises:
        RefusedError: it is damaged, has no picture, or too many pixels.
    """
    import av

    try:
        return list(_frames(path, kind, bounds, at_most, first_seconds))
    except (av.FFmpegError, ValueError, OSError) as problem:
        raise RefusedError("video_damaged", reason=str(problem) or type(problem).__name__) from problem


def _frames(path: str, kind: str, bounds: Bounds, at_most: int, first_seconds: float) -> Iterator[Ready]:
    import av

    with Path(path).open("rb") as file, av.open(file, "r", format=kind) as container:
        length = min(_length(container), first_seconds)
    taken = 0
    with Path(path).open("rb") as file, av.open(file, "r", format=kind) as container:
        stream = _stream(container)
        _check(stream.codec_context, bounds)
        stream.codec_context.thread_count = THREADS
        begin = None
        for frame in container.decode(stream):
            begin = frame.time if begin is None else begin
            at = (frame.time or 0.0) - (begin or 0.0)
            if at > first_seconds:
                return
            if at + 1e-6 < taken * length / at_most:
                continue
            _check(frame, bounds)
            yield _frame(frame, at, bounds)
            taken += 1
            if taken == at_most:
                return  # what comes after is not decoded


def _frame(frame: Any, at: float, bounds: Bounds) -> Ready:
    picture = frame.to_image().rotate(frame.rotation, expand=True)
    given, notes = picture.size, []
    if colours.is_transparent(picture):
        picture, told = colours.on_background(picture, "auto")
        notes.append(told)
    (ready,) = prepare.sent_of(picture, given, bounds, prepare.Wanted(), notes, as_jpeg=False)
    return replace(ready, format="video", given_width=given[0], given_height=given[1], name=f" {at:.2f} s")


def _stream(container: Any) -> Any:
    if not container.streams.video:
        raise RefusedError("video_empty")
    return container.streams.video[0]


def _check(sized: Any, bounds: Bounds) -> None:
    if sized.width * sized.height > bounds.max_pixels:
        raise RefusedError("video_too_many_pixels", limit=bounds.max_pixels // 1_000_000)


def _length(container: Any) -> float:
    """Returns the seconds up to the end of the last packet: recordings and animations often carry no length."""
    stream, ends = _stream(container), [0.0]
    for packet in container.demux(stream):
        if packet.pts is not None:
            ends.append(float((packet.pts - (stream.start_time or 0) + (packet.duration or 0)) * packet.time_base))
    return max(ends)
