"""A visitor without a browser: speaks to the running app by HTTP alone, as an attacker's script would."""

from __future__ import annotations

import copy
import io
import json
import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2 as httpx
from PIL import Image

Json = Any
API = "/gradio_api"
SECONDS = 120.0
REPEAT_FIELDS = (
    "images", "questions", "each_image", "n", "concurrency", "temperature", "seed_policy", "cache", "seed",
    "max_tokens", "top_p", "system", "name",
)  # fmt: skip


get, post = partial(httpx.get, timeout=SECONDS), partial(httpx.post, timeout=SECONDS)
"""One request of somebody who keeps no cookie; apps, engines and browsers share the cores, so it may take a while."""


def drawn(colour: str = "red", size: int = 64) -> bytes:
    """A small PNG of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(out, "PNG")
    return out.getvalue()


@dataclass
class Reply:
    """How an event ended: what every output was sent last, and the notices that came meanwhile."""

    success: bool
    outputs: list[Json] = field(default_factory=list)
    shown: list[Json] = field(default_factory=list)
    """What the page shows in every output by then: an update that says nothing leaves what was there."""
    notices: list[str] = field(default_factory=list)
    raw: str = ""

    @property
    def text(self) -> str:
        """Everything that came back, as one text."""
        return self.raw

    @property
    def answer(self) -> str:
        """The last message of the conversation among the outputs."""
        for value in self.outputs:
            if isinstance(value, list) and value and isinstance(value[-1], dict) and "role" in value[-1]:
                content = value[-1]["content"]
                texts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
                return str(texts[0])
        raise AssertionError(f"no conversation in {self.raw[-2000:]}")


class Visitor:
    """One visitor with its own session; `address` is the one that a reverse proxy on this machine would report."""

    def __init__(
        self,
        url: str,
        *,
        address: str | None = None,
        page: str = "",
        auth: tuple[str, str] | None = None,
        config: Json = None,
    ) -> None:
        """`config` is what another visitor of the same app has been told, to save asking."""
        headers = {"X-Forwarded-For": address} if address else {}
        self.http = httpx.Client(base_url=url.rstrip("/"), timeout=SECONDS, headers=headers, trust_env=False)
        self.session = uuid.uuid4().hex
        self.page = page
        if auth:
            assert self.http.post("/login", data={"username": auth[0], "password": auth[1]}).status_code == 200
        if config is None:
            self.http.get("/")
        self.config = config or self._whole(self.http.get("/config").json())
        self._elements = {
            part["id"]: part["props"].get("elem_id") or part["type"]
            for place in self.config["page"].values()
            for part in self.config["components"]
            if part["id"] in place["components"]
        }

    def _whole(self, config: Json) -> Json:
        """Returns the page's config with the insides of all tabs, which a browser is handed when one is opened."""
        tabs = {each["id"] for each in config["components"] if each["type"] == "tabitem"}
        for event in list(config["dependencies"]):
            if event["inputs"] or event["outputs"] or not {target for target, _ in event["targets"]} & tabs:
                continue
            told = {"data": [], "fn_index": event["id"], "session_hash": self.session, "event_data": None}
            inside = self.http.post(f"{API}/run/predict", json=told).raise_for_status().json()["render_config"]
            page = next(each for each in config["page"].values() if event["id"] in each["dependencies"])
            for kind in ("components", "dependencies"):
                known = {each["id"] for each in config[kind]}
                new = [each for each in inside[kind] if each["id"] not in known]
                config[kind] += new
                page[kind] += [each["id"] for each in new]
        return config

    def close(self) -> None:
        """Closes the connections."""
        self.http.close()

    def endpoint(self, element: str, event: str) -> int:
        """The number of the function that an event of an element on this visitor's page calls."""
        for function in self.config["dependencies"]:
            if function["id"] not in self.config["page"][self.page]["dependencies"] or not function["backend_fn"]:
                continue
            if [element, event] in [[self._elements.get(target), name] for target, name in function["targets"]]:
                return int(function["id"])
        raise LookupError(f"{element}.{event}")

    def names(self, parts: list[int]) -> list[str]:
        """What elements are called."""
        return [str(self._elements.get(part)) for part in parts]

    def upload(self, *files: tuple[str, bytes]) -> list[str]:
        """Uploads files; the paths that they were given."""
        reply = self.http.post(f"{API}/upload", files=[("files", (name, data)) for name, data in files])
        reply.raise_for_status()
        return list(reply.json())

    def join(self, function: int, data: list[Json], **body: Json) -> httpx.Response:
        """Puts an event into the queue."""
        event = {"data": data, "fn_index": function, "session_hash": self.session, "event_data": None} | body
        return self.http.post(f"{API}/queue/join", json=event)

    def call(self, function: int, data: list[Json], **body: Json) -> Reply:
        """Handles one event to its end."""
        joined = self.join(function, data, **body)
        assert joined.status_code == 200, f"{joined.status_code} {joined.text[:500]}"
        return self.listen({joined.json()["event_id"]})[joined.json()["event_id"]]

    def listen(self, events: set[str]) -> dict[str, Reply]:
        """Waits until all of these events of the session have ended."""
        replies = {event: Reply(False) for event in events}
        waiting = set(events)
        while waiting:
            with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
                for line in stream.iter_lines():
                    if line.startswith("data:"):
                        self._take(json.loads(line[5:]), replies, waiting)
        return replies

    def _take(self, message: Json, replies: dict[str, Reply], waiting: set[str]) -> None:
        reply = replies.get(message.get("event_id") or "")
        if message["msg"] == "unexpected_error":
            raise AssertionError(message)
        if reply is None:
            return
        reply.raw += json.dumps(message, ensure_ascii=False)
        if message["msg"] == "log":
            reply.notices.append(message["log"])
        elif message["msg"] in {"process_generating", "process_completed"}:
            merge(reply.outputs, message["output"].get("data") or [])
            show(reply.shown, reply.outputs)
        if message["msg"] == "process_completed":
            reply.success = bool(message["success"])
            waiting.discard(message["event_id"])

    def ask(self, text: str, files: list[str], options: Json = None, *, wait: bool = True) -> Any:
        """Asks on the Ask tab; `options` are the values of its settings, in their order."""
        function = self.endpoint("vqa-composer", "submit")
        written = {"text": text, "files": [as_file(path) for path in files]}
        values = list(options) if options is not None else self.defaults(function)[2:]
        data = [written, None, *values]
        return self.call(function, data) if wait else self.join(function, data).json()["event_id"]

    def defaults(self, function: int) -> list[Json]:
        """The values that a function's inputs have on a fresh page."""
        wanted = next(each for each in self.config["dependencies"] if each["id"] == function)["inputs"]
        values = {part["id"]: part["props"].get("value") for part in self.config["components"]}
        return [values[part] for part in wanted]

    def fetch(self, address: str) -> Reply:
        """Asks for the picture at a web address on the Ask tab, with nothing else changed."""
        function = self.endpoint("vqa-address", "submit")
        return self.call(function, [address, *self.defaults(function)[1:]])

    def repeat(self, text: str, file: str, **changes: Json) -> Reply:
        """Starts a run on the Repeat tab."""
        function = self.endpoint("repeat-start", "click")
        values = self.defaults(function)
        values[0], values[1] = [{"image": as_file(file), "caption": None}], text
        labels = [
            "images",
            "questions",
            "each_image",
            "n",
            "concurrency",
            "temperature",
            "seed_policy",
            "cache",
            "seed",
        ]
        for name, value in changes.items():
            values[[*labels, "max_tokens", "top_p", "system", "name"].index(name)] = value
        return self.call(function, values)


