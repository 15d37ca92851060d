"""Requests that leave at times drawn beforehand, whether or not earlier ones have been answered: an open loop.

A latency is counted from the time at which its request was *meant* to leave, so that neither a service that stalls
nor a generator that is late hides anything ("coordinated omission"; Schroeder et al., "Open Versus Closed", NSDI 2006,
for what closed loops hide). The answers are parsed by httptools: with 45 kB bodies a request costs the generator
0.08 ms of CPU, and 3.6 ms with httpx (2 GHz Xeon; half a busy core offers 3,000 requests a second).
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgp.load.clock import precise_loop
from rgp.load.connection import Connection
from rgp.load.target import Target

Floats = NDArray[np.float64]

FAILED, TIMED_OUT = 0, -1
"""In the place of a status, where no answer came."""

STAGES = ("queue", "decode", "preprocess", "inference", "total")


@dataclass(frozen=True)
class Load:
    """What became of each request, (n,) each in the order of their intended times, the warm-up among them.

    Times are in seconds from the end of the warm-up; ``seconds`` is how long requests left from then on.
    """

    seconds: float
    intended: Floats
    sent: Floats
    ended: Floats
    status: NDArray[np.int64]
    stages_ms: dict[str, Floats]
    """What the service says about its answers of 200; here and below without the warm-up."""
    failures: dict[str, int]
    """How many requests failed without an answer, by what the system says."""
    said: dict[int, str]
    """The first answer of each status that is not 200."""


def arrivals(rate: float, seconds: float, rng: np.random.Generator, *, poisson: bool = True) -> Floats:
    """Times in [0, ``seconds``), ``rate`` a second: a Poisson process, or one every 1 / ``rate``."""
    if not poisson:
        return np.arange(np.ceil(rate * seconds)) / rate
    return np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds)))  # given their number they are uniform


def send(
    target: Target,
    messages: Sequence[bytes],
    intended: Floats,
    *,
    seconds: float,
    timeout: float,
    on_progress: Callable[[float], None] = lambda now: None,
) -> Load:
    """Send request i, ``messages`` in turn, at ``intended[i]``; returns when each has its answer or its timeout.

    Negative times are the warm-up. ``timeout`` (seconds) counts from the intended time. ``on_progress`` gets the time
    that it is, about once a second; what it spends makes requests late.
    """
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        gc.freeze()  # a collection that walks over all that was there before would make requests late
        try:
            run = runner.run(_send(target, messages, intended, timeout, on_progress))
        finally:
            gc.unfreeze()
    stages = {stage: np.array(run.stages[stage]) for stage in STAGES if stage in run.stages}
    return Load(seconds, intended, run.sent, run.ended, run.status, stages, dict(run.failures), run.said)


async def _send(
    target: Target, messages: Sequence[bytes], intended: Floats, timeout: float, on_progress: Callable[[float], None]
) -> _Run:
    run = _Run(target, messages, intended, timeout)
    run.start()
    while run.unresolved:
        await asyncio.wait([run.done], timeout=1)
        on_progress(run.now())
    run.close()
    await asyncio.sleep(0)  # for the connections to close
    return run


class _Run:
    """A load under way: what is to leave, what is under way, and the connections that are free."""

    def __init__(self, target: Target, messages: Sequence[bytes], intended: Floats, timeout: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.target, self.messages, self.timeout = target, messages, timeout
        self.times = intended.tolist()
        self.sent, self.ended = np.zeros(len(intended)), np.zeros(len(intended))
        self.status = np.zeros(len(intended), np.int64)
        self.stages: defaultdict[str, list[float]] = defaultdict(list)
        self.failures: Counter[str] = Counter()
        self.said: dict[int, str] = {}
        self.unresolved = len(intended)
        self.done = self.loop.create_future()
        self.idle: list[Connection] = []
        self.expiry: dict[int, asyncio.TimerHandle] = {}
        self.under_way: dict[int, Connection | asyncio.Task[None]] = {}
        self.begin = 0.0

    def start(self) -> None:
        """Let time begin."""
        self.begin = self.loop.time() - min(0.0, *self.times[:1])
        self.schedule(0)

    def now(self) -> float:
        return self.loop.time() - self.begin

    def schedule(self, index: int) -> None:
        if index < len(self.times):
            self.loop.call_at(self.begin + self.times[index], self.leave, index)

    def leave(self, index: int) -> None:
        """Send one; those that are late already follow one by one, so that answers are read in between."""
        self.sent[index] = self.now()
        while self.idle and self.idle[-1].closing:
            self.idle.pop()
        expires = self.begin + self.times[index] + self.timeout
        self.expiry[index] = self.loop.call_at(expires, self.expire, index)
        if self.idle:
            self.ask(index, self.idle.pop())
        else:
            self.under_way[index] = self.loop.create_task(self.connect(index))
        self.schedule(index + 1)

    async def connect(self, index: int) -> None:
        """Send one over a new connection."""
        address, port, tls = self.target.address, self.target.port, self.target.tls
        name = self.target.host if tls else None
        try:
            _, connection = await self.loop.create_connection(
                lambda: Connection(self), address, port, ssl=tls, server_hostname=name
            )
        except OSError as error:
            self.fail(index, f"cannot connect: {error.strerror or error}")
        else:
            self.ask(index, connection)

    def ask(self, index: int, connection: Connection) -> None:
        self.under_way[index] = connection
        connection.ask(index, self.messages[index % len(self.messages)])

    def expire(self, index: int) -> None:
        under_way = self.under_way[index]
        under_way.drop() if isinstance(under_way, Connection) else under_way.cancel()
        self.resolve(index, TIMED_OUT)

    def free(self, connection: Connection) -> None:
        self.idle.append(connection)

    def fail(self, index: int, why: str) -> None:
        self.resolve(index, FAILED)
        if self.times[index] >= 0:
            self.failures[why] += 1

    def answer(self, index: int, status: int, body: bytes) -> None:
        self.resolve(index, status)
        if self.times[index] < 0:
            return
        if status != 200:
            self.said.setdefault(status, _message(body))
        else:
            for stage, ms in _timing(body).items():
                self.stages[stage].append(ms)

    def resolve(self, index: int, status: int) -> None:
        self.status[index], self.ended[index] = status, self.now()
        self.expiry.pop(index).cancel()
        del self.under_way[index]
        self.unresolved -= 1
        if not self.unresolved:
            self.done.set_result(None)

    def close(self) -> None:
        for connection in self.idle:
            connection.drop()


def _timing(body: bytes) -> dict[str, float]:
    """The ``timing_ms`` of an answer, of what it has of STAGES."""
    try:
        timing = json.loads(body)["timing_ms"]
        return {stage: float(timing[stage]) for stage in STAGES if stage in timing}
    except (ValueError, TypeError, KeyError):
        return {}


def _message(body: bytes) -> str:
    """The ``error`` of an answer, or its beginning."""
    try:
        said = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        said = body.decode(errors="replace")
    return " ".join(str(said).split())[:200]
