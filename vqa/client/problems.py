"""From a server's refusal or fault to one sentence of `vqa.errors`, with the server's own words beside it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

from vqa.answers import Answer, Json
from vqa.client.transport import WayError, status_phrase
from vqa.errors import ServerError

DEEPEST = 20
"""Levels of a server's JSON in which its words are looked for."""
MAX_WORDS = 400
"""Characters of a server's own words that are repeated."""
OVERFLOW = re.compile(
    r"context[ _-]?(?:length|size|window)|max_model_len|maximum model length|context_length_exceeded|prompt is too long"
    r"|exceed_context_size|too many (?:input )?tokens|input is too long|reduce the length"
    r"|maximum (?:input|sequence|prompt) length"
    r"|上下文长度|超出.{0,8}长度",
    re.IGNORECASE,
)
EMPTY_ACCOUNT = re.compile(
    r"insufficient[ _](?:quota|balance|funds|credit)|exceeded your current quota|\bcredits?\b|billing|payment"
    r"|overdue|arrear"
    r"|余额|欠费|充值|账户.{0,6}不足",
    re.IGNORECASE,
)
KEY = re.compile(
    r"api[ _-]?key|token|credential|authenticat|unauthori[sz]ed|login|sign.?in|密钥|鉴权|认证", re.IGNORECASE
)
MODEL = re.compile(r"model|模型", re.IGNORECASE)
TOO_LARGE = re.compile(r"too large|entity too large|body.{0,20}(?:exceed|large|limit)|payload", re.IGNORECASE)
PLAIN_TO_TLS = re.compile(r"plain HTTP request|HTTP request (?:was sent )?to an? HTTPS", re.IGNORECASE)
SCRIPTS = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


class BrokenStreamError(ServerError):
    """The reply ended before its answer was whole; `partial` holds what had arrived."""

    def __init__(self, code: str, partial: Answer, **values: object) -> None:
        self.partial = partial
        super().__init__(code, **values)


class NoAnswerError(BrokenStreamError):
    """The reply came to its end, but what arrived is no answer (see `Answer.fault`); `partial` holds it."""

    def __init__(self, partial: Answer) -> None:
        super().__init__(f"answer_{partial.fault}", partial, reason=partial.finish_reason or "–")


