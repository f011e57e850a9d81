"""Answers against their schema: whatever a visitor's schema refers to, nobody is asked for it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from vqa.ui.ask.structured import schema_fault


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """An address inside the network that must never be asked, and who asked it."""
    hits: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/secret", hits
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_reference_out_of_the_schema_is_not_fetched(trap: tuple[str, list[str]]) -> None:
    address, hits = trap
    fault = schema_fault({"a": 1}, {"properties": {"a": {"$ref": address}}})
    assert fault is not None
    assert fault.startswith("schema: ")
    assert not hits


def test_a_reference_that_leads_nowhere_or_round_in_circles_is_a_fault_of_the_schema() -> None:
    for schema in ({"$ref": "#/nowhere"}, {"$ref": "#"}):
        assert (schema_fault({"a": 1}, schema) or "").startswith("schema: ")


def test_values_are_checked() -> None:
    schema = {
        "type": "object",
        "properties": {"count": {"$ref": "#/$defs/whole"}},
        "$defs": {"whole": {"type": "integer"}},
    }
    assert schema_fault({"count": 3}, schema) is None
    assert "not of type 'integer'" in (schema_fault({"count": "3"}, schema) or "")
