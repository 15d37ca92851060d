"""nginx with the committed configuration in front of addresses that a test names, and load on it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from tests.docker.dockerfile import DOCKER

PROGRAMS = ("nginx", "envsubst")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@dataclass(frozen=True)
class Proxy:
    """``log``: a line of JSON for each request."""

    url: str
    log: Path


@contextmanager
def proxying(folder: Path, servers: Sequence[str]) -> Iterator[Proxy]:
    """nginx before ``servers`` (host:port), each with what compose.yaml says of a server but its name."""
    port, environment = free_port(), COMPOSE["services"]["proxy"]["environment"]
    options = environment["RGP_SERVERS"].partition(";")[0].partition(" resolve ")[2]
    assert options
    given = {
        **environment,
        "RGP_TEMPORARY": str(folder),
        "RGP_LISTEN": f"127.0.0.1:{port}",
        "RGP_RESOLVER": "127.0.0.1",
        "RGP_SERVERS": "\n".join(f"server {server} {options};" for server in servers),
    }
    names = " ".join(f"${{{name}}}" for name in given if name.startswith("RGP_"))  # as NGINX_ENVSUBST_FILTER has it
    template = (DOCKER / "nginx" / "nginx.conf.template").read_text()
    filled = subprocess.run(
        ["envsubst", names], input=template, env={**os.environ, **given}, capture_output=True, text=True, check=True
    ).stdout
    configuration, log = folder / "nginx.conf", folder / "access.log"
    configuration.write_text(filled)
    user = "user root;" if os.getuid() == 0 else ""  # pytest's folders are this user's alone
    command = ["nginx", "-c", str(configuration), "-g", f"daemon off; {user}"]
    with log.open("w") as out, (folder / "error.log").open("w") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors)
    try:
        for _ in range(100):
            with socket.socket() as connection:
                if not connection.connect_ex(("127.0.0.1", port)):
                    break
            assert process.poll() is None, (folder / "error.log").read_text()
            time.sleep(0.05)
        yield Proxy(f"http://127.0.0.1:{port}", log)
    finally:
        process.terminate()
        process.wait(timeout=30)


@dataclass
class Load:
    """Callers that send one request after the other, until they are stopped; what they were told is counted."""

    url: str
    body: bytes
    callers: int = 6
    told: Counter[int | str] = field(default_factory=Counter)
    models: set[str] = field(default_factory=set)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(self.callers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def wait_for(self, more: int) -> None:
        """Till so many more answers have come."""
        target, until = sum(self.told.values()) + more, time.monotonic() + 60
        while sum(self.told.values()) < target:
            assert time.monotonic() < until, f"no more answers: {self.told}"
            time.sleep(0.01)

    def _call(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/classify", content=self.body)
                    self.told[answer.status_code] += 1
                    if answer.status_code == 200:
                        self.models.add(answer.json()["model"]["sha256"])
                except httpx.HTTPError as error:
                    self.told[f"{type(error).__name__}: {error}"] += 1
