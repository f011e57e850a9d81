"""What the two hubs answer, as their clients' code and public reports tell it: requests in, answers out.

ModelScope: an unknown revision is listed with 200 and `"Files": null` (`/repo` answers 404), a wrong token counts as
none, a private model is 404 to those who may not see it, at most 3,000 entries are listed in one answer.
Hugging Face: a wrong token is 401 even for a public model; gated models are listed to everybody, their files are 401
without a token and 403 with one that has no access; private models are 401 without and 404 with such a token; small
files have git's blob hash for an ETag, listings come in pages.
"""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.fakes.hub import BRANCHES, COMMIT, LARGE, Seen

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub

_PIECE = 64 * 1024
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>Please sign in.</form></body></html>"


class _Handler(BaseHTTPRequestHandler):
    hub: "FakeHub"
    at = "hub"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_CONNECT(self) -> None:
        """This is no proxy, but answers as one that wants a name and a password."""
        self.reply_page(407)

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), {key: values[0] for key, values in parse_qs(parts.query).items()}
        faults = self.hub.faults
        with self.hub.lock:
            self.hub.seen.append(Seen(self.command, self.path, self.headers.get("Range"), dict(self.headers), self.at))
            busy, faults.busy = faults.busy, max(0, faults.busy - 1)
        if parts.scheme:
            self.reply_page(407)
        elif path == "/sign-in":
            self.reply_page(200)
        elif faults.sign_in:
            self.reply_empty(302, {"Location": f"{self.hub.cdn_url}/sign-in"})
        elif busy:
            self.reply(429, {"error": "too many requests"}, {"Retry-After": str(faults.retry_after)})
        else:
            self.route(path, query)

    def route(self, path: str, query: dict[str, str]) -> None:
        raise NotImplementedError

    def sha256(self, path: str, content: bytes) -> str:
        return hashlib.sha256(content + (b"!" if path in self.hub.faults.wrong_hash else b"")).hexdigest()

    def reply(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        self._reply_bytes(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def reply_page(self, status: int) -> None:
        self._reply_bytes(status, _PAGE, {"Content-Type": "text/html; charset=utf-8"})

    def reply_empty(self, status: int, headers: Mapping[str, str]) -> None:
        self._reply_bytes(status, b"", headers)

    def _reply_bytes(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def reply_content(self, path: str, whole: bytes, etag: str, signature: str | None = None) -> None:
        """Sends a file or the range of it that was asked for, with the faults that are in force."""
        if path in self.hub.faults.page_instead:
            self.reply_page(200)
            return
        begin, end = 0, len(whole) - 1
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked:
            begin, end = int(asked[1]), min(int(asked[2] or end), end)
            if begin >= len(whole):
                self.reply_empty(416, {"Content-Range": f"bytes */{len(whole)}"})
                return
            headers["Content-Range"] = f"bytes {begin}-{end}/{len(whole)}"
        body = whole[begin : end + 1]
        self.send_response(206 if asked else 200)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET" and not self._send(path, body, begin):
            self.close_connection = True
            if signature and self.hub.faults.expires_when_cut:
                self.hub.signatures[signature] = 0

    def _send(self, path: str, body: bytes, begin: int) -> bool:
        """Returns whether everything was sent."""
        faults = self.hub.faults
        cuts = faults.cut_after.get(path)
        cut = cuts.pop(0) if cuts else None
        for at in range(0, len(body), _PIECE):
            if cut is not None and at >= cut:
                return False
            if faults.hold_after is not None and len(body) >= LARGE and begin + at >= faults.hold_after:
                self.hub.holding.set()
                self.hub.go_on.wait()
            piece = body[at : at + _PIECE]
            try:
                self.wfile.write(piece)
            except OSError:
                return False
            with self.hub.lock:
                self.hub.sent += len(piece)
            if faults.bytes_per_second:
                time.sleep(len(piece) / faults.bytes_per_second)
        return True


class CdnHandler(_Handler):
    """Where large files lie: it knows signed addresses, and no tokens (a second means of access is an error, 400)."""

    at = "cdn"

    def route(self, path: str, query: dict[str, str]) -> None:
        match = re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path)
        signature = query.get("Signature", "")
        if not match or self.headers.get("Authorization"):
            self.reply(400, {"Code": "InvalidArgument", "Message": "Only one auth mechanism allowed"})
            return
        with self.hub.lock:
            left = self.hub.signatures.get(signature, 0)
            if left > 0 and self.command == "GET":
                self.hub.signatures[signature] = left - 1
        if left == 0:
            self.reply(403, {"Code": "AccessDenied", "Message": "Request has expired"})
        else:
            whole = self.hub.models[match[1]][match[2]]
            self.reply_content(match[2], whole, hashlib.md5(whole, usedforsecurity=False).hexdigest(), signature)


class HubHandler(_Handler):
    """Both hubs at one address: their paths have nothing in common."""

    def route(self, path: str, query: dict[str, str]) -> None:
        if match := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo/files", path):
            self._modelscope_listing(match[1], query)
        elif match := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/revisions", path):
            self._modelscope_revisions(match[1])
        elif match := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo", path):
            self._modelscope_file(match[1], query["FilePath"], query.get("Revision", "master"))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/refs", path):
            self._huggingface_refs(match[1])
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            self._huggingface_tree(match[1], match[2], int(query.get("cursor", "0")))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._huggingface_info(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._huggingface_file(match[1], match[3], match[2])
        else:
            self.reply(404, {"Code": 404, "Message": "no such address", "Success": False})

    def _token(self) -> str | None:
        """The token of the request when it is a good one."""
        given = f"{self.headers.get('Authorization', '')} {self.headers.get('Cookie', '')}"
        good = {self.hub.token, *self.hub.accounts} - {None}
        return next((token for token in good if token and token in given), None)

    def _closed(self) -> bool:
        return self.hub.token is not None and self._token() != self.hub.token

    def _listed(self, model: str) -> dict[str, bytes]:
        faults = self.hub.faults
        with self.hub.lock:
            self.hub.listings += 1
            hidden = faults.listed_once if self.hub.listings > 1 else set()
        files = {path: content for path, content in self.hub.models[model].items() if path not in hidden}
        return files | dict.fromkeys(faults.extra_listing, b"x")

    def _large_file(self, model: str, path: str, content: bytes) -> None:
        etag = self.sha256(path, content)
        headers = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        headers |= {"X-Xet-Hash": etag, "Location": self.hub.sign(model, path)}
        self.reply_empty(302, headers)

    # ---- ModelScope

    def _modelscope_knows(self, model: str) -> bool:
        """Answers and returns False when the model is not to be seen."""
        if status := self.hub.faults.listing_status:
            self.reply(status, {"Code": status, "Message": "fault"})
        elif model not in self.hub.models or (self.hub.access == "private" and self._closed()):
            self.reply(404, {"Code": 10010205001, "Message": "model not found", "Success": False})
        else:
            return True
        return False

    def _modelscope_listing(self, model: str, query: dict[str, str]) -> None:
        if not self._modelscope_knows(model):
            return
        if query.get("Revision", "master") not in BRANCHES["modelscope"]:
            self.reply(200, {"Code": 200, "Success": True, "Data": {"Files": None, "IsVisual": 0}})
            return
        root, recursive = query.get("Root", "").strip("/"), query.get("Recursive", "True") == "True"
        entries: dict[str, dict[str, Any]] = {}
        for path, content in self._listed(model).items():
            parts = path.split("/")
            folders = ["/".join(parts[:count]) for count in range(1, len(parts))] if parts[0] else []
            entries |= {each: {"Path": each, "Size": 0, "Type": "tree"} for each in folders}
            entries[path] = {"Path": path, "Size": len(content), "Type": "blob", "Sha256": self.sha256(path, content)}
        below = {path: entry for path, entry in entries.items() if not root or path.startswith(f"{root}/")}
        if not recursive:
            below = {path: entry for path, entry in below.items() if "/" not in path.removeprefix(f"{root}/")}
        named = [entry | {"Name": path.rsplit("/", 1)[-1]} for path, entry in below.items()]
        self.reply(200, {"Code": 200, "Success": True, "Data": {"Files": named[: self.hub.faults.entries_at_most]}})

    def _modelscope_revisions(self, model: str) -> None:
        if self._modelscope_knows(model):
            branches = [{"Revision": name, "CreatedAt": 0} for name in BRANCHES["modelscope"]]
            found = {"RevisionMap": {"Branches": branches, "Tags": []}}
            self.reply(200, {"Code": 200, "Success": True, "Data": found})

    def _modelscope_file(self, model: str, path: str, revision: str) -> None:
        if not self._modelscope_knows(model):
            return
        content = self.hub.models[model].get(path)
        if self._closed():
            self.reply(403, {"Code": 10010205003, "Message": "no access", "Success": False})
        elif content is None or revision not in BRANCHES["modelscope"]:
            self.reply(404, {"Code": 10010205002, "Message": "no such file or revision", "Success": False})
        elif status := self.hub.faults.file_status.get(path):
            self.reply(status, {"Code": status, "Message": "fault"})
        elif len(content) >= LARGE:
            self._large_file(model, path, content)
        else:
            self.reply_content(path, content, hashlib.sha256(content).hexdigest())

    # ---- Hugging Face

    def _huggingface_knows(self, model: str, revision: str) -> bool:
        """Answers and returns False when the model or the revision is not to be seen."""
        if self.headers.get("Authorization") and self._token() is None:
            said = "Invalid credentials in Authorization header"
            self.reply(401, {"error": said}, {"X-Error-Message": said})
        elif status := self.hub.faults.listing_status:
            self.reply(status, {"error": "fault"})
        elif model not in self.hub.models or (self.hub.access == "private" and self._closed()):
            # Strangers are not told a missing model from a private one.
            self.reply(404 if self._token() else 401, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        elif revision not in {*BRANCHES["huggingface"], COMMIT}:
            self.reply(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        else:
            return True
        return False

    def _huggingface_info(self, model: str, revision: str) -> None:
        if self._huggingface_knows(model, revision):
            known = {"_id": "1", "id": model, "modelId": model, "sha": COMMIT, "private": False, "siblings": []}
            self.reply(200, known)

    def _huggingface_refs(self, model: str) -> None:
        if self._huggingface_knows(model, "main"):
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": COMMIT} for name in BRANCHES["huggingface"]
            ]
            self.reply(200, {"branches": branches, "tags": [], "converts": []})

    def _huggingface_tree(self, model: str, revision: str, cursor: int) -> None:
        if not self._huggingface_knows(model, revision):
            return
        entries = []
        for path, content in self._listed(model).items():
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _git_hash(content)}
            if len(content) >= LARGE:
                oid = self.sha256(path, content)
                entry |= {"lfs": {"oid": oid, "size": len(content), "pointerSize": 134}, "xetHash": oid}
            entries.append(entry)
        after = cursor + self.hub.faults.page_size
        following = f"{self.hub.url}/api/models/{model}/tree/{quote(revision)}?recursive=True&cursor={after}"
        headers = {"Link": f'<{following}>; rel="next"'} if after < len(entries) else {}
        self.reply(200, entries[cursor:after], headers)

    def _huggingface_file(self, model: str, path: str, revision: str) -> None:
        if not self._huggingface_knows(model, revision):
            return
        content = self.hub.models[model].get(path)
        if self._closed():
            status = 403 if self._token() else 401
            self.reply(status, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        elif content is None:
            self.reply(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        elif status := self.hub.faults.file_status.get(path):
            code = {404: {"X-Error-Code": "EntryNotFound"}}.get(status, {})
            self.reply(status, {"error": "fault"}, code)
        elif len(content) >= LARGE:
            self._large_file(model, path, content)
        else:
            self.reply_content(path, content, _git_hash(content))


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
