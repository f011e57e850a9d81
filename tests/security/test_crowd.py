"""Ten visitors ask and repeat at once: everybody gets their own answers, and nobody's are lost."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import RunningApp
from tests.security.conftest import log_end, no_traceback, visitor
from tests.security.visitor import API, Reply, Visitor, drawn

VISITORS, REPEATS = 10, 3
COLOURS = ("red", "blue", "green", "yellow", "orange", "purple", "black", "gray", "pink", "brown")


def word(number: int) -> str:
    """What visitor `number` alone can be answered: the only choice that their question leaves."""
    return f"answer {number} for {COLOURS[number]}"


def ask_and_repeat(app: RunningApp, number: int) -> tuple[list[Reply], dict[str, object], Visitor]:
    """One visitor's whole stay: two questions around a run, whose report is fetched at its end."""
    guest = visitor(app, f"10.0.5.{number + 1}")
    path = guest.upload((f"{COLOURS[number]}.png", drawn(COLOURS[number], 64 + number)))[0]
    options = guest.defaults(guest.endpoint("vqa-composer", "submit"))[2:]
    options[5] = word(number)
    answers = [guest.ask(f"Question one of visitor {number}?", [path], options)]
    started = guest.repeat(f"Question of visitor {number}?", path, n=REPEATS, max_tokens=4)
    assert started.success, started.raw[-1000:]
    assert not started.notices, started.notices
    answers.append(guest.ask(f"Question two of visitor {number}?", [path], options))
    return answers, report(guest, started), guest


def report(guest: Visitor, started: Reply) -> dict[str, object]:
    """The JSON report of the visitor's run, once it has ended."""
    tick = next(each["id"] for each in guest.config["dependencies"] if each["api_name"] == "tick")
    end = time.monotonic() + 200
    told = started.raw  # a run that has ended by then is told there, and what the page shows already is not sent again
    while "vl-ended" not in told:
        assert time.monotonic() < end, "the run did not end"
        time.sleep(1.0)  # a page asks three times as often, which of ten takes the app as much as all else
        event = {"data": [None, None, 0, None], "fn_index": tick, "session_hash": guest.session}
        told = guest.http.post(f"{API}/run/predict", json=event).text
    made = guest.call(guest.endpoint("repeat-export", "click"), [None], event_data={"kind": "json"})
    path = made.outputs[0]["value"]["path"] if "value" in made.outputs[0] else made.outputs[0]["path"]
    return dict(json.loads(guest.http.get(f"{API}/file={path}").text))


@pytest.mark.slow
def test_ten_visitors_at_once_get_their_own_answers(public: RunningApp) -> None:
    since = log_end(public)
    with ThreadPoolExecutor(VISITORS) as pool:
        stays = list(pool.map(lambda number: ask_and_repeat(public, number), range(VISITORS)))
    for number, (answers, found, _) in enumerate(stays):
        for reply in answers:
            assert reply.success
            assert not reply.notices, reply.notices
            assert reply.answer.strip() == word(number)
            assert not [other for other in range(VISITORS) if other != number and word(other) in reply.text]
        text = json.dumps(found)
        assert f"Question of visitor {number}?" in text
        assert not [other for other in range(VISITORS) if other != number and f"Question of visitor {other}?" in text]
        assert len(found["samples"]) == REPEATS
    no_traceback(public, since)
