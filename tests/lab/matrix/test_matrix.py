"""The vision matrix against servers that misbehave in one way each: exactly its cell says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.fakes.behaviour import Behaviour
from tests.fakes.engine_stand_in import SPEC, StandIn
from tests.fakes.openai_server import FakeServer, _sizes
from vqa.answers import Json
from vqa.cli import main
from vqa.lab.certificate.certify import CONTROLS
from vqa.lab.certificate.wanted import Certified
from vqa.lab.matrix.asked import BESIDE, MatrixAsked, read_sizes
from vqa.lab.matrix.pictures import pictures
from vqa.lab.matrix.start import ended_matrix, matrix_spec, start_matrix
from vqa.lab.matrix.work import matrix_work
from vqa.lab.plan.neighbours import Span, met
from vqa.lab.report.export import collect, dump, load_report, to_html
from vqa.lab.report.matrix import matrix_html, matrix_lines, matrix_sentence
from vqa.lab.report.reproduce import run_argv
from vqa.lab.run.manager import RunManager
from vqa.lab.stats.agreement import Level
from vqa.settings import Settings, load_settings
from vqa.store import Store
from vqa.text import LANGUAGES, t


def asked(**more: Any) -> MatrixAsked:
    fields = {"pictures": (1,), "sizes": ((64, 64), (96, 48)), "orders": ("picture-first",), "n": 2, "concurrency": 2}
    return MatrixAsked(matrix_spec(), **fields | more).drawn()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Json]]]:
    """What the matrix says of each server of MISBEHAVING; all are asked side by side."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("matrix"), request_timeout=60.0)
    store = Store(settings.database)
    manager = RunManager(store, settings)
    with ExitStack() as servers:
        runs = {}
        for name, (behaviour, _, _) in MISBEHAVING.items():
            server = servers.enter_context(FakeServer(behaviour))
            runs[name] = start_matrix(manager, asked(), settings, base_url=server.base_url)
        ended = {name: manager.wait(run, timeout=200) for name, run in runs.items()}
    yield {name: status.result or {"error": status.error} for name, status in ended.items()}
    manager.close()
    store.close()


def found(manager: RunManager, settings: Settings, behaviour: Behaviour, asking: MatrixAsked) -> dict[str, Json]:
    with FakeServer(behaviour) as server:
        run = start_matrix(manager, asking, settings, base_url=server.base_url)
        status = manager.wait(run, timeout=100)
    assert status.status == "finished", status.error
    assert status.result is not None
    return status.result


def states(result: dict[str, Json]) -> dict[str, set[str]]:
    """What each column says, over all prompts."""
    told: dict[str, set[str]] = {}
    for prompt in result["profiles"][0]["prompts"]:
        for cell in prompt["cells"]:
            said = cell.get("reason") or cell["invalid"] or ("same" if cell["holds"]["tokens"] else "differs")
            told.setdefault(cell["beside"], set()).add(said)
    return told


def only(what: str) -> str:
    """What is said where one thing changes the answer to both prompts."""
    return f"What changes an answer (tokens): {what} (in 2 of 2 prompts). Nothing else that was tried does."


