"""An event loop that wakes within a tenth of a millisecond: asyncio's own waits in whole milliseconds on Linux."""

from __future__ import annotations

import asyncio
import select
import selectors
import sys


def precise_loop() -> asyncio.AbstractEventLoop:
    """A new event loop."""
    if sys.platform != "linux":  # kqueue takes nanoseconds
        return asyncio.new_event_loop()

    class Precise(selectors.EpollSelector):
        """epoll rounds a timeout up to a whole millisecond; select, asked about epoll's own file, does not."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)

    return asyncio.SelectorEventLoop(Precise())
