"""What the hubs' real clients raise, told in our words: each unlucky state of hub and network has its true sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub, model_files
from tests.models.conftest import BIG, ID
from vqa.errors import ModelError
from vqa.models.hub_errors import Situation, hub_error_of
from vqa.models.hubs import Request, open_hub
from vqa.models.ids import Source
from vqa.models.listing import Listing, choose
from vqa.models.surroundings import child_environment, error_of

BOTH = pytest.mark.parametrize("source", ["modelscope", "huggingface"])


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The clients in this process as they are in the child that downloads."""
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "modelscope"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "modelscope" / "home"))
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    close_session()
    yield
    close_session()


def told(
    source: Source,
    endpoint: str,
    folder: Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    before_fetching: Callable[[], None] = lambda: None,
) -> ModelError:
    """Lists and fetches a model, which must fail, and returns the error that a user sees."""
    situation = Situation(endpoint, "listing", token is not None)
    with pytest.raises(Exception) as caught:
        hub = open_hub(source, Request(ID, revision, endpoint, token))
        commit, files = hub.list()
        situation = Situation(hub.endpoint, "fetching", hub.token)
        before_fetching()
        chosen, left_out = choose(files)
        hub.fetch(folder, Listing(ID, source, revision, commit, chosen, left_out), 2)
    found = hub_error_of(caught.value, situation)
    error = error_of(
        found.code, found.values, model_id=ID, source=source, revision=revision, endpoint=endpoint, folder=folder
    )
    for language in ("en", "zh"):
        assert "{" not in error.message(language) + error.hint(language)
    return error


@BOTH
def test_an_unknown_certificate_is_told_with_what_makes_it_known(source: Source, tmp_path: Path) -> None:
    with FakeHub({ID: model_files(2)}, tls=tmp_path) as hub:
        error = told(source, hub.url, tmp_path / "to")
    assert error.code == "hub_certificate"
    assert hub.url in error.message()
    assert "REQUESTS_CA_BUNDLE" in error.hint()
    assert "SSL_CERT_FILE" in error.hint()