CLEAN = {name: {"same"} for name in ("alone", *BESIDE)}
SLOW = {"seconds_per_token": 0.03}
MISBEHAVING: dict[str, tuple[Behaviour, dict[str, set[str]], str]] = {
    "clean": (
        Behaviour(**SLOW),
        {},
        "Nothing that stood beside it changed an answer (tokens, 16 cells, 36 answers).",
    ),
    "only beside another size": (
        Behaviour(splits_beside="sizes", **SLOW),
        {"sizes": {"differs"}},
        only("neighbours of another size"),
    ),
    "only when a neighbour is aborted": (
        Behaviour(splits_beside="aborted", **SLOW),
        {"aborted": {"differs"}},
        only("neighbours that are broken off in the middle"),
    ),
    "only beside structured output": (
        Behaviour(splits_beside="structured", **SLOW),
        {"structured": {"differs"}},
        only("neighbours with structured output"),
    ),
    "only beside logprobs": (
        Behaviour(splits_beside="logprobs", **SLOW),
        {"logprobs": {"differs"}},
        only("neighbours that ask for logprobs"),
    ),
    "beside anybody": (
        Behaviour(splits_above=1, **SLOW),
        {key: {"differs"} for key in ("same", "sizes", "structured", "logprobs", "aborted")},
        only("neighbours of any kind"),
    ),
    "never overlaps": (
        Behaviour(never_overlaps=True, **SLOW),
        {key: {"lab.invalid_not_together"} for key in ("same", "sizes", "structured", "logprobs", "aborted")},
        "Nothing that stood beside it changed an answer (tokens, 6 cells, 36 answers). Not told, since the cells are"
        " invalid: Neighbours of the same kind, Neighbours of other sizes, Neighbours with structured output,"
        " Neighbours with logprobs, Neighbours broken off.",
    ),
    "cold otherwise": (
        Behaviour(cold_differs=True, **SLOW),
        {"prefix_cache": {"differs"}},
        only("a warm prefix cache"),
    ),
    "ignores the form": (
        Behaviour(ignores_form=True, **SLOW),
        {"structured": {"matrix.not_structured"}},
        "Nothing that stood beside it changed an answer (tokens, 14 cells, 36 answers). Not told, since the cells are"
        " invalid: Neighbours with structured output.",
    ),
}


@pytest.mark.parametrize("name", MISBEHAVING)
def test_a_server_that_misbehaves_in_one_way_gets_exactly_its_cell(
    name: str, results: dict[str, dict[str, Json]]
) -> None:
    _, otherwise, sentence = MISBEHAVING[name]
    result = results[name]
    assert states(result) == CLEAN | otherwise, matrix_lines(result, technical=True)
    assert matrix_sentence(result["profiles"][0], Level.TOKENS) == sentence


def test_what_a_server_does_not_take_is_said_and_asked_no_more(manager: RunManager, settings: Settings) -> None:
    asking = asked(pictures=(1, 2), beside=("prefix_cache", "sizes"), orders=("picture-first", "text-first"))
    behaviour = Behaviour(most_pictures=1, prefix_cache=False, pixels_per_token=1, max_model_len=4500)
    result = found(manager, settings, behaviour, asking)
    reasons = [(prompt["pictures"], prompt["size"], prompt["reason"]) for prompt in result["profiles"][0]["prompts"]]
    assert [pictures for pictures, _, reason in reasons if reason is None] == [1, 1]
    assert {tuple(size) for _, size, reason in reasons if reason is None} == {(64, 64)}
    assert all("4500 tokens" in reason for pictures, size, reason in reasons if (pictures, size) == (1, [96, 48]))
    assert all("At most 1 image" in reason for pictures, _, reason in reasons if pictures == 2)
    assert states(result) == {
        "alone": {"same"}, "prefix_cache": {"lab.skip_prefix_cache_off"}, "sizes": {"matrix.no_other_size"},
    }  # fmt: skip
    assert sum("not measured" in line for line in matrix_lines(result, technical=False)) == 6
    assert "two prompts: their lone answers were the same in 1 of 1" in matrix_lines(result, technical=False)[-1]


def test_a_server_that_takes_no_picture_leaves_nothing_to_tell(manager: RunManager, settings: Settings) -> None:
    result = found(manager, settings, Behaviour(most_pictures=0), asked())
    assert matrix_sentence(result["profiles"][0], Level.TOKENS) == "Nothing was measured."
    assert (result["holds"], result["exit_code"]) == (None, 2)


def test_a_cell_with_a_failed_request_tells_nothing_and_says_so(manager: RunManager, settings: Settings) -> None:
    result = found(manager, settings, Behaviour(fails_every=7), asked(beside=("image_cache",), sizes=((64, 64),), n=3))
    line = next(line for line in matrix_lines(result, technical=True) if line.startswith("  1 × 64×64"))
    assert "none" not in line
    assert (result["holds"], result["profiles"][0]["columns"]) == (None, {
        "image_cache": {"changed": [], "as_any": [], "held": 0, "open": 1},
    })  # fmt: skip
    assert "1 failed" in line
    assert line.count(t("report.badge_unknown", "en")) == 1
    assert all(t("report.badge_unknown", lang) in matrix_html(result, lang) for lang in LANGUAGES)