def as_file(path: str) -> Json:
    """A file as the page names it to the server."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def merge(outputs: list[Json], data: list[Json]) -> None:
    """Takes in what a message says of the outputs; a stream sends what changed since, as (action, path, value)."""
    for place, value in enumerate(data):
        if place >= len(outputs):
            outputs.append(value)
        elif isinstance(value, list) and all(isinstance(each, list) and len(each) == 3 for each in value):
            for action, path, part in value:
                outputs[place] = _changed(outputs[place], action, path, part)
        else:
            outputs[place] = value


def show(shown: list[Json], outputs: list[Json]) -> None:
    """Takes over what a message has left in the outputs, as the page does: a property that is not named stays."""
    for place, value in enumerate(copy.deepcopy(outputs)):
        if place >= len(shown):
            shown.append(value)
        elif isinstance(value, dict) and value.get("__type__") == "update":
            before = shown[place] if isinstance(shown[place], dict) else {"value": shown[place]}
            shown[place] = before | value
        else:
            shown[place] = value


def _changed(whole: Json, action: str, path: list[Json], part: Json) -> Json:
    if not path:
        return whole + part if action == "append" else part
    step, *rest = path
    if action == "delete" and not rest:
        del whole[step]
    elif action == "add" and not rest and isinstance(whole, list):
        whole.insert(step, part)
    else:
        below = whole[step] if rest or action == "append" else None
        whole[step] = _changed(below, action, rest, part)
    return whole
