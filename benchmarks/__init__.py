"""What the app costs over the bare tools: each benchmark compares two things in one run and gives their ratio."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison; `ours` and `bare` in the same unit."""

    what: str
    ours: float
    bare: float
    unit: str
    bound: str
    """What was promised, in words."""
    held: bool
    note: str = ""

    @property
    def ratio(self) -> float:
        """Returns ours over bare."""
        return self.ours / self.bare if self.bare else float("inf")
