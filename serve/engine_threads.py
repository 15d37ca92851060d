"""Threads in which engines run: the queue's lanes, the baseline lane, canaries.

They are daemons, as an engine that hangs must not keep the process from ending. But one that still runs when the
interpreter goes loses its ground, and the process is aborted: who ends it waits for them first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class EngineThread(threading.Thread):
    """A daemon that does ``work``, started at once."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(target=work, name=name, daemon=True)
        self.start()


def ended(seconds: float) -> bool:
    """Wait till no such thread is left, at most so long; whether that is so."""
    until = time.monotonic() + seconds
    left = [thread for thread in threading.enumerate() if isinstance(thread, EngineThread)]
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in left)
