"""Who is with a network: how many requests ever came, how many are there now. Counted on the event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Traffic:
    """Read from any thread."""

    arrived: int = 0
    inside: int = 0

    def enter(self) -> Callable[[], None]:
        """One more, until what is returned is called, once."""
        self.arrived += 1
        self.inside += 1

        def leave() -> None:
            self.inside -= 1

        return leave
