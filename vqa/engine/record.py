"""What is written down about a started engine, so that the next process on this data folder finds it again."""

import contextlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vqa.engine.process import Group, Identity, Member
from vqa.engine.spec import EngineSpec
from vqa.json_file import read_value, write_json

_VERSION = 1


@dataclass(frozen=True)
class Record:
    """One started engine; `identity.pid` is 0 from just before the spawn until just after it."""

    generation: int
    spec: EngineSpec
    identity: Identity
    started: float
    members: tuple[Member, ...] = ()
    ready_at: float | None = None
    vllm_version: str | None = None
    takes_images: bool | None = None

    def with_group(self, group: Group) -> "Record":
        """Returns the record with the processes of `group` as they are known now."""
        return replace(self, identity=group.identity, members=group.members)


def save(path: Path, record: Record) -> None:
    """Writes the record.

    Raises:
        OSError: the folder cannot be written.
    """
    plain = asdict(record) | {"version": _VERSION, "spec": record.spec.to_dict()}
    write_json(path, plain)


def load(path: Path) -> Record | None:
    """Returns the record, or None when there is none that can be read."""
    try:
        plain = read_value(path)
        if plain.pop("version") != _VERSION:
            return None
        plain["spec"] = EngineSpec.from_dict(plain["spec"])
        plain["identity"] = Identity(**plain["identity"])
        plain["members"] = tuple(Member(**member) for member in plain["members"])
        return Record(**plain)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def clear(path: Path) -> None:
    """Removes the record; it may be gone already."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
