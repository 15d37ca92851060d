"""Load, deadlines, clients that leave, slow ones, and the end: nothing that was accepted is lost."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from rgp.bundle import Bundle
from rgp.serve import server as server_module
from rgp.serve.keys import Keys
from rgp.serve.metrics import Metrics
from rgp.serve.models import Models
from rgp.serve.network import Network
from rgp.serve.server import Server as AppServer
from rgp.serve.service import Service
from rgp.serve.settings import Settings
from tests.serve.serving import Server, app_of, ask, serving
from tests.serve.test_models import PLAN
from tests.serve.tiny import LABELS, encoded, picture

JPEG = encoded(picture(), "JPEG")
HEAD = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(JPEG) + JPEG


class Gated:
    """An engine that works when the test lets it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Semaphore(0)
        self.images = 0

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.begun.release()
        assert self.open.wait(60)
        self.images += len(images)
        return np.zeros((len(images), len(LABELS)), np.float32)

    def describe(self) -> dict[str, str | int]:
        return {"engine": "gated"}


class Running:
    """The real server in a thread of this process, around a gated engine."""

    def __init__(self, bundle: Bundle, **settings: Any) -> None:
        self.engine = Gated()
        network = Network(bundle, self.engine, None, PLAN, Settings(baseline=0))
        self.service = Service(
            Models(network, lambda before: network), Settings(canary_seconds=0, **settings), Metrics(), Keys()
        )
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server = AppServer(self.service, "listening")
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}/classify", content=JPEG, headers=headers, timeout=60)

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), 0.0)


@contextlib.contextmanager
def running(bundle: Bundle, **settings: Any) -> Iterator[Running]:
    run = Running(bundle, **settings)
    run.thread.start()
    until(lambda: run.server.started)
    assert run.engine.begun.acquire(timeout=30)  # the canary's
    try:
        yield run
    finally:
        run.engine.open.set()
        run.server.should_exit = True
        run.thread.join(30)
        assert not run.thread.is_alive()


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextlib.contextmanager
def in_background(*calls: Callable[[], httpx.Response]) -> Iterator[list[httpx.Response]]:
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda call=call: answers.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        for thread in threads:
            thread.join(60)


def test_beyond_the_bound_it_answers_429_before_the_body_and_is_well_afterwards(bundle: Bundle) -> None:
    with running(bundle, max_waiting=3) as run:
        run.engine.open.clear()
        with in_background(*[run.post] * 3) as answers:
            until(lambda: run.service.gate.images == 3)
            with socket.create_connection(("127.0.0.1", run.port), timeout=30) as connection:
                connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")  # its body never comes
                refused = http.client.HTTPResponse(connection)
                refused.begin()
                assert refused.status == 429
                assert int(refused.headers["retry-after"]) >= 1
                assert "3 of at most 3 images" in json.loads(refused.read())["error"]
                refused.close()
            assert run.metric('rgp_rejections_total{reason="queue"}') == 1
            run.engine.open.set()
        assert [answer.status_code for answer in answers] == [200] * 3
        assert run.post().status_code == 200
        assert run.service.gate.images == 0


def test_a_deadline_is_504_and_what_had_not_begun_is_never_run(bundle: Bundle) -> None:
    with running(bundle, max_waiting=8) as run:
        run.engine.open.clear()
        with in_background(run.post) as answers:
            assert run.engine.begun.acquire(timeout=30)
            late = run.post(**{"x-request-timeout-ms": "50"})
            assert late.status_code == 504
            assert "no answer within 50 ms" in late.json()["error"]
            until(lambda: run.service.gate.images == 1)  # given up: its place is free
            run.engine.open.set()
        assert answers[0].status_code == 200
        assert run.engine.images == 2  # the canary's and the first


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "600001", "9" * 100, ""])
def test_a_deadline_that_is_none_is_422_and_takes_no_place(value: str, client: httpx.Client) -> None:
    answer = client.post("/classify", content=JPEG, headers={"x-request-timeout-ms": value})
    assert answer.status_code == 422
    assert "x-request-timeout-ms is" in answer.json()["error"]
    assert client.post("/classify", content=JPEG).status_code == 200


def test_a_client_that_leaves_takes_its_image_out_of_the_queue(bundle: Bundle) -> None:
    with running(bundle, max_waiting=8) as run:
        run.engine.open.clear()
        with in_background(run.post) as answers:
            assert run.engine.begun.acquire(timeout=30)
            with socket.create_connection(("127.0.0.1", run.port), timeout=30) as connection:
                connection.sendall(WHOLE)
                until(lambda: run.service.models.active.queue.depth == 1)
            until(lambda: run.service.gate.images == 1)
            run.engine.open.set()
        assert answers[0].status_code == 200
        assert run.engine.images == 2
        until(lambda: run.metric('rgp_requests_total{route="/classify",status="499"}') == 1)


def test_a_hanging_engine_fills_the_house_and_no_more(bundle: Bundle) -> None:
    with running(bundle, max_waiting=2, timeout_ms=2000) as run:
        run.engine.open.clear()
        assert run.post().status_code == 504
        assert run.engine.begun.acquire(timeout=30)
        assert run.post().status_code == 504
        until(lambda: run.service.gate.images == 1)  # the one in the engine counts; the one that waited no longer does
        assert httpx.get(f"{run.url}/healthz").status_code == 200
        run.engine.open.set()
        until(lambda: run.service.gate.images == 0)
        assert run.post().status_code == 200


