"""Another model in the place of one that serves: what is fetched and checked first, and what comes back if it fails."""

from dataclasses import dataclass
from pathlib import Path

from vqa.engine.folder import check_folder
from vqa.engine.launch import failure_of
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Failure
from vqa.errors import VQAError


@dataclass
class Swap:
    """A restart with another model, from being asked for until that model serves."""

    generation: int
    wanted: EngineSpec
    former: EngineSpec
    """What serves until then, and again if the other does not start."""
    failure: Failure | None = None
    """Why the other one did not start."""

    @property
    def undone(self) -> bool:
        """Whether the former engine is on its way back."""
        return self.failure is not None


def unfit(spec: EngineSpec) -> Failure | None:
    """Returns why a model cannot take the place of the one that serves; the port is not looked at: it is ours."""
    try:
        check_folder(Path(spec.model))
    except VQAError as problem:
        return failure_of(problem)
    return None
