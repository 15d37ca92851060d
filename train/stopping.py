"""Ctrl-C and SIGTERM, which schedulers send: finish the step, write a checkpoint, end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rgp.errors import RgpError

ECHO = 2.0
"""Seconds in which another SIGTERM is the same one: a supervisor may signal torchrun, which hands it on, and us."""


class StoppedError(RgpError):
    """A run that was asked to stop and has written its checkpoint; exits as the signal would have it."""

    def __init__(self, asked: signal.Signals, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + asked


@contextmanager
def stop_requests() -> Iterator[list[signal.Signals]]:
    """Gather SIGINT and SIGTERM in a list instead of ending the process; the second one ends it as usual."""
    requests: list[signal.Signals] = []
    again = 0.0

    def note(number: int, _: FrameType | None) -> None:
        nonlocal again
        if number == signal.SIGTERM and time.monotonic() < again:
            return
        again = time.monotonic() + ECHO
        requests.append(signal.Signals(number))
        if len(requests) > 1:
            for each, handler in before.items():
                signal.signal(each, handler)
            signal.raise_signal(number)

    if threading.current_thread() is not threading.main_thread():  # which alone may handle signals
        yield requests
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, note)
    try:
        yield requests
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
