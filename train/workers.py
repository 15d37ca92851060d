"""The worker processes of a loader: how they end, and what is said when something goes wrong in one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TypeVar

from rgp.errors import RgpError

T = TypeVar("T")

GRACE = 120
"""Seconds that a worker goes on after SIGTERM: the main process finishes its step and writes a checkpoint."""


def outlive_signals(worker: int) -> None:
    """For ``worker_init_fn``: Ctrl-C and often SIGTERM reach workers too, but when to stop is not theirs to say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))


def with_short_errors(batches: Iterator[T], workers: int) -> Iterator[T]:
    """An error in a worker comes with that process's traceback as its text: keep our own line."""
    try:
        yield from batches
    except RgpError as error:
        kind, message = type(error), str(error).rpartition(f"{type(error).__name__}: ")[2].strip()
        # The error and torch's frames hold each other, and the loader with them; when the garbage collector finds
        # them, the queues are closed first, so that the workers never hear that they should end: 5 seconds lost.
        error.__traceback__ = None
        raise kind(message) from None
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):  # "Caught RuntimeError in DataLoader worker" is our own bug
            raise
        said = " ".join(str(error).split())
        raise RgpError(f"one of {workers} workers died: {said:.150}: if memory ran out, set fewer workers") from error