@BOTH
def test_what_makes_it_known_makes_it_known(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub({ID: model_files(2)}, tls=tmp_path) as hub:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert len(open_hub(source, Request(ID, None, hub.url, None)).list()[1]) == 6


@BOTH
def test_a_file_of_certificates_that_is_not_there_is_named(
    hub: FakeHub, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/ca.pem")
    error = told(source, hub.url, tmp_path)
    assert error.code == "hub_ca_missing"
    assert "SSL_CERT_FILE" in error.message()
    assert "/no/such/ca.pem" in error.message()


def set_proxies(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, address)
        monkeypatch.setenv(name.lower(), address)


@BOTH
@pytest.mark.parametrize(
    ("proxy", "code"),
    [
        ("http://127.0.0.1:1", "hub_proxy_unreachable"),
        ("socks5h://127.0.0.1:1", "hub_proxy_unreachable"),
        ("socks://127.0.0.1:1", "hub_proxy_unknown"),
    ],
)
def test_a_proxy_that_does_not_work_is_named(
    source: Source, proxy: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_proxies(monkeypatch, proxy)
    error = told(source, "http://hub.invalid", tmp_path)
    assert error.code == code
    assert proxy in error.message()


def test_the_child_is_given_socks_as_the_clients_spell_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_proxies(monkeypatch, "socks://proxy.example:1080")
    given = child_environment(tmp_path)
    assert {given["HTTPS_PROXY"], given["ALL_PROXY"], given["all_proxy"]} == {"socks5h://proxy.example:1080"}


@BOTH
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_is_named_without_one(
    hub: FakeHub, source: Source, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_proxies(monkeypatch, hub.url.replace("//", "//me:secret@"))
    error = told(source, f"{scheme}://hub.invalid", tmp_path)
    assert error.code == "hub_proxy_login"
    assert hub.url in error.message()
    assert "secret" not in error.message()


@BOTH
def test_a_sign_in_page_is_no_hub(hub: FakeHub, source: Source, tmp_path: Path) -> None:
    hub.faults.sign_in = True
    error = told(source, hub.url, tmp_path)
    assert error.code == "hub_other_answer"
    assert hub.url in error.message()


@BOTH
def test_too_many_requests_are_told_with_the_seconds_to_wait(hub: FakeHub, source: Source, tmp_path: Path) -> None:
    hub.faults.busy, hub.faults.retry_after = 99, 1
    error = told(source, hub.url, tmp_path)
    assert error.code == "hub_busy"
    assert "after 1 s" in error.message()


def test_a_wrong_token_is_refused_by_hugging_face_for_a_public_model_too(hub: FakeHub, tmp_path: Path) -> None:
    assert told("huggingface", hub.url, tmp_path, token="hf_old").code == "hub_token_invalid"


def test_a_wrong_token_counts_as_none_at_modelscope(hub: FakeHub) -> None:
    assert len(open_hub("modelscope", Request(ID, None, hub.url, "ms-old")).list()[1]) == 6


@BOTH
@pytest.mark.parametrize(
    ("access", "token", "code"),
    [
        ("gated", None, "model_gated"),
        ("gated", "other", "model_gated_account"),
        ("private", None, "model_not_found"),
        ("private", "other", "model_not_found_token"),
    ],
)
def test_closed_models_are_told_by_what_may_open_them(
    hub: FakeHub, source: Source, access: str, token: str | None, code: str, tmp_path: Path
) -> None:
    hub.token, hub.accounts = "the right one", {"other"}
    hub.access = "private" if access == "private" else "gated"
    error = told(source, hub.url, tmp_path, token=token)
    assert error.code == code
    assert ID in error.message()


@BOTH
def test_an_unknown_revision_is_told_with_those_that_are_there(hub: FakeHub, source: Source, tmp_path: Path) -> None:
    error = told(source, hub.url, tmp_path, revision="nope")
    assert error.code == "model_revision_missing"
    assert "nope" in error.message()
    assert ("master, v1" if source == "modelscope" else "main, v1") in error.message()


@BOTH
def test_one_file_that_is_not_there_is_named(hub: FakeHub, source: Source, tmp_path: Path) -> None:
    hub.faults.file_status[BIG] = 404
    error = told(source, hub.url, tmp_path)
    assert error.code == "model_file_missing"
    assert BIG in error.message()


@BOTH
def test_a_page_in_place_of_a_file_is_told_and_not_kept_as_its_beginning(
    hub: FakeHub, files: dict[str, bytes], source: Source, tmp_path: Path
) -> None:
    hub.faults.page_instead = {BIG}
    error = told(source, hub.url, tmp_path)
    assert error.code == "model_page_instead"
    assert BIG in error.message()
    hub.faults.page_instead.clear()
    assert fetched(hub, source, tmp_path) == files


def fetched(hub: FakeHub, source: Source, folder: Path, token: str | None = None) -> dict[str, bytes]:
    """Fetches the model and returns what lies in the folder of it."""
    running = open_hub(source, Request(ID, None, hub.url, token))
    commit, listed = running.list()
    chosen, left_out = choose(listed)
    running.fetch(folder, Listing(ID, source, None, commit, chosen, left_out), 2)
    return {file.path: (folder / file.path).read_bytes() for file in chosen}


@BOTH
def test_a_signed_address_that_expires_with_the_line_is_asked_for_anew(
    hub: FakeHub, files: dict[str, bytes], source: Source, tmp_path: Path
) -> None:
    hub.faults.expires_when_cut, hub.faults.cut_after[BIG] = True, [3 << 20]
    assert fetched(hub, source, tmp_path) == files
    assert hub.sent < sum(map(len, files.values())) + (1 << 20)


@BOTH
def test_a_store_that_refuses_every_address_is_told_apart_from_a_gated_model(
    hub: FakeHub, source: Source, tmp_path: Path
) -> None:
    hub.faults.signed_uses = 0
    error = told(source, hub.url, tmp_path)
    assert error.code == "hub_storage_refused"
    assert hub.cdn_url in error.message()


@BOTH
def test_the_token_goes_to_the_hub_alone(hub: FakeHub, files: dict[str, bytes], source: Source, tmp_path: Path) -> None:
    hub.token = "hf_secret"
    assert fetched(hub, source, tmp_path, "hf_secret") == files
    headers = {at: " ".join(str(each.headers) for each in hub.seen if each.at == at) for at in ("hub", "cdn")}
    assert "hf_secret" in headers["hub"]
    assert headers["cdn"]
    assert "hf_secret" not in headers["cdn"]


@BOTH
def test_long_listings_are_read_to_their_end(hub: FakeHub, source: Source) -> None:
    hub.faults.page_size = 2
    hub.models[ID] |= {f"folder{at % 3}/file{at}": b"x" for at in range(3050)}
    if source == "huggingface":
        hub.models[ID] = dict(list(hub.models[ID].items())[:50])
    with contextlib.suppress(OSError):
        listed = open_hub(source, Request(ID, None, hub.url, None)).list()[1]
    assert {file.path for file in listed} == set(hub.models[ID])


@pytest.mark.parametrize("name", ["MODELSCOPE_ENDPOINT", "HF_ENDPOINT"])
def test_the_address_that_a_client_takes_from_its_own_setting_is_the_one_that_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    if name == "HF_ENDPOINT":
        from huggingface_hub import constants

        # Read once, when the client is imported.
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    source: Source = "modelscope" if name.startswith("MODELSCOPE") else "huggingface"
    assert open_hub(source, Request(ID, None, None, None)).endpoint == "http://127.0.0.1:1"
