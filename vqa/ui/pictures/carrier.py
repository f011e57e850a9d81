"""Pictures on their way into the composer: whoever writes or sends meanwhile keeps their words and their pictures.

A handler that reads a PDF, a video or a web address takes seconds, and knows only what stood in the composer when it
began. So it puts the files into a hidden component, and the page itself takes over from there what still makes sense.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import gradio as gr

TAKE_OVER = """(carried, written) => {
  const same = {__type__: 'update'}, told = carried?.text ? JSON.parse(carried.text) : null;
  if (!told || told.id === window.vqaCarried) return [same, same];
  window.vqaCarried = told.id;
  // The composer takes the focus whenever it changes; whoever moves pictures by keyboard keeps it.
  const at = document.activeElement, box = document.querySelector('#vqa-composer textarea');
  if (at?.closest('#vqa-tray') && box) {
    const back = () => at.focus();
    box.addEventListener('focus', back, {once: true});
    setTimeout(() => box.removeEventListener('focus', back), 200);
  }
  const text = written?.text ?? '', now = written?.files ?? [], paths = now.map((file) => file.path);
  const fresh = carried.files.filter((_, place) => told.origin[place] === null);
  if (JSON.stringify(paths) === JSON.stringify(told.before)) return [{text, files: carried.files}, told.tray ?? same];
  const kept = new Set(told.origin.filter((place) => place !== null).map((place) => told.before[place]));
  const gone = told.before.filter((path) => !kept.has(path));
  // What these came from has been sent or taken out by now.
  if (gone.length && !gone.some((path) => paths.includes(path))) return [same, same];
  return [{text, files: [...now.filter((file) => !gone.includes(file.path)), ...fresh]}, same];
}"""


def render() -> gr.MultimodalTextbox:
    """Returns the hidden component, drawn."""
    return gr.MultimodalTextbox(visible="hidden", show_label=False, file_count="multiple", elem_id="vqa-carrier")


def carried(written: dict[str, Any] | None, files: list[str], tray: str | None = None) -> gr.MultimodalTextbox:
    """Returns the carrier with the files that are to stand in the composer instead of those in `written`.

    `tray` is how they are shown: drawn with the same stroke, so that what is seen is what would be sent.
    """
    before = [str(path) for path in (written or {}).get("files") or []]
    left = dict(zip(before, range(len(before)), strict=True))
    told = {"id": uuid.uuid4().hex, "before": before, "origin": [left.get(path) for path in files], "tray": tray}
    return gr.MultimodalTextbox(value={"text": json.dumps(told), "files": files})


def take_over(event: Any, carrier: gr.MultimodalTextbox, composer: gr.MultimodalTextbox, tray: gr.HTML) -> None:
    """Binds what follows an event that fills the carrier: its files come into composer and tray, in the browser."""
    event.then(None, [carrier, composer], [composer, tray], js=TAKE_OVER, show_progress="hidden", queue=False)
