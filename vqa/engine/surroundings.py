"""What the state machine works with and never changes: folders, limits, and ways to be heard."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vqa.engine.health import Endpoint
from vqa.engine.process import Group
from vqa.engine.run import EngineRun
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Limits, Snapshot


@dataclass(frozen=True)
class Surroundings:
    """Everything that one owner of an engine is given."""

    folder: Path
    python: Callable[[], str]
    """Returns the interpreter that runs vLLM, as of now."""
    environment: Mapping[str, str]
    api_key: str
    restarts: int
    limits: Limits
    publish: Callable[[Snapshot], None]
    post: Callable[[Callable[[], None]], None]
    """Hands a call to the owner's thread."""

    @property
    def log(self) -> Path:
        """The engine's log."""
        return self.folder / "engine.log"

    @property
    def record(self) -> Path:
        """What is written down about the running engine."""
        return self.folder / "engine.json"

    def target(self, spec: EngineSpec, run: EngineRun, images: bool | None) -> Endpoint:
        """Returns whom to ask whether `run` serves `spec`."""
        return target_of(spec, run.group, self.api_key, images)


def target_of(spec: EngineSpec, group: Group, api_key: str, images: bool | None) -> Endpoint:
    """Returns whom to ask whether the processes of `group` serve `spec`, and nobody else on its port."""
    return Endpoint(
        base_url=spec.base_url,
        model_id=spec.served_model_name or spec.model,
        port=spec.port,
        pids=frozenset({group.identity.pid, *(member.pid for member in group.members)}),
        api_key=api_key,
        images=images,
    )
