"""Threads that compute step back, and what they start with them; the thread that answers does not."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from rgp.serve.priority import step_back, stepped_back

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads share the process's priority")


def nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_and_what_it_starts_step_back_and_no_other() -> None:
    before, found = nice(), list[int]()

    def work() -> int:
        child = threading.Thread(target=lambda: found.append(nice()))
        child.start()
        child.join()
        return nice()

    assert stepped_back(3, work) == min(19, before + 3)
    assert found == [min(19, before + 3)]
    assert nice() == before


def test_by_nothing_is_nothing() -> None:
    before = nice()
    step_back(0)
    assert (nice(), stepped_back(0, nice)) == (before, before)


def test_what_the_work_raises_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        stepped_back(1, lambda: 1 // 0)
