"""A server that is not ours counts as serving when it answers a question, whatever else it refuses or lacks."""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest

from tests.client.raw import Answering, http, raw_server
from vqa.client.address import tls_context
from vqa.engine.health import Endpoint, Probe, probe
from vqa.engine.metrics import scrape_server
from vqa.engine.state import Limits

ANSWER = http({"choices": [{"message": {"content": "a"}, "finish_reason": "length"}]})
LIST = http({"data": [{"id": "text-embedding-3"}, {"id": "one"}, {"id": "two"}]})


async def looked_at(
    *chat: bytes | Answering, models: bytes = LIST, path: str = "", preferred: str | None = None, **others: bytes
) -> tuple[Probe, list[str]]:
    async with raw_server(*chat, models=models, **others) as server:
        address = server.address.removesuffix("/v1") + (path or "/v1")
        target = Endpoint(address, preferred=preferred)
        found = await asyncio.to_thread(probe, target, Limits(), ask=True)
    return found, server.paths


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 405, 501])
async def test_its_health_page_may_be_anything(status: int) -> None:
    found, _ = await looked_at(ANSWER, health=http("", status=status, Location="/login"))
    assert (found.code, found.asked, found.model_id) == (None, True, "one")


async def test_one_that_says_that_it_is_ill_is_believed() -> None:
    found, _ = await looked_at(ANSWER, health=http("", status=503))
    assert (found.code, found.values["status"]) == ("health_status", 503)


@pytest.mark.parametrize("gone", [http("", status=404), http({"data": []})], ids=["missing", "empty"])
async def test_a_missing_list_is_no_obstacle_where_a_model_is_named(gone: bytes) -> None:
    assert (await looked_at(ANSWER, models=gone))[0].code == "no_models"
    found, _ = await looked_at(ANSWER, models=gone, preferred="mine")
    assert (found.code, found.model_id) == (None, "mine")


async def test_the_model_that_is_named_is_taken_where_it_is_listed() -> None:
    assert (await looked_at(ANSWER, preferred="two"))[0].model_id == "two"
    assert (await looked_at(ANSWER, preferred="elsewhere"))[0].model_id == "one"


@pytest.mark.parametrize("models", ["null", "3", "[]", '{"data": null}', "<html></html>", '{"data": [null, 3]}'])
async def test_a_list_of_no_known_form_is_told(models: str) -> None:
    assert (await looked_at(ANSWER, models=http(models)))[0].code == "no_models"


async def test_an_address_of_another_version_is_asked_as_it_is() -> None:
    found, paths = await looked_at(ANSWER, path="/api/paas/v4")
    assert found.code is None
    assert {"/api/paas/v4/models", "/api/paas/v4/chat/completions"} <= set(paths)


async def test_a_text_model_is_asked_without_a_picture() -> None:
    def text_only(body: dict[str, object]) -> bytes:
        return http({"error": "no images"}, status=400) if "image_url" in json.dumps(body) else ANSWER

    assert (await looked_at(text_only))[0].takes_images is False


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTP_PROXY"])
def test_a_proxy_that_cannot_be_used_is_a_finding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "socks5://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert probe(Endpoint("http://models.example/v1"), Limits(), ask=True).code == "unreachable"


async def test_the_certificates_of_the_machine_are_read_once_for_all_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tls_context()
    made: list[object] = []
    monkeypatch.setattr(ssl, "create_default_context", lambda *given, **named: made.append(given) or shared)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *given: made.append(given))
    async with raw_server(ANSWER, models=LIST, metrics=http("vllm:num_requests_running 1.0\n")) as server:
        found = await asyncio.to_thread(probe, Endpoint(server.address), Limits(), ask=True)
        figures = await asyncio.to_thread(scrape_server, server.address)
    assert found.model_id == "one"
    assert figures is not None
    assert made == []
    monkeypatch.setenv("SSL_CERT_FILE", "other.pem")
    tls_context()
    assert made, "other certificates are other settings"


@pytest.mark.parametrize("figures", ["vllm:num_requests_running +Inf\n", 'vllm:=x{a="b", ="c"} 1.0\n', "\x00"])
async def test_figures_that_cannot_be_read_are_no_fault(figures: str) -> None:
    found, _ = await looked_at(ANSWER, metrics=http(figures))
    assert (found.code, found.asked, found.running, found.working) == (None, True, None, None)


async def test_the_work_of_a_server_is_the_sum_of_its_counters() -> None:
    figures = (
        'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_waiting{engine="0"} 1.0\n'
        "vllm:prompt_tokens_total 100.0\nvllm:generation_tokens_total 20.0\n"
        'vllm:request_success_total{finished_reason="stop"} 3.0\n'
    )
    found, _ = await looked_at(ANSWER, metrics=http(figures))
    assert (found.asked, found.running, found.working) == (False, 3, 123)
