"""What the Ask tab shows of a question and its answer, as HTML or chat messages; safe with any text."""

from __future__ import annotations

import base64
import math
import re

from vqa.answers import Answer, Json, Token
from vqa.errors import InputError, VQAError
from vqa.markup import Markup, escape, html, joined
from vqa.media.images import ImagePayload
from vqa.media.notes import note_text
from vqa.text import Language, t
from vqa.ui.ask.asking import Piece
from vqa.ui.ask.comparing import growing_html, marked, one_line
from vqa.ui.ask.conversation import Conversation, Message, Problem
from vqa.ui.ask.harmless import safe_markdown
from vqa.ui.text import words
from vqa.ui.widgets.parts import badge, empty, stats

LINE = Markup('<small class="vqa-line"></small>')
TOKENS_SHOWN = 2000
TOKENS_FOR_SPEED = 8
"""Of fewer a speed says nothing: two tokens may come in one piece of the stream."""
COMPARED = ("temperature", "top_p", "max_tokens", "seed", "server")
"""Settings that are named above an answer beside another."""
SPECIAL = re.compile(r"<(?:[|｜].+[|｜]|/?s|eos|end_of_\w+)>")
"""Tokens that end an answer, as the common tokenizers write them."""


def answer_line(message: Message, lang: Language) -> str:
    """Returns the line under an answer: how fast it came, how long it is, how it ended."""
    tr, answer, parts = words(lang), message.answer, []
    if answer is not None:
        if answer.seconds_to_first_token is not None:
            parts.append(tr("ask.first_token", seconds=f"{answer.seconds_to_first_token:.2f}"))
        if answer.completion_tokens is not None:
            parts.append(tr("ask.tokens", n=answer.completion_tokens))
        if answer.tokens_per_second is not None and (answer.completion_tokens or 0) >= TOKENS_FOR_SPEED:
            parts.append(tr("ask.tokens_per_second", n=f"{answer.tokens_per_second:.1f}"))
        parts.append(tr("ask.seconds_in_all", seconds=f"{answer.seconds:.2f}"))
        if answer.finish_reason == "length":
            parts.append(tr("ask.cut_by_length"))
    if message.stopped:
        parts.append(tr("ask.stopped"))
    return " · ".join(parts)


def problem_text(problem: Problem, lang: Language) -> str:
    """Returns what went wrong and what to do, as Markdown."""
    values = dict(problem.values)
    message = t(f"errors.{problem.code}", lang, **values)
    hint = t(f"errors.{problem.code}_hint", lang, **values)
    return f"⚠ **{safe_markdown(message)}** {safe_markdown(hint)}"


def problem_of(error: VQAError) -> Problem:
    """Returns an error as a message keeps it."""
    return Problem(error.code, tuple((name, str(value)) for name, value in error.values.items()))


def chat_messages(
    conversation: Conversation,
    files: dict[str, str],
    lang: Language,
    *,
    growing: Piece | None = None,
    beside: Piece | None = None,
) -> list[dict[str, Json]]:
    """Returns what gr.Chatbot shows; `files` maps a picture's hash to its thumbnail.

    `growing` is an answer so far, `beside` the one at its side.
    """
    by_id = {message.id: message for message in conversation.messages}
    rows = [_chat_message(message, by_id.get(message.beside or -1), files, lang) for message in conversation.path()]
    if growing is not None and beside is not None:
        rows.append({"role": "assistant", "content": [_text(growing_html(growing, beside))]})
    elif growing is not None:
        waiting = "" if growing.waiting is None else t("ask.waiting", lang, seconds=f"{growing.waiting:.0f}")
        said = _text(safe_markdown(growing.text) or waiting or "…")
        rows.append({"role": "assistant", "content": [*_reasoning(growing.reasoning, lang, shown=True), said]})
    return rows


def _chat_message(message: Message, beside: Message | None, files: dict[str, str], lang: Language) -> dict[str, Json]:
    if message.role == "user":
        content: list[Json] = [
            {"path": files[image.sha256], "alt_text": image.given_name or t("ask.picture", lang)}
            for image in message.images
            if image.sha256 in files
        ]
        return {"role": "user", "content": [*content, _text(safe_markdown(message.text))]}
    answer = message.answer
    if beside is not None:
        acts = _acts(message, lang) if answer is not None and message.problem is None else ""
        return {"role": "assistant", "content": [_text(compared_html(message, beside, lang)), _text(f"{LINE}{acts}")]}
    content = [_text(safe_markdown(message.text))] if message.text.strip() else []
    if answer is not None:
        content = [*_reasoning(answer.reasoning, lang, shown=not content), *content, *_other_parts(answer, lang)]
    if not content and answer is not None and not message.stopped and message.problem is None:
        content = [_text(f"*{t('ask.blank_answer', lang)}*")]
    if message.problem is not None:
        content.append(_text(problem_text(message.problem, lang)))
    if line := answer_line(message, lang):
        acts = _acts(message, lang) if answer is not None and message.problem is None else ""
        content.append(_text(html('<small class="vqa-line">{}</small>{}', line, acts)))
    return {"role": "assistant", "content": content or [_text("—")]}


