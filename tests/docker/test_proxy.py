"""nginx before real services: one that dies, stops, or is exchanged under load costs no answer."""

from __future__ import annotations

import http.client
import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from rgp.bundle import Bundle
from rgp.serve.server import KEEP_ALIVE_SECONDS
from rgp.serve.settings import Settings
from tests.docker.dockerfile import DOCKER
from tests.docker.proxy import MISSING, Load, Proxy, free_port, proxying
from tests.serve.serving import Server, serving
from tests.serve.tiny import encoded, network, picture, write_bundle

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {MISSING}: apt-get install nginx-light gettext-base"
)

JPEG = encoded(picture(), "JPEG")
TEMPLATE = (DOCKER / "nginx" / "nginx.conf.template").read_text()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "tiny")


@contextmanager
def replicas(folder: Path, bundle: Path, *options: str) -> Iterator[tuple[Proxy, list[Server]]]:
    """Two services behind nginx."""
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(bundle, folder / f"{name}.log", *options)) for name in "ab"]
        addresses = [f"{server.host}:{server.port}" for server in servers]
        yield stack.enter_context(proxying(folder, addresses)), servers


def lines(proxy: Proxy) -> list[dict[str, Any]]:
    return [json.loads(line) for line in proxy.log.read_text().splitlines()]


def retried(proxy: Proxy) -> int:
    return sum("," in line["tried"] for line in lines(proxy) if line["status"] == 200)


def seconds(directive: str) -> int:
    return max(int(found) for found in re.findall(rf"^\s*{directive} (\d+)s;", TEMPLATE, re.MULTILINE))


def test_times_fit_those_of_the_service() -> None:
    upstream = TEMPLATE[TEMPLATE.index("upstream ") : TEMPLATE.index("server {")]
    kept = re.search(r"keepalive_timeout (\d+)s;", upstream)
    assert kept
    assert int(kept[1]) < KEEP_ALIVE_SECONDS
    assert seconds("proxy_read_timeout") > Settings().timeout_ms / 1000
    assert seconds("proxy_send_timeout") > Settings().body_seconds
    assert f"client_max_body_size {Settings().max_body_bytes >> 20}m;" in TEMPLATE


def test_a_replica_that_is_killed_under_load_loses_nothing(bundle: Bundle, tmp_path: Path) -> None:
    with replicas(tmp_path, bundle.path) as (proxy, (first, second)), Load(proxy.url, JPEG) as load:
        load.wait_for(50)
        first.process.send_signal(signal.SIGSTOP)  # so that requests are in it when it dies
        time.sleep(0.5)
        first.process.kill()
        first.process.wait()
        load.wait_for(200)
        page = httpx.get(f"{proxy.url}/")
        assert (page.status_code, "</html>" in page.text) == (200, True)
        assert second.process.poll() is None
    assert set(load.told) == {200}, load.told
    assert retried(proxy) > 0
    tried = {address for line in lines(proxy) for address in line["tried"].split(", ")}
    assert tried == {f"{server.host}:{server.port}" for server in (first, second)}


def test_a_replica_that_stops_under_load_loses_nothing(bundle: Bundle, tmp_path: Path) -> None:
    with (
        replicas(tmp_path, bundle.path, "--grace-seconds", "1") as (proxy, (first, _)),
        Load(proxy.url, JPEG) as load,
    ):
        load.wait_for(50)
        assert first.stop() == 0
        load.wait_for(100)
    assert set(load.told) == {200}, load.told


def test_rolling_from_one_bundle_to_another_and_back_loses_nothing(tmp_path: Path) -> None:
    old, new = (write_bundle(tmp_path / f"v{seed}", model=network(seed=seed)).path for seed in range(2))
    current = tmp_path / "current"

    def point_to(bundle: Path) -> None:
        beside = tmp_path / "next"
        beside.symlink_to(bundle.name)
        beside.replace(current)

    point_to(old)
    with replicas(tmp_path, current) as (proxy, servers), Load(proxy.url, JPEG) as load:
        for bundle in (new, old):
            load.wait_for(50)
            point_to(bundle)
            for server in servers:
                before = httpx.get(f"{server.url}/info").json()["sha256"]
                server.process.send_signal(signal.SIGHUP)
                until = time.monotonic() + 30
                while httpx.get(f"{server.url}/info").json()["sha256"] == before:
                    assert time.monotonic() < until, server.log.read_text()
                    time.sleep(0.05)
        load.wait_for(50)
    assert set(load.told) == {200}, load.told
    assert len(load.models) == 2


def test_what_belongs_to_one_replica_does_not_go_through(bundle: Bundle, tmp_path: Path) -> None:
    with replicas(tmp_path, bundle.path) as (proxy, _), httpx.Client(base_url=proxy.url) as client:
        for method, path in (("POST", "/models/reload"), ("POST", "/models/rollback"), ("GET", "/metrics")):
            assert client.request(method, path).status_code == 403
            assert client.request(method, path).json()["error"]
        assert client.get("/models").status_code == 200
        assert client.get("/readyz").status_code == 200
        said = client.post("/classify", content=JPEG, headers={"X-Request-Id": "mine-1"})
        assert said.json()["request_id"] == "mine-1"
        own = client.post("/classify", content=JPEG, headers={"X-Request-Id": "bad id"}).json()["request_id"]
        assert re.fullmatch("[0-9a-f]{32}", own)
        until = time.monotonic() + 30
        while own not in proxy.log.read_text():  # nginx answers first and writes then
            assert time.monotonic() < until, proxy.log.read_text()
            time.sleep(0.05)


def test_too_large_and_nobody_there_are_told_in_the_form_of_the_service(tmp_path: Path) -> None:
    with proxying(tmp_path, [f"127.0.0.1:{free_port()}"]) as proxy:
        gone = httpx.post(f"{proxy.url}/classify", content=JPEG)
        assert (gone.status_code, gone.headers["retry-after"]) == (503, "1")
        assert gone.json()["request_id"]
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)
        connection.putrequest("POST", "/classify")
        connection.putheader("Content-Length", str((16 << 20) + 1))
        connection.endheaders()
        large = connection.getresponse()
        assert (large.status, json.loads(large.read())["error"][:8]) == (413, "the body")
        connection.close()


class Saying(ThreadingHTTPServer):
    """Reads each request and answers with one status, or breaks off (0)."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        self.asked = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.asked += 1
                assert self.rfile.read(int(self.headers["content-length"])) == JPEG
                if status:
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.mark.parametrize(
    ("status", "tries"), [(200, 1), (429, 1), (500, 1), (504, 1), (503, 2), (0, 2)], ids=lambda value: str(value)
)
def test_another_replica_is_asked_only_where_that_is_safe_and_helps(status: int, tries: int, tmp_path: Path) -> None:
    with Saying(status) as one, Saying(status) as other:
        for server in (one, other):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        with proxying(tmp_path, [f"127.0.0.1:{server.server_address[1]}" for server in (one, other)]) as proxy:
            assert httpx.post(f"{proxy.url}/classify", content=JPEG).status_code == (status or 503)
        assert one.asked + other.asked == tries
        for server in (one, other):
            server.shutdown()
