"""What is secret stays secret, and nothing leaves this machine."""

from __future__ import annotations

import re

import psutil

from tests.conftest import RunningApp
from tests.security.conftest import SECRETS, Apps, inside, visitor
from tests.security.visitor import API, Visitor, drawn


def texts_of(guest: Visitor) -> str:
    """Everything that the page tells without being asked anything."""
    paths = ("/", "/zh", "/config", f"{API}/info", "/theme.css", "/manifest.json", f"{API}/queue/status", f"{API}/user")
    return "\n".join(guest.http.get(path).text for path in paths)


def test_no_secret_stands_on_a_page(private: RunningApp, public: RunningApp) -> None:
    for guest in (inside(private), visitor(public, "10.0.4.1")):
        said = texts_of(guest)
        assert [secret for secret in SECRETS if secret in said] == []


def test_no_secret_in_an_answer_its_code_or_a_report(apps: Apps) -> None:
    guest = inside(apps.private)
    path = guest.upload(("a.png", drawn()))[0]
    asked = guest.ask("What is this?", [path])
    assert "Bearer" in asked.text, "the request as code is among what was shown"
    started = guest.repeat("What is this?", path, n=2, max_tokens=8)
    said = asked.text + started.text
    for kind in ("html", "json", "csv", "junit"):
        reply = guest.call(guest.endpoint("repeat-export", "click"), [None], event_data={"kind": kind})
        for found in re.findall(r'"path": "([^"]+)"', reply.raw):
            said += guest.http.get(f"{API}/file={found}").text
    assert [secret for secret in SECRETS if secret in said] == []


def test_no_secret_in_a_log_or_a_command_line(app: RunningApp, private: RunningApp, public: RunningApp) -> None:
    for place in (app, private, public):
        log = place.log.read_text(errors="replace")
        assert [secret for secret in SECRETS if secret in log] == []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        assert [secret for secret in SECRETS if secret in line] == []


def test_a_visitors_words_are_not_in_the_log(public: RunningApp) -> None:
    guest = visitor(public, "10.0.4.2")
    path = guest.upload(("canary-file-name.png", drawn()))[0]
    answer = guest.ask("canary-question", [path]).answer
    guest.ask("canary-question", ["/nowhere/canary-path.png"])
    assert guest.fetch("http://127.0.0.1/canary-address.png").notices, "it was read, and refused"
    log = public.log.read_text(errors="replace")
    assert "canary-" not in log
    assert answer.strip() and answer.strip() not in log