def compared_html(first: Message, second: Message, lang: Language) -> Markup:
    """Returns two answers to one question side by side, their differences marked, and whether there are any."""
    tr, both = words(lang), (first, second)
    columns = []
    for mine, other in (both, both[::-1]):
        body = one_line(marked(mine.text, other.text))
        if mine.problem is not None:
            body += html("<p>{}</p>", badge(t(f"errors.{mine.problem.code}", lang, **dict(mine.problem.values)), "bad"))
        settings = " · ".join(f"{name} {value}" for name, value in mine.asked if name in COMPARED)
        line = answer_line(mine, lang)
        columns.append(html("<div><b>{}</b>{}<small>{}</small></div>", settings, body or "—", line))
    verdict = Markup()
    if not any(each.problem or each.stopped for each in both):
        same = first.text == second.text
        told = badge(tr("ask.compare_same" if same else "ask.compare_differ"), "good" if same else "warn")
        verdict = html('<p class="verdict">{}</p>', told)
    return html('<div class="vqa-compared">{}{}</div>', joined(columns), verdict)


def _acts(message: Message, lang: Language) -> Markup:
    """Returns the links that take an answer's question to the tabs that prove it; assets/sending.js follows them."""
    acts = (("repeat", "ask.act_repeat"), ("diagnose", "ask.act_diagnose"))
    links = (html('<a class="vqa-act" href="#vqa-{}-{}">{}</a>', tab, message.id, t(key, lang)) for tab, key in acts)
    return html(' <span class="vqa-acts">{}</span>', Markup(" ").join(links))


def _reasoning(text: str, lang: Language, *, shown: bool) -> list[Json]:
    """Returns what the model thought, to be opened; `shown` says that it stands open, as long as there is no answer."""
    if not text.strip():
        return []
    opened, head = " open" if shown else "", t("ask.reasoning", lang)
    drawn = html("<details class='vqa-reasoning'{}><summary>{}</summary>\n\n{}\n\n</details>", opened, head, text)
    return [_text(drawn)]


def _other_parts(answer: Answer, lang: Language) -> list[Json]:
    """Returns what an answer holds beside content and reasoning: a refusal, calls of tools."""
    found = [_text(f"**{t('ask.refusal', lang)}** {safe_markdown(answer.refusal)}")] if answer.refusal else []
    for call in answer.tool_calls:
        shown = f"{call.name}({call.arguments})"
        found.append(_text(html("**{}** <code>{}</code>", t("ask.tool_call", lang), shown)))
    return found


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def received_html(images: tuple[ImagePayload, ...], message: Message | None, lang: Language) -> Markup:
    """Returns the panel of what the model received: every picture as sent, and the server's own token counts."""
    tr = words(lang)
    if message is None:
        return empty(tr("ask.received_empty"), tr("ask.received_empty_hint"))
    figures = joined(_picture_html(image, place, lang) for place, image in enumerate(images, 1))
    answer = message.answer
    counts: list[tuple[str, str]] = []
    if answer is not None and answer.prompt_tokens is not None:
        counts.append((tr("ask.prompt_tokens"), str(answer.prompt_tokens)))
        if answer.image_tokens:
            markers = answer.image_markers or 0
            count = str(answer.image_tokens - markers)
            counts.append(
                (tr("ask.image_tokens"), tr("ask.and_markers", n=count, markers=markers) if markers else count)
            )
            counts.append((tr("ask.text_tokens"), str(answer.prompt_tokens - answer.image_tokens)))
        cached = tr("ask.unknown") if answer.cached_tokens is None else str(answer.cached_tokens)
        counts.append((tr("ask.cached_tokens"), cached))
    counts += [
        (name, str(value)) for name, value in message.asked if name in {"temperature", "top_p", "seed", "max_tokens"}
    ]
    if answer is not None and answer.request_id:
        counts.append((tr("ask.request_id"), answer.request_id))
    return html('<div class="vqa-received">{}{}</div>', figures, stats(counts))


