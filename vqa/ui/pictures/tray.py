"""The pictures of the question in the order in which they are sent: shown, moved, taken out. Renders; asks nobody."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import gradio as gr

from vqa.errors import InputError, VQAError
from vqa.markup import Markup, html, joined
from vqa.media.images import ImageLimits, load_tiles
from vqa.media.notes import note_text
from vqa.media.treatment import Treatment
from vqa.media.video import FRAMES
from vqa.text import Language
from vqa.ui.pictures import MAX_PICTURES
from vqa.ui.pictures.known import known
from vqa.ui.pictures.treatment_box import calls_for
from vqa.ui.text import words

THUMBNAIL_SIDE = 160
SCRIPT = """
let pressed = null, known = '', drag = null, dragged = false;
const items = () => [...element.querySelectorAll('li')];
// The server is told one thing after the other: places are those of the row as it stands once the one before is done.
const ahead = [];
let waited = null;
const next = () => {
  clearTimeout(waited);
  waited = null;
  if (!ahead.length) return;
  const [act, place, to] = ahead.shift();
  pressed = {act, to};
  waited = setTimeout(next, act === 'region' ? 0 : 3000);
  trigger('select', {act, place, to});
};
const tell = (act, place, to = place) => { ahead.push([act, place, to]); if (!waited) next(); };
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (button && !dragged) tell(button.dataset.do, items().indexOf(button.closest('li')));
  dragged = false;
});
element.addEventListener('keydown', (event) => {
  const li = event.target.closest('li'), place = items().indexOf(li), last = items().length - 1;
  const to = {ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: last}[event.key];
  if (!li || (to === undefined && event.key !== 'Delete')) return;
  event.preventDefault();
  if (to === undefined) tell('remove', place);
  else if (to >= 0 && to <= last && to !== place) tell('move', place, to);
});
// A picture follows the pointer through the row; the server hears of it once it is let go.
element.addEventListener('pointerdown', (event) => {
  const li = event.target.closest('.shot')?.closest('li');
  dragged = false;
  if (!li || event.button || items().length < 2) return;
  drag = {li, from: items().indexOf(li), x: event.clientX, y: event.clientY};
});
element.addEventListener('pointermove', (event) => {
  if (!drag) return;
  if (!dragged && Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 6) return;
  if (!dragged) element.setPointerCapture?.(event.pointerId);
  dragged = true;
  drag.li.classList.add('dragged');
  const over = items().find((each) => {
    const seen = each.getBoundingClientRect();
    return each !== drag.li && event.clientX > seen.left && event.clientX < seen.right
      && event.clientY > seen.top && event.clientY < seen.bottom;
  });
  if (!over) return;
  const all = items();
  over[all.indexOf(over) > all.indexOf(drag.li) ? 'after' : 'before'](drag.li);
});
const drop = (keep) => {
  if (!drag) return;
  const {li, from} = drag, to = items().indexOf(li);
  drag = null;
  li.classList.remove('dragged');
  if (keep && dragged && to !== from) tell('move', from, to);
  else if (to !== from) items()[from][from > to ? 'after' : 'before'](li);
  items().forEach((each, place) => {  // by their places as they are now, until the server has drawn them
    each.querySelector('b').textContent = place + 1;
    for (const one of each.querySelectorAll('button')) one.ariaLabel = one.ariaLabel.replace(/\\d+/, place + 1);
  });
  setTimeout(() => { dragged = false; });  // the click that follows was none
};
element.addEventListener('pointerup', () => drop(true));
element.addEventListener('pointercancel', () => drop(false));
// Whoever moves a picture by keyboard stays on it, or on the one that took its place.
watch('value', () => {
  if (pressed && pressed.act !== 'region') {
    const {act, to} = pressed, rows = items();
    (rows[Math.min(to, rows.length - 1)]?.querySelector(act === 'remove' ? '.out' : '.shot'))?.focus();
  }
  pressed = null;
  next();
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


def moved(files: list[str], act: str, place: int, to: int) -> list[str]:
    """Returns the files with the one at `place` moved `to` another, or taken out; what makes no sense changes none."""
    if not (0 <= place < len(files) and 0 <= to < len(files)) or act not in {"move", "remove"}:
        return files
    rest = [*files[:place], *files[place + 1 :]]
    return rest if act == "remove" else [*rest[:to], files[place], *rest[to:]]


def tray_html(
    files: list[str], limits: ImageLimits, lang: Language, treatment: Treatment | None = None, *, acts: bool = True
) -> Markup:
    """Returns the pictures as they will be sent, with their buttons unless `acts` is off; nothing for no files."""
    if not files:
        return Markup()
    shown = min(len(files), MAX_PICTURES)
    seen = [_looked_at(Path(path), limits, treatment) for path in files[:shown]]
    rows = joined(_row(Path(files[place]), one, place, lang, acts) for place, one in enumerate(seen))
    return html('<ol class="vqa-tray" aria-label="{}">{}</ol>', words(lang)("ask.tray"), rows)


def notes_of(files: list[str], limits: ImageLimits, treatment: Treatment | None = None) -> tuple[str, ...]:
    """Returns what will be done to the pictures."""
    seen = (_looked_at(Path(path), limits, treatment) for path in files[:MAX_PICTURES])
    return tuple(note for one in seen if isinstance(one, _Seen) for note in one.notes)


@dataclass(frozen=True)
class _Seen:
    """A picture as it will be sent: a small PNG as a data URL, what was done to it, and in how many tiles it goes."""

    source: str
    notes: tuple[str, ...]
    tiles: int


def _looked_at(path: Path, limits: ImageLimits, treatment: Treatment | None) -> _Seen | VQAError:
    try:
        return _seen(path, path.stat().st_mtime_ns, limits, treatment or Treatment())
    except VQAError as problem:
        return problem
    except OSError:
        return InputError("image_missing", path=path.name)


def _row(path: Path, seen: _Seen | VQAError, place: int, lang: Language, acts: bool) -> Markup:
    tr = words(lang)
    if isinstance(seen, VQAError):
        shown = html('<span class="bad">⚠ {}</span>', path.name)
        told = html('<p class="done">{}</p>', seen.message(lang))
    else:
        shown = html('<img src="{}" alt="{}" draggable="false">', seen.source, path.name)
        said = [note_text(each, lang) for each in seen.notes if not each.startswith("images.tile")]
        said += [tr("ask.tray_tiles", n=seen.tiles)] if seen.tiles > 1 else []
        kind = " choice" if calls_for(seen.notes) else ""
        told = html('<p class="done{}">{}</p>', kind, " · ".join(said)) if said else Markup()
    whole = html("{}<b>{}</b>", shown, place + 1)
    if not acts:
        return html('<li><div class="shot">{}</div>{}</li>', whole, told)
    region, remove = tr("ask.tray_region", n=place + 1), tr("ask.tray_remove", n=place + 1)
    return html(
        '<li><button type="button" class="shot" data-do="region" aria-label="{}" title="{}" '
        'aria-keyshortcuts="ArrowLeft ArrowRight Delete">{}</button>'
        '<button type="button" class="out" data-do="remove" aria-label="{}" title="{}">✕</button>{}</li>',
        region, f"{path.name} · {tr('ask.tray_hint')}", whole, remove, remove, told,
    )  # fmt: skip


@lru_cache(maxsize=128)
def _seen(path: Path, _changed: int, limits: ImageLimits, treatment: Treatment) -> _Seen:
    """Returns how a picture will be sent; kept, since the tray is drawn anew at each change."""
    tiles = load_tiles(path, limits, treatment=treatment)
    small = base64.b64encode(tiles[0].thumbnail(THUMBNAIL_SIDE)).decode()
    return _Seen(f"data:image/png;base64,{small}", known.recalled(tiles[0]).notes, len(tiles))