class RefusedError(Exception):
    """A server's own fault or refusal, with what it says: of a status that is not 200, or in the middle of a stream."""

    def __init__(
        self, status: int | None, words: str, *, kind: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        headers = headers or {}
        self.status = status
        """None where an error came inside a reply that had begun well."""
        self.words = words
        self.kind = kind
        """The server's own name for the error: OpenAI's `code` or `type`."""
        self.location = headers.get("Location", "")
        self.retry_after = retry_after(headers)
        """Seconds after which the server wants to be asked again; None when it does not say."""
        super().__init__(status, words)

    @property
    def overflow(self) -> bool:
        """Whether question and answer do not fit into the context."""
        return bool(OVERFLOW.search(self.words) or OVERFLOW.search(self.kind))

    @property
    def rejected(self) -> bool:
        """Whether the request's fields may be what it does not take; nothing was computed then."""
        return self.status in {400, 415, 422, 501} and not self.overflow

    def error(self, address: str) -> ServerError:
        """Returns the sentence for it."""
        return ServerError(self._code(), **self._values(address))

    def _values(self, address: str) -> dict[str, object]:
        words = self.words or ("–" if self.status is None else status_phrase(self.status))
        seconds = "" if self.retry_after is None else f"{self.retry_after:.0f}"
        status = "" if self.status is None else status_phrase(self.status)
        return {"address": address, "reason": words, "status": status, "location": self.location, "seconds": seconds}

    def _code(self) -> str:  # noqa: PLR0911 - one line for each sentence
        status = self.status
        if self.overflow:
            return "context_exceeded"
        if status == 402 or (status in {None, 403, 429} and EMPTY_ACCOUNT.search(f"{self.words} {self.kind}")):
            return "server_account_empty"
        if status is None:
            return "server_failed"
        if 300 <= status < 400:
            return "server_redirects" if self.location else "server_rejected"
        if status in {401, 407} or (status == 403 and (not self.words or KEY.search(f"{self.words} {self.kind}"))):
            return "server_unauthorized"
        if status == 403:
            return "server_forbidden"
        if status == 413 or (status == 400 and TOO_LARGE.search(self.words)):
            return "server_body_too_large"
        if status == 400 and PLAIN_TO_TLS.search(self.words):
            return "server_speaks_https"
        if status in {404, 405, 410}:
            return "server_not_found" if MODEL.search(f"{self.words} {self.kind}") else "server_no_chat"
        if status == 429:
            return "server_busy" if self.retry_after is None else "server_busy_until"
        if status in {408, 504}:
            return "server_gateway_timeout"
        if status in {502, 503, 521, 522, 523, 530}:
            return "server_gateway"
        return "server_rejected" if status < 500 or status == 501 else "server_failed"


def way_error(problem: WayError, address: str) -> ServerError:
    """Returns the sentence for a fault of the way to the server."""
    return ServerError(problem.code, address=address, reason=trimmed(problem.reason) or "–")


def refusal(status: int, body: bytes, headers: Mapping[str, str]) -> RefusedError:
    """Returns what a reply with a status other than 200 says."""
    try:
        value = orjson.loads(_text(body))
    except ValueError:
        return RefusedError(status, text_of(body), headers=headers)
    words, kind = words_of(value)
    return RefusedError(status, words, kind=kind, headers=headers)


def error_in(value: Json) -> RefusedError | None:
    """Returns the error that a reply's JSON holds, or None when it holds none: a chunk, a whole answer, a ping."""
    if not isinstance(value, dict):
        return None if value is None or value == [] else RefusedError(None, words_of(value)[0])
    if inner := _error_of_choice(value.get("choices")):  # as OpenRouter tells the fault of the server behind it
        value = {"error": inner}
    status = _status_in(value)
    if not value.get("error") and value.get("object") != "error" and (value.get("choices") or _harmless(value)):
        return None
    words, kind = words_of(value)
    return RefusedError(status, words or _as_json(value), kind=kind)


def _as_json(value: Json) -> str:
    try:
        return trimmed(orjson.dumps(value).decode())
    except TypeError:  # deeper than it writes
        return ""


def _error_of_choice(choices: Json) -> Json:
    first = choices[0] if isinstance(choices, list) and choices else None
    return first.get("error") if isinstance(first, dict) else None


def _status_in(value: Mapping[str, Json]) -> int | None:
    """Returns the HTTP status that an error inside a 200 reply names as its code, or None."""
    inner = value.get("error")
    found = inner.get("code") if isinstance(inner, dict) else value.get("code")
    return found if isinstance(found, int) and 400 <= found < 600 else None


def _harmless(value: Mapping[str, Json]) -> bool:
    """Whether a chunk without choices is a chunk all the same: usage, a ping, a piece of metadata."""
    return not any(value.get(name) for name in ("detail", "message", "msg", "errors"))


def words_of(value: Json, depth: int = 0) -> tuple[str, str]:
    """Returns (what an error's JSON says, the name that it gives to the error), whichever form it has."""
    if depth > DEEPEST:
        return "", ""
    if isinstance(value, str):
        return trimmed(value), ""
    if isinstance(value, list):
        return trimmed("; ".join(filter(None, (words_of(each, depth + 1)[0] for each in value[:5])))), ""
    if not isinstance(value, dict):
        return "", ""
    kind = next((str(value[name]) for name in ("code", "type") if isinstance(value.get(name), str)), "")
    for name in ("error", "detail", "message", "msg", "errors", "error_msg", "reason"):
        if value.get(name):
            words, inner = words_of(value[name], depth + 1)
            if words:
                place = value.get("loc")
                where = ".".join(map(str, place)) + ": " if isinstance(place, list) and name == "msg" else ""
                return trimmed(f"{where}{words}"), inner or kind
    return "", kind


def _text(body: bytes) -> str:
    """Returns bytes as text: UTF-8 as a rule, GB18030 as older servers in China write it, else Latin-1."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    return body.decode("latin-1")


def text_of(body: bytes) -> str:
    """Returns what a body that is no JSON says: a page's title, or its text without tags."""
    text = _text(body[:200_000])
    if "<" in text and re.search(r"<(?:!doctype|html|head|body|h1|title|center)\b", text, re.IGNORECASE):
        if (title := TITLE.search(text)) and title[1].strip():
            return trimmed(html.unescape(title[1]))
        text = html.unescape(re.sub(r"<[^>]*>", " ", SCRIPTS.sub(" ", text)))
    return trimmed(text)


def trimmed(text: str) -> str:
    """Returns words on one line, without control characters, cut where nobody reads on."""
    text = " ".join("".join(char if char.isprintable() else " " for char in text[: 10 * MAX_WORDS]).split())
    return text if len(text) <= MAX_WORDS else f"{text[: MAX_WORDS - 1]}…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds of Retry-After, given as such or as a date (RFC 9110, 10.2.3), or of `retry-after-ms`."""
    try:
        if given := headers.get("retry-after-ms"):
            return max(0.0, float(given) / 1000)
        given = headers.get("Retry-After") or headers.get("retry-after")
        if not given:
            return None
        try:
            seconds = float(given)
        except ValueError:
            seconds = (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(0.0, seconds) if seconds < float("inf") else None
