"""What the page on deploying says of images, ports and names that no other test starts."""

from __future__ import annotations

import re
from typing import Any

import pytest
import uvicorn

from tests.conftest import ROOT
from vqa.settings import Settings

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")


def test_the_image_holds_what_is_there_and_nothing_secret() -> None:
    copied = [word for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]]
    assert all((ROOT / each).exists() for each in copied)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {each.removeprefix("!") for each in ignored if each.startswith("!")}
    assert "*" in ignored and {each.split("/")[0] for each in copied} <= let_in and "**/.env*" in ignored
    assert not re.search(r"(PASSWORD|TOKEN|API_KEY|VQA_AUTH)=", DOCKERFILE)


def test_the_image_is_an_unprivileged_public_demo_at_the_port_that_the_space_is_told() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users and users[-1] not in {"root", "0"}
    environment = dict(re.findall(r"(VQA_\w+)=(\S+)", DOCKERFILE))
    assert environment["VQA_PUBLIC"] == "true"
    port = environment["VQA_PORT"]
    assert f"EXPOSE {port}" in DOCKERFILE
    assert f"app_port: {port}" in (ROOT / "deploy/space/README.md").read_text(encoding="utf-8")


def test_every_variable_that_the_page_names_is_a_setting() -> None:
    named = {name for name in re.findall(r"\bVQA_([A-Z_]+)\b", PAGE) if not name.endswith("_")}
    assert named and named <= {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize(("trusted", "believed"), [("10.0.0.0/8", True), ("", False)])
async def test_a_network_of_proxies_can_be_named(trusted: str, believed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    if trusted:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
    else:
        monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    config = uvicorn.Config(app, log_config=None)
    config.load()
    headers = [(b"x-forwarded-for", b"203.0.113.9")]
    await config.loaded_app({"type": "http", "client": ("10.1.2.3", 5), "headers": headers}, None, None)
    assert seen == ["203.0.113.9" if believed else "10.1.2.3"]
