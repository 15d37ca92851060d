"""A real server in its own process, as a person starts it; and the app alone, where a test needs its own engine."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.serve.answers import ThreadPlan
from rgp.serve.app import create_app
from rgp.serve.keys import Keys
from rgp.serve.metrics import Metrics
from rgp.serve.models import Models
from rgp.serve.network import Network
from rgp.serve.service import Service
from rgp.serve.settings import Settings

COMMAND = (sys.executable, "-m", "rgp.serve")
ROOT = Path(__file__).parents[2]
QUICK = ("--threads", "1", "--baseline", "0", "--grace-seconds", "0", "--max-waiting", "64")
"""Nothing is measured at start, and many tests at once are no overload."""
MAX_BODY_BYTES = 300_000  # of the server that the tests share


@dataclass(frozen=True)
class Server:
    """A server that listens; ``log`` is its standard error."""

    announcement: str
    host: str
    port: int
    process: subprocess.Popen[str]
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@contextmanager
def serving(bundle: Path, log: Path, *options: str, command: Sequence[str] = COMMAND) -> Iterator[Server]:
    """Serve ``bundle`` on a free port until the block ends; whatever happened, the log must hold no traceback.

    ``log``: a new file, or a device.
    """
    arguments = [*command, str(bundle), "--port", "0", *QUICK, *options]
    with (
        log.open("w") as stderr,
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r" on http://(\S+):(\d+) \(engine ", line)
            assert found, f"no announcement but {line!r}; {log.read_text()}"
            yield Server(line, found[1], int(found[2]), process, log)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=30)
    assert not log.is_file() or "Traceback" not in log.read_text(), log.read_text()


def app_of(bundle: Bundle, engine: Engine, *, lanes: int = 1, **settings: Any) -> FastAPI:
    """The app around an engine that the test made, with no baseline lane."""
    chosen = ThreadPlan(threads=1, lanes=lanes, max_batch=1, gather_ms=0, chosen="by the test", measured=[])

    network = Network(bundle, engine, None, chosen, Settings(baseline=0))
    return create_app(Service(Models(network, lambda before: network), Settings(**settings), Metrics(), Keys()))


def run_to_end(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``rgp-serve`` with arguments that it must refuse."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT)


def ask(app: FastAPI, *requests: tuple[str, str, bytes], started: bool = True) -> list[httpx.Response]:
    """Send (method, path, body) requests to an app in this process, after its start-up unless ``started`` is False."""

    async def ask_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://app"))
            if started:
                await stack.enter_async_context(app.router.lifespan_context(app))
            return [await client.request(method, path, content=body) for method, path, body in requests]

    return asyncio.run(ask_all())


def logged(server: Server, text: str) -> list[str]:
    """The log's lines with ``text`` in them, at least one: lines are written when the answers have gone."""
    until = time.monotonic() + 30
    while not (lines := [line for line in server.log.read_text().splitlines() if text in line]):
        assert time.monotonic() < until, text
        time.sleep(0.01)
    return lines
