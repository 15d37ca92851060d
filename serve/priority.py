"""Answering comes before computing: threads that compute step back, so that a 429 or a probe does not wait for them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def step_back(nice: int) -> None:
    """Make the calling thread nicer by so much (0 to 19). Linux only: elsewhere threads share the process's priority.

    Threads that it starts from now on, an engine's among them, inherit it.
    """
    if sys.platform == "linux" and nice:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + nice)


def stepped_back(nice: int, work: Callable[[], T]) -> T:
    """Do ``work`` on a thread that has stepped back, wait for it; raises what it raises."""
    with ThreadPoolExecutor(1, initializer=step_back, initargs=(nice,)) as thread:
        return thread.submit(work).result()
