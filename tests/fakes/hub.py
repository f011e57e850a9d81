"""A hub on loopback that speaks the protocols of ModelScope and Hugging Face, for their real clients, with faults.

It serves files from memory with Range support, lists them with sizes and hashes, redirects large ones to a "CDN" as
both hubs do, and writes down every request. Only what `Faults` says is wrong about it.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np

COMMIT = "a" * 40
LARGE = 1024 * 1024
"""Bytes from which on a file counts as stored in LFS: on a CDN, with a SHA-256."""
_PIECE = 64 * 1024


def model_files(megabytes: int = 12, seed: int = 0) -> dict[str, bytes]:
    """The files of a small checkpoint: two shards that make up `megabytes`, and the small files around them."""
    weights = np.random.default_rng(seed).bytes(megabytes * 1024 * 1024)
    cut = len(weights) * 3 // 4
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    index = {"metadata": {"total_size": len(weights)}, "weight_map": {"a": names[0], "b": names[1]}}
    return {
        "config.json": json.dumps({"architectures": ["Idefics3ForConditionalGeneration"]}).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        names[0]: weights[:cut],
        names[1]: weights[cut:],
        "README.md": "# 模型\n".encode(),
        "assets/words with blanks [1].txt": b"hello",
    }


@dataclass
class Faults:
    """What the hub does wrong; everything may be changed while it runs."""

    listing_status: int | None = None
    file_status: dict[str, int] = field(default_factory=dict)
    wrong_hash: set[str] = field(default_factory=set)
    """Paths whose content differs from the listed hash (same size)."""
    listed_once: set[str] = field(default_factory=set)
    """Paths that only the first listing holds: the client's own one lacks them, and it reports success."""
    cut_after: dict[str, list[int]] = field(default_factory=dict)
    """Path -> numbers of bytes after which the connection is closed, one for each of the next requests."""
    bytes_per_second: float | None = None
    hold_after: int | None = None
    """All large files stop after this many bytes until `go_on` is set."""
    extra_listing: list[str] = field(default_factory=list)
    """Paths listed besides the real files."""


@dataclass(frozen=True)
class Seen:
    """One request as it came in."""

    method: str
    path: str
    range: str | None
    headers: Mapping[str, str]


