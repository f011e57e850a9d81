"""A hub on loopback for the real clients of ModelScope and Hugging Face, with faults on demand.

It serves files from memory and lists them, keeps large ones on a "CDN" at another host behind signed addresses, as
both hubs do, and writes down every request. Only what `Faults` says is wrong about it. What the two hubs answer stands
in `hub_protocol.py`, with where that was seen.
"""

import datetime
import hashlib
import ipaddress
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

import numpy as np

COMMIT = "a" * 40
LARGE = 1024 * 1024
"""Bytes from which on a file counts as stored in LFS: on a CDN, with a SHA-256."""
BRANCHES = {"modelscope": ("master", "v1"), "huggingface": ("main", "v1")}


def model_files(megabytes: int = 12, seed: int = 0) -> dict[str, bytes]:
    """The files of a small checkpoint: two shards that make up `megabytes`, and the small files around them."""
    weights = np.random.default_rng(seed).bytes(megabytes * 1024 * 1024)
    cut = len(weights) * 3 // 4
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    index = {"metadata": {"total_size": len(weights)}, "weight_map": {"a": names[0], "b": names[1]}}
    return {
        "config.json": json.dumps({"architectures": ["Idefics3ForConditionalGeneration"]}).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        names[0]: safetensors_of(weights[:cut]),
        names[1]: safetensors_of(weights[cut:]),
        "README.md": "# 模型\n".encode(),
        "assets/words with blanks [1].txt": b"hello",
    }


def safetensors_of(content: bytes) -> bytes:
    """A safetensors file of one tensor of bytes, as long as `content` (whose first bytes make room for the header)."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(content) - 128], "data_offsets": [0, len(content) - 128]}})
    return (120).to_bytes(8, "little") + header.encode().ljust(120) + content[128:]


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
    expires_when_cut: bool = False
    """A signed address whose connection was cut is refused from then on (403, as an object store says it)."""
    signed_uses: int | None = None
    """How often a signed address is good; None for always, 0 for never."""
    bytes_per_second: float | None = None
    hold_after: int | None = None
    """All large files stop after this many bytes until `go_on` is set."""
    extra_listing: list[str] = field(default_factory=list)
    """Paths listed besides the real files."""
    page_instead: set[str] = field(default_factory=set)
    """Paths in whose place a web page comes with status 200, as from a proxy that blocks them."""
    sign_in: bool = False
    """Every request is led to a sign-in page, as networks of hotels and universities do."""
    busy: int = 0
    """So many of the next requests are answered 429."""
    retry_after: int = 1
    """What a 429 says in Retry-After, in seconds."""
    entries_at_most: int = 3000
    """How many entries ModelScope lists in one answer; what lies beyond is left out without a word."""
    page_size: int = 1000
    """How many entries Hugging Face lists on a page; the next one's address is in the Link header."""


@dataclass(frozen=True)
class Seen:
    """One request as it came in, and at which of the two servers ("hub", "cdn")."""

    method: str
    path: str
    range: str | None
    headers: Mapping[str, str]
    at: str = "hub"


class FakeHub:
    """`with FakeHub({"owner/name": files}) as hub:` serves at `hub.url` until the block ends.

    Attributes:
        token: the token that opens the models; they are open to everybody while it is None.
        access: what a model is to those without it: "gated" (seen and listed by all) or "private".
        accounts: other tokens that are good, but open no model.
    """

    def __init__(self, models: dict[str, dict[str, bytes]], *, token: str | None = None, tls: Path | None = None):
        from tests.fakes.hub_protocol import CdnHandler, HubHandler

        self.models = models
        self.token = token
        self.access: Literal["gated", "private"] = "gated"
        self.accounts: set[str] = set()
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.go_on = threading.Event()
        self.holding = threading.Event()
        self.listings = 0
        self.sent = 0
        self.signatures: dict[str, int] = {}
        """Signature of a given address -> how often it may still be used; -1 for always."""
        self.lock = threading.Lock()
        self._scheme = "https" if tls else "http"
        self._server, self._cdn = (_Server(("127.0.0.1", 0), _bound(kind, self)) for kind in (HubHandler, CdnHandler))
        if tls:
            context = _tls_context(tls)
            for server in (self._server, self._cdn):
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            for server in (self._server, self._cdn)
        ]

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    @property
    def cdn_url(self) -> str:
        # Another host too, not only another port: cookies know no ports.
        return f"{self._scheme}://localhost:{self._cdn.server_port}"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        for server in (self._server, self._cdn):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def sign(self, model: str, path: str) -> str:
        """A new signed address of a file at the CDN."""
        with self.lock:
            signature = hashlib.sha256(f"{len(self.signatures)}".encode()).hexdigest()[:16]
            self.signatures[signature] = -1 if self.faults.signed_uses is None else self.faults.signed_uses
        return f"{self.cdn_url}/cdn/{model}/{quote(path)}?Expires=1&Signature={signature}"

    def ranges(self, path: str) -> list[str]:
        """The Range headers that came for a file, in order; at the CDN where it lies there."""
        wanted = quote(path)
        found = [each for each in self.seen if each.range and (wanted in each.path or path in each.path)]
        at = "cdn" if any(each.at == "cdn" for each in found) else "hub"
        return [each.range for each in found if each.at == at and each.range]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed in mid-download is no news here."""


def _bound(kind: type, hub: FakeHub) -> type:
    return type(kind.__name__, (kind,), {"hub": hub})


def _tls_context(folder: Path) -> ssl.SSLContext:
    """A context with a certificate of our own; `folder/ca.pem` is what a client has to trust."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub of the tests")])
    today = datetime.datetime.now(datetime.UTC)
    hosts = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(today - datetime.timedelta(days=1))
    builder = builder.not_valid_after(today + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    (folder / "ca.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context