def _picture_html(image: ImagePayload, place: int, lang: Language) -> Markup:
    tr = words(lang)
    name = image.given_name or tr("ask.picture_n", n=place)
    shown = _seen(image, tr("ask.as_sent", name=name), lang)
    given = f"{image.given_width}×{image.given_height}"
    sent = f"{image.width}×{image.height}"
    pixels = sent if sent == given or not image.given_width else f"{given} → {sent}"
    size = _bytes(len(image.data))
    if image.given_bytes and image.given_bytes != len(image.data):
        size = f"{_bytes(image.given_bytes)} → {size}"
    notes = joined(badge(note_text(note, lang), "warn") for note in image.notes) or badge(
        tr("ask.byte_for_byte"), "good"
    )
    rows = [(tr("ask.pixels"), pixels), (tr("ask.bytes"), size), (tr("ask.mime"), image.mime)]
    return html(
        "<figure>{}<figcaption><strong>{}</strong>{}"
        '<p class="hash" title="SHA-256 {}">sha256 {}…</p><p>{}</p></figcaption></figure>',
        shown, name, stats(rows), image.sha256, image.sha256[:16], notes,
    )  # fmt: skip


def _seen(image: ImagePayload, words_for_it: str, lang: Language) -> Markup:
    """Returns what is sent, as an engine sees it; or why it cannot be shown."""
    try:
        source = base64.b64encode(image.thumbnail(320)).decode()
    except InputError as problem:
        return html('<p class="bad">⚠ {}</p>', problem.message(lang))
    return html('<img src="data:image/png;base64,{}" alt="{}">', source, words_for_it)


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB" if count >= 1e3 else f"{count} B"


def sure_html(answer: Answer | None, lang: Language) -> Markup:
    """Returns the answer's tokens shaded by their probability, each with what else it could have been."""
    tr = words(lang)
    if answer is None:
        return empty(tr("ask.sure_empty"), tr("ask.sure_empty_hint"))
    if not answer.tokens:
        return empty(tr("ask.sure_none"), tr("ask.sure_none_hint"))
    tokens = answer.tokens[:TOKENS_SHOWN]
    body = joined(_token_html(token) for token in tokens)
    hidden = len(answer.tokens) - TOKENS_SHOWN
    more = html("<p>{}</p>", tr("ask.sure_more", n=hidden)) if hidden > 0 else ""
    tokens_div = html('<div class="vqa-tokens">{}</div>{}', body, more)
    return tokens_div + _least_html(answer.tokens, lang) + _legend(tokens, lang)


def _token_html(token: Token) -> Markup:
    share = math.exp(min(0.0, token.logprob))
    level = 0 if share >= 0.99 else 1 if share >= 0.9 else 2 if share >= 0.7 else 3 if share >= 0.5 else 4
    rows = joined(html("<i><b>{}</b><span>{}%</span></i>", visible(text), percent(value)) for text, value in token.top)
    special = SPECIAL.fullmatch(token.text)
    told = html(' title="{}"', token.text) if special else ""
    shown = "■" if special else escape(token.text).replace("\n", Markup("⏎<br>"))
    return html(
        '<span class="tok p{}" tabindex="-1"{}>{}<span class="tip" aria-hidden="true">{}</span></span>',
        level, told, shown, rows,
    )  # fmt: skip


def _least_html(tokens: tuple[Token, ...], lang: Language) -> Markup:
    least = min(tokens, key=lambda token: token.logprob)
    others = [(text, value) for text, value in least.top if text != least.text]
    share = percent(least.logprob)
    if others:
        text = t(
            "ask.least_sure",
            lang,
            token=visible(least.text),
            share=share,
            other=visible(others[0][0]),
            other_share=percent(others[0][1]),
        )
    else:
        text = t("ask.least_sure_alone", lang, token=visible(least.text), share=share)
    return html('<p class="vqa-least">{}</p>', text)


def _legend(tokens: tuple[Token, ...], lang: Language) -> Markup:
    steps = ("≥ 99%", "≥ 90%", "≥ 70%", "≥ 50%", "< 50%")
    marks = joined(html('<span class="tok p{}">{}</span>', level, text) for level, text in enumerate(steps))
    special = " " + t("ask.legend_special", lang) if any(SPECIAL.fullmatch(token.text) for token in tokens) else ""
    return html('<p class="vqa-legend">{} {}{}</p>', t("ask.legend", lang), marks, special)


def percent(logprob: float) -> str:
    """Returns a probability in percent that never rounds to certainty, nor to impossibility."""
    share = 100 * math.exp(min(0.0, logprob))
    return "> 99.9" if 99.95 <= share < 100 else "< 0.1" if 0 < share < 0.05 else f"{share:.1f}"


def visible(token: str) -> str:
    """Returns a token with its blanks made visible."""
    return token.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "␣") or "∅"


def title_html(conversation: Conversation) -> Markup:
    """Returns the conversation's name; the page's script reads its id from here into the address."""
    return html('<p class="vqa-title" data-chat="{}">{}</p>', conversation.chat_id, conversation.name)


def versions_html(conversation: Conversation, lang: Language) -> Markup:
    """Returns which version of how many is shown."""
    versions = conversation.versions()
    shown = versions.index(conversation.leaf) + 1 if conversation.leaf in versions else len(versions)
    return html('<p class="vqa-title">{}</p>', t("ask.version", lang, n=shown, total=len(versions)))