def test_slow_bodies_are_408_and_harm_nobody(bundle: Bundle) -> None:
    with running(bundle, body_seconds=4, max_waiting=2) as run, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", run.port), timeout=30)) for _ in range(20)]
        for connection in slow:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        until(lambda: run.service.gate.readers == 20)
        assert run.post().status_code == 200  # they hold no place of an image
        for connection in slow:
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
        until(lambda: run.service.gate.readers == 0)
        assert run.service.gate.reading_bytes == 0


def test_a_head_that_never_ends_is_cut_off(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.5)
    with running(bundle) as run:
        for beginning in (b"", b"POST /classify HTTP/1.1\r\nHost: x\r\n"):
            with socket.create_connection(("127.0.0.1", run.port), timeout=30) as connection:
                connection.sendall(beginning)
                assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
                assert connection.recv(100) == b""
        with httpx.Client(base_url=run.url) as client:  # and one that is only idle between requests is not
            assert client.post("/classify", content=JPEG).status_code == 200
            time.sleep(0.8)
            assert client.post("/classify", content=JPEG).status_code == 200


@pytest.mark.parametrize("reset", [True, False])
def test_half_closed_and_reset_connections_leave_nothing_behind(reset: bool, bundle: Bundle) -> None:
    with running(bundle) as run:
        for beginning in (b"", HEAD, WHOLE[:-5], WHOLE):
            with socket.create_connection(("127.0.0.1", run.port), timeout=30) as connection:
                connection.sendall(beginning)
                if reset:
                    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                else:
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(4096):
                        pass
        until(lambda: run.service.gate.images == 0 and run.service.gate.readers == 0)
        assert run.post().status_code == 200


def test_sigterm_refuses_probes_serves_on_for_the_grace_and_ends_with_0(bundle: Bundle, tmp_path: Path) -> None:
    with serving(bundle.path, tmp_path / "log", "--grace-seconds", "3") as server:
        with httpx.Client(base_url=server.url) as client:
            assert client.get("/readyz").status_code == 200
            server.process.terminate()
            until(lambda: client.get("/readyz").status_code == 503)
            assert client.get("/healthz").status_code == 200
            answer = client.post("/classify", content=JPEG)
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert server.process.wait(30) == 0


def test_what_was_accepted_is_answered_though_the_service_stops(bundle: Bundle) -> None:
    with running(bundle, grace_seconds=0, max_waiting=3) as run:
        run.engine.open.clear()
        with in_background(*[run.post] * 3) as answers:
            until(lambda: run.service.gate.images == 3)
            run.server.handle_exit(15, None)
            time.sleep(0.5)
            run.engine.open.set()
        assert [answer.status_code for answer in answers] == [200] * 3


def stops_under_load(server: Server) -> list[int]:
    """Stop a server while three callers ask; the answers' statuses."""
    answered: list[int] = []

    def caller() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while True:
                try:
                    answered.append(client.post("/classify", content=JPEG).status_code)
                except (httpx.NetworkError, httpx.RemoteProtocolError):
                    return  # nobody listens any more, or the request met a closed door: the log knows it not

    threads = [threading.Thread(target=caller) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) > 20)
    assert server.stop() == 0
    for thread in threads:
        thread.join(30)
    return answered


def test_a_stop_under_load_loses_no_accepted_request(bundle: Bundle, tmp_path: Path) -> None:
    with serving(bundle.path, tmp_path / "log", "--grace-seconds", "1") as server:
        answered = stops_under_load(server)
        log = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert set(answered) == {200}
    assert [entry["status"] for entry in log if entry.get("path") == "/classify"] == answered


def test_a_log_that_cannot_be_written_stops_nothing(bundle: Bundle) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a disk that is full")
    with serving(bundle.path, Path("/dev/full")) as server:
        for _ in range(20):
            assert httpx.post(f"{server.url}/classify", content=JPEG).status_code == 200


def test_a_clock_that_jumps_changes_no_deadline(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 1e6 * (time.monotonic_ns() % 2))
    app = app_of(bundle, Gated(), max_waiting=8)
    answers = ask(app, *[("POST", "/classify", JPEG)] * 5)
    assert [answer.status_code for answer in answers] == [200] * 5


def before_main(code: str) -> tuple[str, ...]:
    """rgp-serve with ``code`` run first."""
    return (sys.executable, "-c", f"{code}\nfrom rgp.serve.__main__ import main\nsys.exit(main())")


def test_the_end_waits_for_an_engine_that_still_runs(bundle: Bundle, tmp_path: Path) -> None:
    """The baseline lane's pair, say: ONNX Runtime aborts the process if the interpreter goes meanwhile."""
    late = """
import os, sys, time
from rgp.serve import server
from rgp.serve.engine_threads import EngineThread
class Late(server.Server):
    def run(self, sockets):
        super().run(sockets)
        EngineThread("late", lambda: (time.sleep(1), os.write(2, b"the engine ended\\n")))
server.Server = Late
"""
    with serving(bundle.path, tmp_path / "log", "--grace-seconds", "0", command=before_main(late)) as server:
        assert server.stop() == 0
        assert "the engine ended" in server.log.read_text().splitlines()


def test_an_engine_that_hangs_does_not_keep_the_process(bundle: Bundle, tmp_path: Path) -> None:
    stuck = """
import sys, threading
from rgp.serve import cli
from rgp.serve.engine_threads import EngineThread
cli.ENGINE_SECONDS = 0.2
EngineThread("stuck", threading.Event().wait)
"""
    with serving(bundle.path, tmp_path / "log", "--grace-seconds", "0", command=before_main(stuck)) as server:
        assert httpx.post(f"{server.url}/classify", content=JPEG).status_code == 200
        assert server.stop() == 0
        assert any('"path": "/classify"' in line for line in server.log.read_text().splitlines())
