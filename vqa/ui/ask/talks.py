"""The list of stored conversations beside the chat: found, opened, renamed, deleted. Renders; asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from vqa.answers import Json
from vqa.markup import Markup, html, joined
from vqa.text import Language
from vqa.ui.text import words

NAME_LENGTH = 200
SCRIPT = """
let renaming = null;  // {chat, text}: the list may be drawn anew meanwhile
const rename = (li, text) => {
  const button = li.querySelector('.open'), box = document.createElement('input');
  Object.assign(box, {value: text ?? button.dataset.name, maxLength: 200});
  renaming = {chat: li.dataset.talk, text: box.value};
  box.setAttribute('aria-label', li.querySelector('[data-act=rename]').getAttribute('aria-label'));
  button.replaceWith(box);
  box.focus();
  if (text === undefined) box.select();
  const end = (keep) => {
    if (!box.isConnected) return;
    renaming = null;
    const name = box.value.trim();
    box.replaceWith(button);
    if (keep && name && name !== button.dataset.name) trigger('select', {act: 'rename', chat: li.dataset.talk, name});
    else button.focus();
  };
  box.addEventListener('input', () => { renaming.text = box.value; });
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.isComposing) end(true);
    if (event.key === 'Escape') { event.stopPropagation(); end(false); }
  });
  box.addEventListener('blur', () => setTimeout(() => end(true)));
};
// An answer to an earlier search may come last, and a search that was typed while the page came may not be heard.
const box = () => document.querySelector('#vqa-talks-search textarea, #vqa-talks-search input');
let timer = 0;
const checkIn = (wait) => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const shown = element.querySelector('[data-sought]')?.dataset.sought, typed = box()?.value ?? '';
    if (shown === undefined || shown === typed) return;
    trigger('select', {act: 'look', chat: '', name: typed});
    checkIn(4000);
  }, wait);
};
addEventListener('input', (event) => { if (event.target === box()) checkIn(2000); }, true);
watch('value', () => {
  checkIn(1000);
  const li = renaming && [...element.querySelectorAll('li')].find((each) => each.dataset.talk === renaming.chat);
  if (li) rename(li, renaming.text); else renaming = null;
});
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button) return;
  const {act} = button.dataset, li = button.closest('li');
  if (act === 'rename') rename(li);
  else trigger('select', {act, chat: li?.dataset.talk || '', name: ''});
});
"""
"""Tells the server what is to be done with which conversation; a name is written in its place in the list."""


@dataclass(frozen=True)
class TalksParts:
    """The components of the list, which is drawn only where conversations are kept."""

    search: gr.Textbox
    listed: gr.HTML
    markdown: gr.Button
    plain: gr.Button


def render(lang: Language) -> TalksParts:
    """Returns the list, drawn and still empty: a column on a wide page, a drawer on a narrow one."""
    tr = words(lang)
    with gr.Column(scale=0, min_width=200, elem_id="vqa-conversations"):
        search = gr.Textbox(
            label=tr("ask.search"), placeholder=tr("ask.search_placeholder"), show_label=False, max_lines=1,
            container=False, elem_id="vqa-talks-search",
        )  # fmt: skip
        listed = gr.HTML("", elem_id="vqa-talks", padding=False, js_on_load=SCRIPT)
        with gr.Row(elem_id="vqa-talks-save"):
            markdown = gr.Button(tr("ask.export_markdown"), size="sm", min_width=60)
            plain = gr.Button(tr("ask.export_json"), size="sm", min_width=60)
    return TalksParts(search, listed, markdown, plain)


def list_html(
    rows: Sequence[Json], shown: str, lang: Language, *, sought: str = "", deleted: str | None = None
) -> Markup:
    """Returns the conversations that were `sought`, the one that is `shown` marked.

    `deleted` is the name of one that may come back.
    """
    tr = words(lang)
    undo = Markup()
    if deleted is not None:
        undo = html(
            '<p class="undo" role="status">{} <button type="button" data-act="undo">{}</button></p>',
            tr("ask.deleted", name=deleted or tr("ask.untitled")), tr("ask.undo"),
        )  # fmt: skip
    found = html('<p class="none">{}</p>', tr("ask.no_conversation"))
    if rows:
        talks = joined(_row(row, shown, lang) for row in rows)
        found = html('<ul aria-label="{}">{}</ul>', tr("ask.conversations"), talks)
    return html('<div data-sought="{}">{}{}</div>', sought, undo, found)


def _row(row: Json, shown: str, lang: Language) -> Markup:
    tr = words(lang)
    name = row["name"] or tr("ask.untitled")
    now = Markup(' aria-current="true"') if row["id"] == shown else ""
    rename, delete = tr("ask.rename_one", name=name), tr("ask.delete_one", name=name)
    return html(
        '<li data-talk="{}"><button type="button" class="open" data-act="open" data-name="{}" title="{}"{}>{}</button>'
        '<button type="button" class="do" data-act="rename" aria-label="{}" title="{}">✎</button>'
        '<button type="button" class="do" data-act="delete" aria-label="{}" title="{}">✕</button></li>',
        row["id"], name, f"{name} · {row['updated_at']:%Y-%m-%d %H:%M}", now, name,
        rename, rename, delete, delete,
    )  # fmt: skip