def test_other_servers_than_vllm_are_asked_about_neighbours_alone(manager: RunManager, settings: Settings) -> None:
    asking = asked(beside=("image_cache", "prefix_cache", "same", "logprobs"))
    result = found(manager, settings, Behaviour(vllm=False, rejects_logprobs=True, **SLOW), asking)
    cells = {cell["beside"]: cell for cell in result["profiles"][0]["prompts"][0]["cells"]}
    assert {cells[name]["reason"] for name in ("image_cache", "prefix_cache")} == {"lab.skip_needs_vllm"}
    assert (cells["same"]["invalid"], cells["same"]["holds"]["text"]) == (None, True)
    assert cells["logprobs"]["invalid"] == "matrix.no_logprobs"


def test_the_command_tells_it_all_and_its_file_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VQA_DATA_DIR", str(tmp_path / "data"))
    out, page, junit = tmp_path / "found.json", tmp_path / "found.html", tmp_path / "found.xml"
    picture = tmp_path / "own.png"
    Image.new("RGB", (30, 20), "red").save(picture)
    with FakeServer(Behaviour(splits_beside="sizes", **SLOW)) as server:
        words = ["matrix", "What?", "--base-url", server.base_url, "--pictures", "2", "--sizes", "64,96x48"]
        words += ["--order", "text-first", "--beside", "same,sizes", "-n", "2", "-c", "2", "--image", str(picture)]
        assert main([*words, "--json", str(out), "--html", str(page), "--junit", str(junit)]) == 1
        told = capsys.readouterr()
        assert "2 prompts, 4 cells, 18 requests" in told.err
        assert "as-is: What changes an answer (tokens): neighbours of another size (in 2 of 2 prompts)." in told.out
        assert {size for body in server.bodies for size in _sizes(body)} == {(96, 48), (64, 64)}
        again = " ".join(run_argv(load_report(out).run)[3:])
        assert again.startswith(f"matrix What? --image own.png --base-url {server.base_url}")
        assert again.endswith("--order text-first --beside same,sizes --sizes 64x64,96x48 -n 2 -c 2")
        run = load_report(out).run.id
        assert main(["matrix", "--resume", run]) == 1, "nothing is left to ask"
    capsys.readouterr()
    assert main(["verify", str(out)]) == 0
    suite = ElementTree.parse(junit).getroot()
    failed = {case.get("classname") for case in suite.iter("testcase") if case.find("failure") is not None}
    assert {str(name).rpartition("/")[2] for name in failed} == {"sizes"}
    assert page.read_text().count("vl-certificate") >= 2, "a table in each language"
    forged = json.loads(out.read_text())
    cell = forged["run"]["result"]["profiles"][0]["prompts"][0]["cells"][2]
    cell["holds"]["tokens"], cell["together"] = True, 99
    out.write_text(json.dumps(forged))
    assert main(["verify", str(out)]) == 1
    said = capsys.readouterr().out
    assert all(name in said for name in ("sizes/holds", "sizes/together"))
    many = ",".join(map(str, range(10, 23)))
    for wrong in (
        ["--sizes", "large"],
        ["--sizes", many],
        ["--sizes", "9999"],
        ["--order", "beside"],
        ["--beside", "x"],
        ["-n", "1"],
        ["--pictures", "5"],
    ):
        assert main(["matrix", "--base-url", server.base_url, *wrong]) == 2
    assert main(["matrix", "--resume", "none"]) == 2


