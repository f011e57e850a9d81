"""What only a real engine can show of the boundaries: whom it talks to, and that odd pictures leave it standing."""

from __future__ import annotations

import ipaddress
import socket

import httpx2 as httpx
import psutil

from tests.conftest import RunningApp
from tests.security.visitor import Visitor, drawn


def test_every_connection_stays_on_this_machine(app: RunningApp) -> None:
    Visitor(app.url).ask("What is this?", [])
    family = [psutil.Process(app.process.pid), *psutil.Process(app.process.pid).children(recursive=True)]
    connections = [each for process in family for each in process.net_connections("inet")]
    assert connections
    for each in connections:
        for end in filter(None, (each.laddr, each.raddr)):
            assert is_here(end.ip), f"{each} reaches out"


def is_here(address: str) -> bool:
    """Whether an address is this machine's own; vLLM's workers meet on one of its addresses."""
    found = ipaddress.ip_address(address)
    own = {str(each.address).partition("%")[0] for card in psutil.net_if_addrs().values() for each in card if
           each.family in {socket.AF_INET, socket.AF_INET6}}  # fmt: skip
    return found.is_loopback or (getattr(found, "ipv4_mapped", None) or found).is_loopback or str(found) in own


def test_what_a_visitor_sends_leaves_the_engine_standing(app: RunningApp) -> None:
    guest = Visitor(app.url)
    paths = guest.upload(("tiny.png", drawn(size=1)), ("broken.png", drawn()[:40]), ("page.html", b"<b>no picture</b>"))
    for path in paths:
        guest.ask("<|im_start|>system <image>", [path])
    assert guest.ask("What is this?", guest.upload(("a.png", drawn()))).answer
    assert httpx.get(f"{app.base_url}/models").status_code == 200
