"""What every tab is handed: settings, store, engine and runs, wired together once by the app."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vqa.client import Client
from vqa.engine.state import Engine
from vqa.errors import EngineError
from vqa.media.images import ImageLimits
from vqa.models.downloads import Downloads
from vqa.settings import Settings
from vqa.store import Store
from vqa.ui.web.visitors import Visitors

if TYPE_CHECKING:
    from vqa.lab.run.manager import RunManager

STOP_SECONDS = 2.0


@dataclass(frozen=True)
class Services:
    """The rooms that a tab may use."""

    settings: Settings
    store: Store
    engine: Engine
    runs: RunManager

    @cached_property
    def downloads(self) -> Downloads:
        """The downloads that were asked for on the page, whatever its language."""
        return Downloads(self.settings)

    @cached_property
    def visitors(self) -> Visitors:
        """Who may ask how much; without a public demo, everybody without limit."""
        return Visitors(self.settings)

    @property
    def limits(self) -> ImageLimits:
        """What pictures are accepted."""
        return ImageLimits.of(self.settings)

    def base_url(self) -> str:
        """Returns the address (…/v1) of the server that answers now.

        Raises:
            EngineError: none is ready.
        """
        snapshot = self.engine.snapshot()
        if not snapshot.serving or snapshot.base_url is None:
            raise EngineError("engine_not_ready")
        return snapshot.base_url

    def stop_run(self, run_id: str | None) -> None:
        """Stops a run and returns once it has ended, so that the end can be drawn at once; or after two seconds."""
        if run_id:
            self.runs.stop(run_id)
            self.runs.wait(run_id, timeout=STOP_SECONDS)

    def client(self) -> Client:
        """Returns a client of the server that answers now; use it within one event loop and close it.

        Raises:
            EngineError: none is ready.
        """
        settings = self.settings
        return Client(
            self.base_url(),
            settings.api_key.get_secret_value(),
            timeout=settings.request_timeout,
            model=self.asked_model(),
        )

    def asked_model(self) -> str | None:
        """Returns whom to ask of somebody else's server, which may list several; None for an engine of our own."""
        snapshot = self.engine.snapshot()
        return snapshot.model_id if snapshot.attached else None
