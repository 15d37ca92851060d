"""Callers that ask, wait for the answer, and ask again: a closed loop, on the load generator's connections."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.serving.processes import cpu_seconds
from rgp.load.clock import precise_loop
from rgp.load.connection import Connection
from rgp.load.report import percentiles
from rgp.load.target import Target

NONE = 0
"""In the place of a status, where no answer came."""
RETRY_SECONDS = 0.02


@dataclass(frozen=True)
class Answer:
    """What became of request ``index``; times are time.perf_counter. ``body`` is the reason where ``status`` is NONE.

    ``sent``: whether the whole request was handed to a connection.
    """

    index: int
    status: int
    body: bytes
    began: float
    ended: float
    sent: bool


def call(
    target: Target,
    message: Callable[[int], bytes],
    *,
    callers: int,
    more: Callable[[int], bool],
    on_answer: Callable[[Answer], None],
    pause: Callable[[], float] | None = None,
) -> None:
    """Request 0, 1, ... ``message`` by so many callers while ``more``; each pauses for ``pause`` seconds in between."""

    async def run() -> None:
        numbers = iter(range(1 << 60))

        async def caller() -> None:
            line = _Line()
            while more(index := next(numbers)):
                began = time.perf_counter()
                status, body, sent = await line.ask(target, index, message(index))
                on_answer(Answer(index, status, body, began, time.perf_counter(), sent))
                if status == NONE:
                    await asyncio.sleep(RETRY_SECONDS)
                if pause is not None:
                    await asyncio.sleep(pause())
            line.close()

        await asyncio.gather(*(caller() for _ in range(callers)))

    with asyncio.Runner(loop_factory=precise_loop) as runner:
        runner.run(run())


class _Line:
    """One caller's connection, made anew when it was closed (``Connection`` calls the last three methods)."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._answer: asyncio.Future[tuple[int, bytes]]

    async def ask(self, target: Target, index: int, message: bytes) -> tuple[int, bytes, bool]:
        loop = asyncio.get_running_loop()
        if self._connection is None or self._connection.closing:
            try:
                _, self._connection = await loop.create_connection(
                    lambda: Connection(self), target.address, target.port
                )
            except OSError as error:
                return NONE, f"cannot connect: {error.strerror or error}".encode(), False
        self._answer = loop.create_future()
        self._connection.ask(index, message)
        return *await self._answer, True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.drop()

    def answer(self, index: int, status: int, body: bytes) -> None:
        self._answer.set_result((status, body))

    def fail(self, index: int, why: str) -> None:
        self._answer.set_result((NONE, why.encode()))

    def free(self, connection: Connection) -> None:
        pass


def saturate(
    target: Target, messages: Sequence[bytes], callers: int, pid: int, *, warmup: float, seconds: float,
    each_ms: list[float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The rate of 200s that ``callers`` get from the service of process ``pid``, their latency, and what else came.

    ``each_ms``: filled with the milliseconds of every 200.

    And CPU time, of the warm-up too: cores that this process took, and the service's milliseconds for each 200.
    """
    begin = time.perf_counter() + warmup
    ok: list[float] = [] if each_ms is None else each_ms
    others = answered = 0
    cpu, service_cpu = _cpu(), cpu_seconds(pid)

    def on_answer(answer: Answer) -> None:
        nonlocal others, answered
        answered += answer.status == 200
        if begin <= answer.ended < begin + seconds:
            if answer.status == 200:
                ok.append(1000 * (answer.ended - answer.began))
            else:
                others += 1

    call(
        target,
        lambda index: messages[index % len(messages)],
        callers=callers,
        more=lambda index: time.perf_counter() < begin + seconds,
        on_answer=on_answer,
    )
    return {
        "per_second": len(ok) / seconds,
        "callers": callers,
        "seconds": seconds,
        "not_200": others,
        "latency_ms": percentiles(np.array(ok)),
        "generator_cores": (_cpu() - cpu) / (warmup + seconds),
        "cpu_ms": 1000 * (cpu_seconds(pid) - service_cpu) / answered if answered else None,
    }


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
