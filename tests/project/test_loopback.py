"""One idea of what this machine is: for binding, for proxies, and for telling two addresses apart."""

import pytest

from vqa.client.address import proxy_for
from vqa.lab.run.manager import server_place
from vqa.loopback import ANY, NAMES, is_loopback

ADDRESS = ("127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "localhost", "LOCALHOST")


@pytest.mark.parametrize("host", ADDRESS)
def test_every_loopback_address_is_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_loopback(host)
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    address = f"http://{f'[{host}]' if ':' in host else host}:8000/v1"
    assert proxy_for(address) is None
    assert server_place(address) == "localhost:8000/v1"


@pytest.mark.parametrize("host", [*ANY, "", "128.0.0.1", "192.0.2.7", "localhost.example.org", "127.0.0.1.example.org"])
def test_nothing_else_is(host: str) -> None:
    assert not is_loopback(host)


def test_the_usual_names_are_known() -> None:
    assert all(map(is_loopback, NAMES))
