"""What one visitor of a public demo does, another does not notice; and what is left behind goes."""

from __future__ import annotations

import uuid

import httpx2 as httpx

from tests.conftest import RunningApp
from tests.security.conftest import inside, log_end, no_traceback, visitor
from tests.security.visitor import API, SECONDS, Visitor, drawn
from vqa.ui.web.fair import SESSIONS


def answered(guest: Visitor, text: str, *paths: str) -> bool:
    """Whether a question of a visitor is answered."""
    reply = guest.ask(text, list(paths))
    return bool(reply.success and not reply.notices and reply.answer.strip())


def test_events_that_nobody_listens_to_fill_the_queue_for_nobody_else(public: RunningApp) -> None:
    since, pushy, other = log_end(public), visitor(public, "10.0.6.1"), visitor(public, "10.0.6.2")
    path = other.upload(("a.png", drawn()))[0]
    mine = pushy.upload(("b.png", drawn("blue")))[0]
    function = pushy.endpoint("vqa-composer", "submit")
    values = pushy.defaults(function)[2:]
    written = {"text": "x", "files": [{"path": mine, "meta": {"_type": "gradio.FileData"}}]}
    codes = set()
    for _ in range(100):
        pushy.session = uuid.uuid4().hex
        codes.add(pushy.join(function, [written, None, *values]).status_code)
    assert codes <= {200, 429}
    assert answered(other, "What is this?", path)
    no_traceback(public, since)


def test_many_tabs_of_one_visitor_cost_another_no_conversation(public: RunningApp) -> None:
    crowd, other = visitor(public, "10.0.6.3"), visitor(public, "10.0.6.4")
    assert answered(other, "What is this?", other.upload(("a.png", drawn()))[0])
    function = crowd.endpoint("vqa-tray", "select")
    data, pressed = crowd.defaults(function), {"act": "move", "place": 0, "to": 0}
    for _ in range(SESSIONS + 20):
        crowd.session = uuid.uuid4().hex
        assert crowd.call(function, data, event_data=pressed).success, "every tab has had an event handled"
    assert answered(other, "And now?"), "the picture of the question before is still there"


def test_an_upload_is_its_visitors_alone(public: RunningApp) -> None:
    owner, stranger = visitor(public, "10.0.6.5"), visitor(public, "10.0.6.6")
    path = owner.upload(("mine.png", drawn("green")))[0]
    assert owner.http.get(f"{API}/file={path}").status_code == 200
    assert stranger.http.get(f"{API}/file={path}").status_code == 403
    function = stranger.endpoint("vqa-composer", "submit")
    written = {"text": "x", "files": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    assert stranger.join(function, [written, None, *stranger.defaults(function)[2:]]).status_code == 403


def test_more_pictures_than_may_be_sent_are_taken_out_of_the_composer(public: RunningApp) -> None:
    guest = visitor(public, "10.0.6.7")
    paths = guest.upload(*((f"{place}.png", drawn(size=8 + place)) for place in range(9)))
    files = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
    function = guest.endpoint("vqa-tray", "upload")
    reply = guest.call(function, [{"text": "", "files": files}, *guest.defaults(function)[1:]])
    assert "At most 4 pictures" in reply.notices[0]
    assert len(reply.shown[0]["value"]["files"]) == 4


def test_wrong_passwords_are_slowed_down_and_who_has_logged_in_goes_on(private: RunningApp) -> None:
    insider = inside(private)
    headers = {"X-Forwarded-For": "10.0.6.8"}
    with httpx.Client(base_url=private.url, headers=headers, timeout=SECONDS, trust_env=False) as guesser:
        codes = [guesser.post("/login", data={"username": "x", "password": str(n)}).status_code for n in range(20)]
        assert codes.count(400) < 10
        assert codes[-1] == 429
        shown = guesser.get("/")
        assert shown.status_code == 429
        assert "Try again in" in shown.text
        assert guesser.get(f"{API}/heartbeat/x").status_code == 401
    assert insider.http.get("/config").status_code == 200
    assert inside(private).http.get("/config").status_code == 200, "other addresses are not slowed down"