class FakeHub:
    """`with FakeHub({"owner/name": files}) as hub:` serves at `hub.url` until the block ends."""

    def __init__(self, models: dict[str, dict[str, bytes]], *, token: str | None = None) -> None:
        self.models = models
        self.token = token
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.go_on = threading.Event()
        self.holding = threading.Event()
        self.listings = 0
        self.sent = 0
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ranges(self, path: str) -> list[str]:
        """The Range headers that came for a file, in order."""
        wanted = quote(path)
        return [each.range for each in self.seen if each.range and (wanted in each.path or path in each.path)]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed in mid-download is no news here."""


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def _route(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), {key: values[0] for key, values in parse_qs(parts.query).items()}
        with self.hub.lock:
            self.hub.seen.append(Seen(self.command, self.path, self.headers.get("Range"), dict(self.headers)))
        if match := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo/files", path):
            self._modelscope_listing(match[1], query)
        elif match := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo", path):
            self._file(match[1], query["FilePath"], query.get("Revision", "master"))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._huggingface_info(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            self._huggingface_tree(match[1])
        elif match := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            self._content(match[1], match[2])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(match[1], match[3], match[2])
        else:
            self._json(404, {"Code": 404, "Message": "no such address", "Success": False})

    # ---- who may, and listings

    def _allowed(self, model: str, revision: str) -> bool:
        """Answers and returns False when the model is not to be had."""
        files = self.hub.models.get(model)
        given = f"{self.headers.get('Authorization', '')} {self.headers.get('Cookie', '')}"
        if files is None:
            # Hugging Face does not tell strangers a missing model from a private one.
            status = 404 if self.path.startswith("/api/v1/") else 401
            self._json(status, {"Code": 10010205001, "Message": "model not found"}, {"X-Error-Code": "RepoNotFound"})
        elif self.hub.token and self.hub.token not in given:
            self._json(403, {"Code": 10010205003, "Message": "no access"}, {"X-Error-Code": "GatedRepo"})
        elif revision not in {"master", "main", "v1", COMMIT}:
            self._json(404, {"Code": 10010205002, "Message": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
        else:
            return True
        return False

    def _listed(self, model: str) -> dict[str, bytes] | None:
        faults = self.hub.faults
        if faults.listing_status:
            self._json(faults.listing_status, {"Code": faults.listing_status, "Message": "fault"})
            return None
        with self.hub.lock:
            self.hub.listings += 1
            hidden = faults.listed_once if self.hub.listings > 1 else set()
        files = {path: content for path, content in self.hub.models[model].items() if path not in hidden}
        return files | dict.fromkeys(faults.extra_listing, b"x")

    def _sha256(self, path: str, content: bytes) -> str:
        return hashlib.sha256(content + (b"!" if path in self.hub.faults.wrong_hash else b"")).hexdigest()

    def _modelscope_listing(self, model: str, query: dict[str, str]) -> None:
        if not self._allowed(model, query.get("Revision", "master")) or (files := self._listed(model)) is None:
            return
        entries: list[dict[str, Any]] = [
            {"Path": path, "Name": path.rsplit("/", 1)[-1], "Size": len(content), "Type": "blob"}
            | {"Sha256": self._sha256(path, content)}
            for path, content in files.items()
        ]
        entries += [{"Path": "assets", "Name": "assets", "Size": 0, "Type": "tree"}]
        self._json(200, {"Code": 200, "Success": True, "Data": {"Files": entries}})

    def _huggingface_info(self, model: str, revision: str) -> None:
        if self.hub.faults.listing_status:
            self._json(self.hub.faults.listing_status, {"error": "fault"})
        elif self._allowed(model, revision):
            self._json(
                200, {"_id": "1", "id": model, "modelId": model, "sha": COMMIT, "private": False, "siblings": []}
            )

    def _huggingface_tree(self, model: str) -> None:
        if not self._allowed(model, "main") or (files := self._listed(model)) is None:
            return
        entries = []
        for path, content in files.items():
            git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git}
            if len(content) >= LARGE:
                entry["lfs"] = {"oid": self._sha256(path, content), "size": len(content), "pointerSize": 134}
            entries.append(entry)
        self._json(200, entries)

    # ---- files

    def _file(self, model: str, path: str, revision: str) -> None:
        if not self._allowed(model, revision):
            return
        content = self.hub.models[model].get(path)
        if content is None:
            self._json(404, {"Code": 404, "Message": "no such file"}, {"X-Error-Code": "EntryNotFound"})
        elif status := self.hub.faults.file_status.get(path):
            self._json(status, {"Code": status, "Message": "fault"})
        elif len(content) >= LARGE:
            etag = self._sha256(path, content)
            headers = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
            self._empty(302, headers | {"Location": f"{self.hub.url}/cdn/{model}/{quote(path)}"})
        else:
            self._content(model, path)

    def _content(self, model: str, path: str) -> None:
        whole = self.hub.models[model][path]
        etag = hashlib.sha256(whole).hexdigest()
        begin = 0
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            begin = int(match[1])
            if begin >= len(whole):
                self._empty(416, {"Content-Range": f"bytes */{len(whole)}"})
                return
            headers["Content-Range"] = f"bytes {begin}-{len(whole) - 1}/{len(whole)}"
        body = whole[begin:]
        self.send_response(206 if begin else 200)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self._send(path, body, begin)

    def _send(self, path: str, body: bytes, begin: int) -> None:
        faults = self.hub.faults
        cuts = faults.cut_after.get(path)
        cut = cuts.pop(0) if cuts else None
        for at in range(0, len(body), _PIECE):
            if cut is not None and at >= cut:
                self.close_connection = True
                return
            if faults.hold_after is not None and len(body) >= LARGE and begin + at >= faults.hold_after:
                self.hub.holding.set()
                self.hub.go_on.wait()
            piece = body[at : at + _PIECE]
            try:
                self.wfile.write(piece)
            except OSError:
                self.close_connection = True
                return
            with self.hub.lock:
                self.hub.sent += len(piece)
            if faults.bytes_per_second:
                time.sleep(len(piece) / faults.bytes_per_second)

    def _json(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _empty(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, text in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, text)
        self.end_headers()
