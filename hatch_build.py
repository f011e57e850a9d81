"""What lies beside the package in the repository and in it once installed: page, examples, demo model, recorded runs.

An editable installation finds it in the repository and gets no second copy of it.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class AssetsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts `assets` into wheels as `vqa/assets`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the folder to a wheel; `version` is `editable` for one that only points to the repository."""
        if version != "editable":
            build_data["force_include"]["assets"] = "vqa/assets"
