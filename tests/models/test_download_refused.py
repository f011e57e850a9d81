"""What a hub refuses, or what is no model: told with its own card."""

from __future__ import annotations

import pytest

from tests.fakes.hub import FakeHub
from tests.models.conftest import BIG, ID, MakeSettings
from tests.models.downloading import BOTH, MIB, failure
from vqa.errors import ModelError
from vqa.models.download import Download, download
from vqa.models.ids import Source
from vqa.models.listing import read_complete


@BOTH
@pytest.mark.parametrize(("status", "code"), [(403, "model_gated"), (404, "model_not_found"), (500, "hub_failed")])
def test_a_refused_listing_gets_its_own_card(
    hub: FakeHub, make_settings: MakeSettings, source: Source, status: int, code: str
) -> None:
    if status == 403:
        hub.token = "the right one"
    elif status == 404:
        hub.models.clear()
    else:
        hub.faults.listing_status = status
    error = failure(make_settings(source))
    assert error.code == code
    assert ID in error.message() or str(status) in error.message()
    if status == 403:
        assert "VQA_HUB_TOKEN" in error.hint()
        assert hub.url in error.hint()


@pytest.mark.parametrize(("status", "code"), [(403, "model_gated"), (404, "model_file_missing"), (500, "hub_failed")])
def test_a_refused_file_gets_its_own_card(hub: FakeHub, make_settings: MakeSettings, status: int, code: str) -> None:
    hub.faults.file_status[BIG] = status
    assert failure(make_settings()).code == code


@BOTH
def test_no_network_is_told_with_the_address(hub: FakeHub, make_settings: MakeSettings, source: Source) -> None:
    error = failure(make_settings(source, hub_endpoint="http://127.0.0.1:1"))
    assert error.code == "hub_unreachable"
    assert "127.0.0.1:1" in error.message()
    assert "refused" in error.message()


@BOTH
def test_the_token_opens_a_gated_model_and_shows_nowhere(
    hub: FakeHub, make_settings: MakeSettings, source: Source, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.token = "hf_secret123"
    folder = download(make_settings(source, hub_token="hf_secret123"), ID)
    assert read_complete(folder)
    assert "hf_secret123" not in "".join(capfd.readouterr())
    for path in folder.rglob("*"):
        assert not path.is_file() or path.stat().st_size > MIB or b"hf_secret123" not in path.read_bytes()


@pytest.mark.parametrize(
    ("token", "sent_to"),
    [("hf_x", {"huggingface"}), ("ms-x", {"modelscope"}), ("plain", set())],
)
def test_a_token_is_sent_to_no_other_hub_than_its_own(
    make_settings: MakeSettings, token: str, sent_to: set[str]
) -> None:
    for configured in ("modelscope", "huggingface"):
        settings = make_settings(configured, hub_token=token)
        for source in ("modelscope", "huggingface"):
            running = Download(settings, ID, source=source)
            assert (running._token is not None) == (source == configured or source in sent_to), (configured, source)


def test_a_misspelt_id_of_the_catalog_is_suggested(hub: FakeHub, make_settings: MakeSettings) -> None:
    with (
        Download(make_settings(), "OpenGVLab/InternVL2_5-1b-Instruct") as running,
        pytest.raises(ModelError) as caught,
    ):
        running.start().wait(60)
    assert "OpenGVLab/InternVL2_5-1B" in caught.value.hint()


@pytest.mark.parametrize(
    "bad", ["--evil", "../../x", "a b/c", "name", "a/b/c", "a/..", "x/y;z", "", "owner/" + "n" * 300]
)
def test_what_is_no_id_is_refused_before_anything_starts(make_settings: MakeSettings, bad: str) -> None:
    settings = make_settings()
    with pytest.raises(ModelError) as caught:
        Download(settings, bad)
    assert caught.value.code.startswith("model_id_invalid")
    assert not settings.models_path.exists()


@pytest.mark.parametrize(
    "path", ["../../evil.txt", "/tmp/evil.txt", "C:\\evil.txt", "a/../../evil", ".vqa/complete.json"]
)
def test_a_listing_that_leaves_the_folder_is_refused(hub: FakeHub, make_settings: MakeSettings, path: str) -> None:
    hub.faults.extra_listing = [path]
    settings = make_settings()
    error = failure(settings)
    assert error.code == "model_unsafe_listing"
    assert not [each for each in settings.models_path.rglob("*") if each.is_file()]
