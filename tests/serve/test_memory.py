"""The service's memory stays flat, whatever comes; and the check that says so does catch a leak."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from PIL import Image

from rgp.bundle import Bundle
from tests.serve.serving import Server, serving
from tests.serve.tiny import encoded, picture

PAGE = 4096
LEAK_BYTES = 4 * PAGE
BOUND_MB = 8.0
"""Growth in one half of a run that is still called flat: the allocator's, and that of what is kept of past requests."""
ROUNDS = 60
LEAKING = f"""
import sys
from rgp.serve import door
from rgp.serve.__main__ import main

kept, call = [], door.Door.__call__

async def leaking(self, scope, receive, send):
    kept.append(bytearray({LEAK_BYTES}))
    await call(self, scope, receive, send)

door.Door.__call__ = leaking
sys.exit(main(sys.argv[1:]))
"""

JPEG = encoded(picture(size=(320, 240)), "JPEG")
PNG = encoded(picture("RGBA", (320, 240)), "PNG")
WEBP = encoded(picture(size=(320, 240)), "WEBP")
LARGE = encoded(Image.new("L", (4000, 3000), 77), "PNG")
HOSTILE = [
    b"",
    b"hello" * 1000,
    JPEG[: len(JPEG) // 2],
    PNG[: len(PNG) // 2],
    WEBP[: len(WEBP) // 2],
    encoded(Image.new("1", (9000, 9000)), "PNG"),
    encoded(picture(), "GIF"),
    JPEG[:2] + b"\xff\xda\x00\x02" * 5000,
    JPEG[:300] + bytes(range(256)) * 20 + JPEG[300:],
]
HEAD = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"


def resident_mb(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/statm").read_text().split()
    return int(fields[1]) * PAGE / 1e6


def good(client: httpx.Client, server: Server) -> int:
    for image in (JPEG, PNG, WEBP):
        assert client.post("/classify", content=image).status_code == 200
    files = [("image", image) for image in (JPEG, b"broken", WEBP)]
    assert client.post("/classify/batch", files=files).status_code == 200
    assert client.get("/metrics").status_code == 200
    return 5


def hostile(client: httpx.Client, server: Server) -> int:
    for image in HOSTILE:
        assert 400 <= client.post("/classify", content=image).status_code < 500
    assert client.post("/classify", content=JPEG, headers={"x-request-timeout-ms": "1"}).status_code in (200, 504)
    assert client.get(f"/nowhere/{time.monotonic_ns()}").status_code == 404
    return len(HOSTILE) + 2


def aborted(client: httpx.Client, server: Server) -> int:
    """Uploads that end in the middle, half of them with a reset."""
    for reset in (False, True) * 4:
        with socket.create_connection((server.host, server.port), timeout=30) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(HEAD + bytes(100_000))
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    return 8


def large(client: httpx.Client, server: Server) -> int:
    """12 megapixels each: what one takes is given back, or taken by the next."""
    assert client.post("/classify", content=LARGE).status_code == 200
    return 1


Load = Callable[[httpx.Client, Server], int]


def growth_mb(server: Server, loads: tuple[Load, ...], rounds: int) -> tuple[float, int]:
    """How much memory the second half of the rounds added, after the first has warmed all caches; and its requests."""
    with httpx.Client(base_url=server.url, timeout=60) as client:

        def half() -> int:
            return sum(load(client, server) for _ in range(rounds) for load in loads)

        half()
        before = resident_mb(server)
        requests = half()
        return resident_mb(server) - before, requests


@pytest.mark.parametrize(
    ("loads", "rounds"),
    [((good, hostile), ROUNDS), ((aborted,), ROUNDS), ((large,), 12)],
    ids=["good and hostile images", "aborted uploads", "large images"],
)
def test_memory_stays_flat(loads: tuple[Load, ...], rounds: int, bundle: Bundle, tmp_path: Path) -> None:
    with serving(bundle.path, tmp_path / "log") as server:
        grown, requests = growth_mb(server, loads, rounds)
    assert grown < BOUND_MB, f"{grown:.1f} MB more after {requests} requests"


def test_the_check_catches_a_leak_of_16_kib_a_request(bundle: Bundle, tmp_path: Path) -> None:
    with serving(bundle.path, tmp_path / "log", command=(sys.executable, "-c", LEAKING)) as server:
        grown, requests = growth_mb(server, (good, hostile), ROUNDS)
    assert grown > BOUND_MB
    assert grown == pytest.approx(requests * LEAK_BYTES / 1e6, rel=0.5)


def test_reloading_again_and_again_keeps_two_networks_and_no_more(bundle: Bundle, tmp_path: Path) -> None:
    with serving(bundle.path, tmp_path / "log") as server, httpx.Client(base_url=server.url) as client:

        def reload(times: int) -> float:
            for _ in range(times):
                lines = server.log.read_text().count("serving tiny-net")
                server.process.send_signal(signal.SIGHUP)
                until = time.monotonic() + 30
                while server.log.read_text().count("serving tiny-net") == lines:
                    assert time.monotonic() < until
                    time.sleep(0.01)
                assert len(client.get("/models").json()["models"]) == 2
            return resident_mb(server)

        warm = reload(8)
        assert reload(24) - warm < BOUND_MB
        threads = len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))
        reload(4)
        assert len(list(Path(f"/proc/{server.process.pid}/task").iterdir())) <= threads + 2


@pytest.fixture(autouse=True)
def _needs_proc() -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc, which says how much memory another process holds")