def test_a_matrix_that_was_stopped_goes_on_with_the_prompts_that_are_left(
    manager: RunManager, store: Store, settings: Settings
) -> None:
    asking = asked(beside=("image_cache",))
    with FakeServer() as server:
        run_id = start_matrix(manager, asking, settings, base_url=server.base_url)
        while "96x48" not in manager.status(run_id).arm:
            assert manager.wait(run_id, after=manager.status(run_id).done, timeout=30).running
        manager.stop(run_id)
        status = manager.wait(run_id, timeout=30)
        assert (status.status, (status.result or {})["holds"]) == ("stopped", None)
        run, again = ended_matrix(store, run_id)
        assert again == asking
        before = len(server.bodies)
        start_matrix(manager, again, settings, base_url=server.base_url, resume=run)
        status = manager.wait(run_id, timeout=60)
        assert status.status == "finished", status.error
    assert len(server.bodies) - before <= 1 + 1 + 2 * 2 + CONTROLS + 1, "the first prompt is not asked again"
    prompts = (status.result or {})["profiles"][0]["prompts"]
    assert [("session 2" in prompt["cells"][0]["arm"], len(prompt["cells"])) for prompt in prompts] == [
        (False, 2), (True, 2),
    ]  # fmt: skip
    assert (status.result or {})["holds"] is True


def test_each_profile_has_a_table_and_one_that_does_not_start_stops_none(manager: RunManager, store: Store) -> None:
    engine = StandIn({"default": Behaviour(cold_differs=True), "serial": Behaviour()}, broken=("float32",))
    engine.restart(SPEC.with_profile("default"))
    names = ("default", "float32", "serial")
    asking = asked(profiles=names, beside=("prefix_cache", "same"), sizes=((64, 64),), model="/home/me/twin")
    wanted = [Certified(name, SPEC.with_profile(name)) for name in names]
    work = matrix_work(asking, wanted, SPEC.with_profile("default"))
    run_id = manager.start_work(work, asking.spec, engine.server.base_url, kind="matrix", engine=engine)  # type: ignore[arg-type]
    status = manager.wait(run_id, timeout=100)
    engine.stop()
    assert (status.status, engine.started[-1]) == ("finished", "default"), status.error
    report = collect(store, run_id)
    text = dump(report)
    assert "/home/me" not in text
    again = load_report(text.encode())
    heads = [line for line in matrix_lines(again.run.result or {}, technical=False) if not line.startswith("  ")]
    assert [head.partition(":")[0] for head in heads] == list(names)
    assert "a warm prefix cache (in 1 of 1 prompts)" in heads[0]
    assert "memory" in heads[1]
    assert "Nothing that stood beside it changed an answer" in heads[2]
    serial = (again.run.result or {})["profiles"][2]["prompts"][0]["cells"]
    assert serial[2] == {"beside": "same", "reason": "matrix.serial"}
    page = to_html(again)
    assert page.count('class="vl-certificate vl-matrix"') == 4, "one for each profile that started, in each language"
    assert page.count("matrix --profiles default,float32,serial") == 2


@pytest.mark.parametrize(("text", "sizes"), [("64", ((64, 64),)), ("300x4000, 64×48,64x48", ((300, 4000), (64, 48)))])
def test_sizes_are_read_as_people_write_them(text: str, sizes: tuple[tuple[int, int], ...]) -> None:
    assert read_sizes(text) == sizes


def test_drawn_pictures_are_as_large_as_asked_and_all_different() -> None:
    made = pictures(((64, 64), (300, 400)), 4)
    assert [image.picture().size for image in made] == [(64, 64)] * 4 + [(300, 400)] * 4
    assert len({image.sha256 for image in made}) == 8
    assert made == pictures(((64, 64), (300, 400)), 4)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50))), st.tuples(st.integers(0, 50), st.integers(1, 50)))
def test_as_many_met_as_were_under_way_at_some_moment(others: list[tuple[int, int]], own: tuple[int, int]) -> None:
    spans = [Span(first, first + length) for first, length in others]
    mine = Span(own[0], own[0] + own[1])
    moments = [at / 2 for at in range(2 * own[0], 2 * (own[0] + own[1]))]
    assert met(mine, spans) == 1 + max(sum(span.first <= at < span.last for span in spans) for at in moments)
