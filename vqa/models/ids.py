"""What a model is called and where its folder lies; looks at names only, never at a hub."""

import errno
import os
import re
from pathlib import Path
from typing import Literal

from vqa.errors import ModelError
from vqa.models.catalog import suggestions
from vqa.settings import Settings

Source = Literal["modelscope", "huggingface"]

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ID = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_LONGEST = 200
_LONGEST_NAME = 255
"""Bytes that a file system allows for the name of a folder."""
HUB_NAMES = {"modelscope": "ModelScope", "huggingface": "Hugging Face"}
_PAGES = {"modelscope": "https://modelscope.cn/models", "huggingface": "https://huggingface.co"}
_OFFICIAL = {"modelscope": "https://modelscope.cn", "huggingface": "https://huggingface.co"}


def check_id(model_id: str) -> str:
    """Returns the id, `owner/name`, without blanks around it.

    Raises:
        ModelError: it is none; a path, a flag or anything else that could mean more than a name is refused.
    """
    wanted = model_id.strip()
    if len(wanted) <= _LONGEST and ".." not in wanted and _ID.fullmatch(wanted) and not wanted.endswith(".git"):
        return wanted
    shown = wanted[:_LONGEST]
    if near := suggestions(shown):
        raise ModelError("model_id_invalid_suggest", id=shown, suggestions=", ".join(near))
    raise ModelError("model_id_invalid", id=shown)


def split_revision(text: str) -> tuple[str, str | None]:
    """Returns the id and the revision of `owner/name@revision`, or of such a folder; None for no revision."""
    name, _, revision = text.strip().partition("@")
    return name, revision.replace("+", "/") or None


def with_revision(model_id: str, revision: str | None) -> str:
    """Returns what one revision of a model is called here: `owner/name@revision`, or the id for the default branch."""
    return f"{model_id}@{revision}" if revision else model_id


def check_revision(revision: str | None) -> str | None:
    """Returns the branch, tag or commit; None for the hub's default branch.

    Raises:
        ModelError: it cannot be a revision.
    """
    if not revision:
        return None
    if len(revision) <= _LONGEST and ".." not in revision and _REVISION.fullmatch(revision):
        return revision
    raise ModelError("model_revision_invalid", revision=revision[:_LONGEST])


def check_endpoint(endpoint: str | None) -> str | None:
    """Returns the address of a hub without a slash at its end; None for the official one.

    Raises:
        ModelError: it is no http or https address.
    """
    if not endpoint:
        return None
    if re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?", endpoint):
        return endpoint.rstrip("/")
    raise ModelError("hub_endpoint_invalid", address=endpoint)


def folder_of(settings: Settings, model_id: str, revision: str | None = None) -> Path:
    """Returns the folder that a download of this model goes to (it need not exist); each revision has its own.

    Raises:
        ModelError: the id or the revision is none, or together they are too long for the name of a folder.
    """
    owner, name = check_id(model_id).split("/")
    # No revision holds a plus sign, so that two of them never share a folder.
    last = with_revision(name, (check_revision(revision) or "").replace("/", "+"))
    folder = settings.models_path / owner / last
    if len(last.encode()) > _LONGEST_NAME:
        raise ModelError("model_target_invalid", path=folder, reason=os.strerror(errno.ENAMETOOLONG))
    return folder


def hub_of(name: str | None) -> Source | None:
    """Returns the hub of that name; None when it is none."""
    return name if name in HUB_NAMES else None  # type: ignore[return-value]


def hub_page(source: Source, model_id: str, endpoint: str | None = None) -> str:
    """Returns the address of the model's page, where a person reads its card and accepts its conditions."""
    site = _PAGES[source] if endpoint in {None, _OFFICIAL[source]} else endpoint
    models = "/models" if source == "modelscope" and site != _PAGES[source] else ""
    return f"{site}{models}/{model_id}"


def hub_address(source: Source, endpoint: str | None = None) -> str:
    """Returns the hub's address."""
    return endpoint or _OFFICIAL[source]
