"""The pictures of the question in the order in which they are sent: shown, moved, taken out. Renders; asks nobody."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import gradio as gr

from vqa.errors import VQAError
from vqa.markup import Markup, html, joined
from vqa.media.images import ImageLimits, load_tiles
from vqa.media.notes import note_text
from vqa.media.treatment import Treatment
from vqa.media.video import FRAMES
from vqa.text import Language
from vqa.ui.pictures import MAX_PICTURES
from vqa.ui.pictures.known import known
from vqa.ui.text import words

THUMBNAIL_SIDE = 160
ICON = html(
    '<svg viewBox="0 0 16 16" width="15" height="15" aria-hidden="true" fill="none" stroke="currentColor" '
    'stroke-width="1.6"><path d="M2 5V2h3M11 2h3v3M14 11v3h-3M5 14H2v-3M6 6h4v4H6z"/></svg>'
)
"""Of the region's button: fonts have no sign for it that is everywhere."""
SCRIPT = """
let pressed = null, known = '';
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (!button) return;
  const [act, place] = [button.dataset.do, Number(button.dataset.place)];
  const places = {first: 0, left: place - 1, right: place + 1};
  pressed = {act, place: places[act] ?? place};
  trigger('select', {act, place});
});
// Whoever moves a picture by keyboard stays on its button, or on the next one that can be pressed.
watch('value', () => {
  if (!pressed) return;
  const {act, place} = pressed, buttons = [...element.querySelectorAll('[data-do]:not(:disabled)')];
  pressed = null;
  const near = buttons.filter((each) => Number(each.dataset.place) === place);
  (near.find((each) => each.dataset.do === act) || near[0] || buttons.at(-1))?.focus();
});
// Gradio tells of every typed letter as of every picture, so the composer's thumbnails are watched instead.
const follow = () => {
  const composer = document.querySelector('#vqa-composer');
  if (!composer) { setTimeout(follow, 100); return; }
  const look = () => {
    const shown = [...composer.querySelectorAll('.thumbnail-wrapper')];
    const now = shown.map((each) => each.querySelector('img')?.src || 'file').join('|');
    if (now === known) return;
    known = now;
    trigger('upload');
  };
  const what = {childList: true, subtree: true, attributes: true, attributeFilter: ['src']};
  new MutationObserver(look).observe(composer, what);
  look();
};
follow();
"""
"""Tells the server which button was pressed, and when other pictures stand in the composer."""


@dataclass(frozen=True)
class TrayParts:
    """The components of the tray."""

    tray: gr.HTML
    clip: gr.State
    """The last video and the files of its frames, as `(path, files)`."""
    frames_row: gr.Row
    frames: gr.Slider
    pages_row: gr.Row
    pages: gr.Textbox


def render_tray() -> gr.HTML:
    """Returns the tray, drawn and empty."""
    return gr.HTML("", elem_id="vqa-tray", padding=False, js_on_load=SCRIPT)


def render(lang: Language, most: int, seconds: int, tray: gr.HTML) -> TrayParts:
    """Returns what belongs to the tray, drawn; `most` pictures go with one question."""
    tr = words(lang)
    clip = gr.State(None, time_to_live=seconds)
    with gr.Row(visible=False) as row:
        frames = gr.Slider(
            1, most, value=min(FRAMES, most), step=1, label=tr("ask.frames"), info=tr("ask.frames_info"),
            elem_id="vqa-frames",
        )  # fmt: skip
    with gr.Row(visible=False) as pages_row:
        pages = gr.Textbox(label=tr("ask.pages"), max_lines=1, max_length=200, elem_id="vqa-pages")
    return TrayParts(tray, clip, row, frames, pages_row, pages)


def moved(files: list[str], act: str, place: int) -> list[str]:
    """Returns the files after a button of the one at `place` was pressed; what makes no sense changes nothing."""
    if not 0 <= place < len(files):
        return files
    rest = [*files[:place], *files[place + 1 :]]
    if act == "remove":
        return rest
    target = {"first": 0, "left": max(place - 1, 0), "right": place + 1}.get(act, place)
    return [*rest[:target], files[place], *rest[target:]]


def tray_html(
    files: list[str], limits: ImageLimits, lang: Language, treatment: Treatment | None = None, *, acts: bool = True
) -> Markup:
    """Returns the pictures as they will be sent, with their buttons unless `acts` is off; nothing for no files."""
    if not files:
        return Markup()
    shown = min(len(files), MAX_PICTURES)
    seen = [_looked_at(Path(path), limits, treatment) for path in files[:shown]]
    rows = joined(_row(Path(files[place]), one, place, shown, lang, acts) for place, one in enumerate(seen))
    return html('<ol class="vqa-tray" aria-label="{}">{}</ol>', words(lang)("ask.tray"), rows)


def notes_of(files: list[str], limits: ImageLimits, treatment: Treatment | None = None) -> tuple[str, ...]:
    """Returns what will be done to the pictures."""
    seen = (_looked_at(Path(path), limits, treatment) for path in files[:MAX_PICTURES])
    return tuple(note for one in seen if one is not None for note in one.notes)


@dataclass(frozen=True)
class _Seen:
    """A picture as it will be sent: a small PNG as a data URL, what was done to it, and in how many tiles it goes."""

    source: str
    notes: tuple[str, ...]
    tiles: int


def _looked_at(path: Path, limits: ImageLimits, treatment: Treatment | None) -> _Seen | None:
    try:
        return _seen(path, path.stat().st_mtime_ns, limits, treatment or Treatment())
    except (VQAError, OSError):
        return None


def _row(path: Path, seen: _Seen | None, place: int, total: int, lang: Language, acts: bool) -> Markup:
    tr = words(lang)
    if seen is None:
        # What is wrong with it is told when it is sent; until then it can be taken out.
        shown = html('<span class="bad">⚠ {}</span>', path.name)
        told = Markup()
    else:
        shown = html('<img src="{}" alt="{}" title="{}">', seen.source, path.name, path.name)
        said = [note_text(each, lang) for each in seen.notes if not each.startswith("images.tile")]
        said += [tr("ask.tray_tiles", n=seen.tiles)] if seen.tiles > 1 else []
        told = html('<p class="done">{}</p>', " · ".join(said)) if said else Markup()
    whole = html('<div class="shot">{}<b>{}</b></div>{}', shown, place + 1, told)
    if not acts:
        return html("<li>{}</li>", whole)
    buttons = [
        ("first", "⇤", place > 0 and total > 2),
        ("left", "←", place > 0),
        ("right", "→", place < total - 1),
        ("region", ICON, True),
        ("remove", "✕", True),
    ]
    drawn = joined(
        html(
            '<button type="button" data-do="{}" data-place="{}"{} aria-label="{}" title="{}">{}</button>',
            act,
            place,
            "" if usable else " disabled",
            name,
            name,
            sign,
        )
        for act, sign, usable in buttons
        if (total > 1 or act in {"region", "remove"}) and (name := tr(f"ask.tray_{act}", n=place + 1))
    )
    return html('<li>{}<div class="acts">{}</div></li>', whole, drawn)


@lru_cache(maxsize=128)
def _seen(path: Path, _changed: int, limits: ImageLimits, treatment: Treatment) -> _Seen:
    """Returns how a picture will be sent; kept, since the tray is drawn anew at each change."""
    tiles = load_tiles(path, limits, treatment=treatment)
    small = base64.b64encode(tiles[0].thumbnail(THUMBNAIL_SIDE)).decode()
    return _Seen(f"data:image/png;base64,{small}", known.recalled(tiles[0]).notes, len(tiles))
