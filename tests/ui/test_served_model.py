"""Of a server that lists several models the one that is chosen on the page is asked, whatever the tab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from tests.fakes.openai_server import FakeServer
from vqa.answers import Question
from vqa.client import Client
from vqa.engine.attach import AttachedEngine
from vqa.engine.state import EngineState, Limits
from vqa.errors import InputError
from vqa.lab.run.manager import RunManager
from vqa.settings import Settings
from vqa.store import Store
from vqa.ui.lab import lab_form
from vqa.ui.pictures.treatment_box import UNTOUCHED
from vqa.ui.services import Services
from vqa.ui.widgets import served_model

OTHERS = ("text-embedding-3", "second")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(vllm=False, also_lists=OTHERS) as running:
        yield running


@pytest.fixture
def services(server: FakeServer, tmp_path: Path) -> Iterator[Services]:
    settings = Settings(data_dir=tmp_path / "data", base_url=server.base_url)
    store = Store(settings.database)
    engine = AttachedEngine(server.base_url, limits=Limits(metrics_every=0.1, probe_failing=0.1))
    runs = RunManager(store, settings)
    assert engine.wait(timeout=30).state is EngineState.READY
    yield Services(settings, store, engine, runs)
    runs.close()
    engine.close()
    store.close()


def chosen(services: Services, model: str) -> AttachedEngine:
    engine = services.engine
    assert isinstance(engine, AttachedEngine)
    engine.choose(model)
    assert engine.wait(timeout=30).state is EngineState.READY
    return engine


async def test_what_is_chosen_is_asked_in_a_question_and_in_a_run(
    services: Services, server: FakeServer, red_circle: Path
) -> None:
    assert services.asked_model() == "vqa-demo"
    now = chosen(services, "second").snapshot()
    assert (now.model_id, now.model_ids) == ("second", ("vqa-demo", "second", "text-embedding-3"))
    asked = len(server.bodies)
    async with services.client() as client:
        assert (await client.info()).model_ids == ("second", "vqa-demo", "text-embedding-3")
        await client.ask(Question("What?"))
    form: list[object] = [[str(red_circle)], "What?", False, 3, 1, 0, "fixed", "as_is", None, 8, 0.9, "", ""]
    form += UNTOUCHED
    spec = lab_form.read(form, services.settings, services.asked_model())
    run = services.runs.start(spec, services.base_url())
    assert services.runs.wait(run, timeout=60).status == "finished"
    assert {body["model"] for body in server.bodies[asked:]} == {"second"}


async def test_its_length_of_context_is_its_own(server: FakeServer) -> None:
    async with Client(server.base_url, model="elsewhere") as client:
        info = await client.info()
    assert (info.model_ids[0], info.max_model_len, info.root) == ("elsewhere", None, None)


def test_what_is_not_listed_cannot_be_chosen(services: Services) -> None:
    with pytest.raises(InputError) as refused:
        chosen(services, "third")
    assert "second" in refused.value.hint()
    assert services.asked_model() == "vqa-demo"


def test_the_choice_is_drawn_where_there_are_several_and_changes_what_is_asked(services: Services) -> None:
    with gr.Blocks() as demo:
        served_model.build(services, "en")
    handlers = {handler.name: handler.fn for handler in demo.fns.values() if handler.fn is not None}
    field, shown = handlers["poll"](((), None))
    assert (field.visible, field.value) == (True, "vqa-demo")
    assert [name for name, _ in field.choices] == ["vqa-demo", "second", "text-embedding-3"]
    assert "choices" not in handlers["poll"](shown)[0]  # nothing to draw
    field, _ = handlers["take"]("second")
    assert (field.value, services.asked_model()) == ("second", "second")


def test_one_model_is_no_choice(services: Services) -> None:
    assert not served_model._drawn((("vqa-demo",), "vqa-demo")).visible
