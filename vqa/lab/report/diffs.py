"""Two answers side by side as HTML: where they part, and which tokens stood to choose there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from vqa.answers import Answer, Token
from vqa.lab.report import cells, charts
from vqa.markup import escape, html, joined
from vqa.text import Language, t

TEXT_SHOWN = 3000
"""Characters of an answer that are shown; the exports have all of it."""


def diff(first: Answer, second: Answer, names: tuple[int, int], language: Language) -> str:
    """Returns two answers side by side, split at the first token that differs, with the candidates there.

    `names` are the group numbers of the two.
    """
    one, other = _pieces(first, second)
    at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    if at == len(one) == len(other):
        words = t("report.diff_none", language)
        return html('<p class="vl-note-box">{}</p>', words)
    unit = "report.split_at_token" if first.tokens and second.tokens else "report.split_at_character"
    columns = joined(
        html(
            '<div><span class="vl-head">{} {}</span>{}</div>',
            _badge(name),
            t("report.answer_name", language, name=cells.letter(name)),
            _split(pieces, at, language),
        )
        for name, pieces in zip(names, (_texts(first, one), _texts(second, other)), strict=True)
    )
    head = html("<p><b>{}</b></p>", t(unit, language, at=at))
    return html('{}<div class="vl-diff">{}</div>{}', head, columns, _candidates(first, second, at, names, language))


def _pieces(first: Answer, second: Answer) -> tuple[Sequence[object], Sequence[object]]:
    """Returns what is compared: token ids where both show them, else the tokens' texts, else characters."""
    if first.tokens and second.tokens:
        if first.token_ids and second.token_ids:
            return first.token_ids, second.token_ids
        return [token.text for token in first.tokens], [token.text for token in second.tokens]
    return first.all_text, second.all_text


def _texts(answer: Answer, pieces: Sequence[object]) -> list[str]:
    if answer.tokens and not isinstance(pieces, str):
        return [token.text for token in answer.tokens]
    return list(answer.all_text)


def _split(pieces: Sequence[str], at: int, language: Language) -> str:
    same, here, rest = "".join(pieces[:at]), "".join(pieces[at : at + 1]), "".join(pieces[at + 1 :])
    if len(same) > TEXT_SHOWN:
        same = f"… {same[-TEXT_SHOWN:]}"
    shown = here if here.strip() else repr(here)[1:-1] if here else t("report.ends_here", language)
    return html('<span class="vl-same">{}</span><mark>{}</mark>{}', same, shown, shorten(rest))


def _candidates(first: Answer, second: Answer, at: int, names: tuple[int, int], language: Language) -> str:
    """Returns the candidates at the split in both answers with probability and logprob, and the margin."""
    columns = [_token(first, at), _token(second, at)]
    if not any(columns):
        return ""
    head = joined(
        html('<th scope="col">{}</th>', t(f"report.candidate_{name}", language))
        for name in ("answer", "token", "probability", "logprob", "margin")
    )
    rows = joined(_candidate_rows(token, name, language) for token, name in zip(columns, names, strict=True) if token)
    note = t("report.candidates_note", language)
    return html(
        "<h4>{}</h4><div class='vl-scroll' tabindex='0'><table class='vl-candidates'><thead>"
        "<tr>{}</tr></thead><tbody>{}</tbody></table></div><p class='vl-soft'>{}</p>",
        t("report.candidates", language),
        head,
        rows,
        note,
    )


def _token(answer: Answer, at: int) -> Token | None:
    return answer.tokens[at] if answer.tokens and at < len(answer.tokens) else None


def _candidate_rows(token: Token, name: int, language: Language) -> str:
    # The server lists a sampled token first, whatever its rank.
    top = sorted(token.top or ((token.text, token.logprob),), key=lambda candidate: -candidate[1])
    margin = f"{top[0][1] - top[1][1]:.4f}" if len(top) > 1 else "–"
    rows = []
    for place, (text, logprob) in enumerate(top[:2]):
        percent = 100 * charts.probability(logprob)
        chosen = " ✓" if text == token.text else ""
        rows.append(
            html(
                "<tr><td>{}</td><td class='vl-mono'>{}{}</td><td>"
                "<span class='vl-bar' style='width:{:.1f}px'></span>{:.2f}%</td>"
                "<td class='vl-num'>{:.4f}</td><td class='vl-num'>{}</td></tr>",
                _badge(name) if not place else "",
                repr(text)[1:-1],
                chosen,
                percent * 0.8,
                percent,
                logprob,
                margin if not place else "",
            )
        )
    return joined(rows)


def _badge(place: int) -> str:
    return html('<i class="vl-cell" style="background:{}">{}</i>', cells.colour(place), cells.letter(place))


def shorten(text: str, most: int = TEXT_SHOWN) -> str:
    """Returns a text as HTML, cut after so many characters where it is too long to be read."""
    return escape(text) if len(text) <= most else html("{} …", text[:most])
