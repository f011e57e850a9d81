"""One client for each server that the page speaks to, kept open so that a question costs no handshake."""

from __future__ import annotations

from vqa.client import Client
from vqa.ui.services import Services


class Clients:
    """Hands out the client of the engine that answers now; to be used within the page's one event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._client: Client | None = None
        self._of: tuple[str, int, str | None] | None = None

    async def current(self) -> Client:
        """Returns an open client; a new one after the engine was started anew or serves another model.

        Raises:
            EngineError: none is ready.
        """
        snapshot = self._services.engine.snapshot()
        key = (self._services.base_url(), snapshot.generation, snapshot.model_id)
        if self._client is None or self._of != key:
            # An older client is left to its running answers and goes with the last of them.
            self._client, self._of = self._services.client(), key
        return self._client
