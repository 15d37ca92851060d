"""The service on Ray Serve: two replicas answer, one that is killed is replaced, a new deployment loses nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from rgp.bundle import Bundle
from rgp.engines.ort import OrtEngine
from rgp.serve.classify import classify
from tests.serve.serving import ROOT
from tests.serve.tiny import encoded, picture

pytest.importorskip("ray", reason="needs rgp[ray]")
pytestmark = pytest.mark.slow

JPEG = encoded(picture(), "JPEG")
START_SECONDS = 180


@dataclass(frozen=True)
class Cluster:
    url: str
    process: subprocess.Popen[str]
    lines: list[str]

    def replicas(self) -> set[int]:
        """The replicas' processes, among those that the driver started."""
        parents: dict[int, int] = {}
        named: set[int] = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parents[int(folder.name)] = int(re.search(r"PPid:\t(\d+)", (folder / "status").read_text())[1])  # type: ignore[index]
                if (folder / "cmdline").read_bytes().startswith(b"ray::ServeReplica:default:rgp"):
                    named.add(int(folder.name))

        def is_ours(process: int) -> bool:
            return process == self.process.pid or (process in parents and is_ours(parents[process]))

        return {process for process in named if is_ours(process)}

    def deploy(self, argument: str) -> None:
        assert self.process.stdin is not None
        before = len(self.lines)
        self.process.stdin.write(f"{argument}\n")
        self.process.stdin.flush()
        wait(lambda: len(self.lines) > before)


def wait(until: Callable[[], object], seconds: float = START_SECONDS) -> None:
    last = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < last
        time.sleep(0.1)


@contextmanager
def cluster(bundle: Bundle, log: Path, *arguments: str) -> Iterator[Cluster]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.serve.ray_driver", str(port), f"bundle={bundle.path}", *arguments]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        lines: list[str] = []
        assert process.stdout is not None
        reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
        reader.start()
        try:
            wait(lambda: lines or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield Cluster(f"http://127.0.0.1:{port}", process, lines)
        finally:
            with suppress(BrokenPipeError):
                assert process.stdin is not None
                process.stdin.close()  # it ends by itself
            process.wait(timeout=90)
            reader.join(timeout=10)


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:  # the workers' own lines come here too
        if line == "serving\n":
            lines.append(line)


@pytest.fixture(scope="module")
def two(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    log = tmp_path_factory.mktemp("ray") / "log"
    with cluster(bundle, log, "replicas=2", "baseline=0", "max_waiting=64", "canary_seconds=1") as found:
        yield found


def test_two_replicas_answer_and_both_as_one_service_would(two: Cluster, bundle: Bundle, engine: OrtEngine) -> None:
    expected = [each.model_dump() for each in classify(bundle, engine, JPEG, top_k=5).predictions]
    with httpx.Client(base_url=two.url, timeout=30) as client:
        for _ in range(40):
            said = client.post("/classify", content=JPEG)
            assert said.status_code == 200
            assert said.json()["predictions"] == expected
            assert said.json()["model"]["sha256"] == bundle.sha256
        metric = r'rgp_requests_total\{route="/classify",status="200"\} (\d+)'
        counts = {int(float(re.search(metric, client.get("/metrics").text)[1])) for _ in range(40)}  # type: ignore[index]
        assert sum(counts) == 40 or counts == {20}, "each has answered some, together all"
        plan = client.get("/info").json()["plan"]
        assert (plan["lanes"], plan["threads"]) == (1, 1)
        assert client.get("/readyz").status_code == 200
        assert client.post("/classify", content=b"no image").status_code == 400
    assert len(two.replicas()) == 2


def statuses(two: Cluster, stop: threading.Event) -> list[int]:
    """Ask again and again until ``stop``."""
    found: list[int] = []
    with httpx.Client(base_url=two.url, timeout=60) as client:
        while not stop.is_set():
            found.append(client.post("/classify", content=JPEG).status_code)
    return found


def test_a_killed_replica_is_replaced_while_the_other_answers(two: Cluster) -> None:
    before, stop = two.replicas(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        askers = [pool.submit(statuses, two, stop) for _ in range(2)]
        try:
            time.sleep(1)
            killed = min(before)
            os.kill(killed, signal.SIGKILL)
            wait(lambda: len(two.replicas() - {killed}) == 2)
            time.sleep(3)
        finally:
            stop.set()
        found = [status for asker in askers for status in asker.result()]
    assert found.count(200) > 100
    assert len(found) - found.count(200) <= 10, "those that were in the killed replica, or on their way to it"
    assert set(found) <= {200, 500, 502, 503}
    with httpx.Client(base_url=two.url, timeout=30) as client:
        assert {client.post("/classify", content=JPEG).status_code for _ in range(50)} == {200}


def test_a_new_deployment_under_load_loses_nothing(two: Cluster) -> None:
    before, stop = two.replicas(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        askers = [pool.submit(statuses, two, stop) for _ in range(2)]
        try:
            two.deploy("max_images=3")
            wait(lambda: not two.replicas() & before)
        finally:
            stop.set()
        found = [status for asker in askers for status in asker.result()]
    assert len(found) > 100
    assert set(found) == {200}
    assert httpx.get(f"{two.url}/info").json()["limits"]["max_images"] == 3


def test_arguments_are_checked_as_those_of_rgp_serve_are() -> None:
    program = """
import sys
from rgp.serve.ray_app import Arguments
try:
    found = Arguments.model_validate(dict(each.split("=", 1) for each in sys.argv[1:])).settings()
    print(found.threads, found.lanes, found.max_waiting, found.otel)
except ValueError as error:
    print(error)
"""

    def says(*arguments: str, **environment: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-c", program, "bundle=x", *arguments],
            capture_output=True, text=True, timeout=120, cwd=ROOT, env={**os.environ, **environment}, check=True,
        )  # fmt: skip
        return ran.stdout.strip()

    assert says("cpus=4", "max_waiting=7") == "1 4 7 False"
    assert says("cpus=4", "threads=2", "otel=true") == "2 2 0 True"
    assert says("cpus=4", "lanes=1", RGP_SERVE_MAX_WAITING="9") == "4 1 9 False"
    assert "unknown argument 'max_wating'" in says("max_wating=7")
    assert "unknown argument 'port'" in says("port=7")
    assert "give a whole number from 1" in says("max_images=0")
    assert "replicas" in says("replicas=0")
