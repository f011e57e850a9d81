"""The section in which a box is drawn on a picture, by mouse, finger or numbers. Renders; its script asks nobody."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import gradio as gr

from vqa.markup import Markup, html, joined
from vqa.media.images import ImagePayload
from vqa.text import Language
from vqa.ui.text import words
from vqa.ui.widgets.parts import empty

SHOWN_SIDE = 1024
ACTS = ("crop", "add", "mark")
SCRIPT = """
const find = (selector) => element.querySelector(selector);
const sides = ['left', 'top', 'width', 'height'];
const size = () => { const area = find('.area'); return [Number(area.dataset.width), Number(area.dataset.height)]; };
const read = () => Object.fromEntries(sides.map((name) => [name, Number(find(`[name=${name}]`).value) || 0]));
const draw = () => {
  const [width, height] = size(), box = read(), frame = find('.frame');
  frame.hidden = !(box.width > 0 && box.height > 0);
  frame.style.cssText = `left:${100 * box.left / width}%;top:${100 * box.top / height}%;`
    + `width:${100 * box.width / width}%;height:${100 * box.height / height}%`;
  for (const button of element.querySelectorAll('[data-act]')) button.disabled = frame.hidden;
};
const write = (box) => { for (const name of sides) find(`[name=${name}]`).value = Math.round(box[name]); draw(); };
let from = null;
const at = (event) => {
  const [width, height] = size(), seen = find('.area').getBoundingClientRect();
  const share = (value, begin, length) => Math.min(Math.max((value - begin) / length, 0), 1);
  return [share(event.clientX, seen.left, seen.width) * width, share(event.clientY, seen.top, seen.height) * height];
};
const span = ([x, y]) => write({
  left: Math.min(x, from[0]), top: Math.min(y, from[1]), width: Math.abs(x - from[0]), height: Math.abs(y - from[1]),
});
element.addEventListener('pointerdown', (event) => {
  const area = event.target.closest('.area');
  if (!area || event.button) return;
  event.preventDefault();
  area.setPointerCapture(event.pointerId);
  from = at(event);
});
element.addEventListener('pointermove', (event) => { if (from) span(at(event)); });
element.addEventListener('pointerup', (event) => { if (from) span(at(event)); from = null; });
element.addEventListener('pointercancel', () => { from = null; });
element.addEventListener('input', (event) => { if (event.target.name) draw(); });
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (button) trigger('submit', {act: button.dataset.act, box: read()});
});
"""
"""Draws the box where the pointer goes and where the numbers say, and tells the server which button was pressed."""


@dataclass(frozen=True)
class RegionParts:
    """The components of the section."""

    section: gr.Accordion
    load: gr.Button
    area: gr.HTML
    chosen: gr.State
    """The picture's file, and its place in the composer or None, as `(path, place)`."""


def render(lang: Language, seconds: int) -> RegionParts:
    """Returns the section, drawn without a picture."""
    tr = words(lang)
    with gr.Accordion(tr("ask.box"), open=False, elem_id="vqa-box") as section:
        gr.Markdown(tr("ask.box_about"))
        load = gr.Button(tr("ask.box_load"), size="sm")
        area = gr.HTML(area_html(None, lang), elem_id="vqa-box-area", padding=False, js_on_load=SCRIPT)
    return RegionParts(section, load, area, gr.State(None, time_to_live=seconds))


def area_html(image: ImagePayload | None, lang: Language) -> Markup:
    """Returns the picture to draw on, the four numbers and the buttons; or what to do first."""
    tr = words(lang)
    if image is None:
        return empty(tr("ask.box_none"), tr("ask.box_none_hint"))
    source = base64.b64encode(image.thumbnail(SHOWN_SIDE)).decode()
    most = {"left": image.width - 1, "top": image.height - 1, "width": image.width, "height": image.height}
    numbers = joined(
        html(
            '<label>{}<input type="number" name="{}" min="0" max="{}" step="1" value="0" inputmode="numeric"></label>',
            tr(f"ask.box_{name}"),
            name,
            limit,
        )
        for name, limit in most.items()
    )
    buttons = joined(
        html('<button type="button" data-act="{}" disabled>{}</button>', act, tr(f"ask.box_{act}")) for act in ACTS
    )
    return html(
        '<div class="vqa-box"><div class="area" data-width="{}" data-height="{}">'
        '<img src="data:image/png;base64,{}" alt="{}" draggable="false"><i class="frame" hidden></i></div><p>{}</p>'
        '<div class="numbers">{}</div><div class="acts">{}</div></div>',
        image.width, image.height, source, image.given_name, tr("ask.box_size", size=f"{image.width}×{image.height}"),
        numbers, buttons,
    )  # fmt: skip
