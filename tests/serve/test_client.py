"""The client: what it sends, what it makes of every answer, when it tries again and when it gives up."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from rgp.errors import RgpError, UsageError
from rgp.serve import client as module
from rgp.serve.client import (
    BusyError,
    Client,
    DeadlineError,
    Prediction,
    RefusedError,
    ServiceError,
    UnreachableError,
)
from tests.scripted import OK, RESET, Answer, Asked, Scripted, reply, scripted
from tests.serve.serving import ROOT, Server
from tests.serve.tiny import LABELS, encoded, picture

JPEG = encoded(picture(), "JPEG")


@contextmanager
def talking(*answers: bytes | Answer | None, **options: float) -> Iterator[tuple[Scripted, Client]]:
    """A client of a server that gives these answers in turn, the last one for ever."""
    turn = iter(range(1000))

    def answer(asked: Asked) -> bytes | Iterable[bytes] | None:
        given = answers[min(next(turn), len(answers) - 1)]
        return given(asked) if callable(given) else given

    with scripted(answer) as server, Client(server.url, **options) as client:  # type: ignore[arg-type]
        yield server, client


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client would have slept, which it does not."""
    slept: list[float] = []

    class Clock:
        monotonic = staticmethod(time.monotonic)
        sleep = staticmethod(slept.append)

    monkeypatch.setattr(module, "time", Clock)
    return slept


def busy(status: int = 429, **headers: str) -> bytes:
    return reply(status, {"error": "full", "request_id": "r"}, **headers)


# with the service itself


def test_it_classifies_bytes_and_files_with_the_service(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "image.jpg"
    file.write_bytes(JPEG)
    with Client(server.url) as client:
        assert client.ready()
        answers = [client.classify(image, top_k=3) for image in (JPEG, file, str(file))]
    over_http = httpx.post(f"{server.url}/classify?top_k=3", content=JPEG).json()
    for answer in answers:
        assert [vars(each) for each in answer.predictions] == over_http["predictions"]
        assert answer.model == over_http["model"]
        assert set(answer.timing_ms) == {"queue", "decode", "preprocess", "inference", "total"}
    assert len({answer.request_id for answer in answers}) == 3


def test_a_batch_has_an_answer_or_an_error_for_each_image(server: Server) -> None:
    with Client(server.url) as client:
        first, second, third = client.classify_batch([JPEG, b"no image", JPEG], top_k=2)
        alone = client.classify(JPEG, top_k=2)
    assert isinstance(second, ServiceError)
    assert "not a JPEG" in str(second)
    for answer in (first, third):
        assert not isinstance(answer, ServiceError)
        assert answer.predictions == alone.predictions
        assert answer.model == alone.model


def test_it_tells_what_serves_and_how_fast(server: Server) -> None:
    with Client(server.url) as client:
        assert client.info()["labels"] == list(LABELS)
        assert "live" in client.latency()


def test_a_refusal_of_the_service_is_typed_and_says_what_to_do(server: Server) -> None:
    with Client(server.url) as client:
        with pytest.raises(RefusedError, match="not a JPEG") as refused:
            client.classify(b"no image")
        with pytest.raises(RefusedError, match="top_k") as parameter:
            client.classify(JPEG, top_k=1000)
    assert (refused.value.status, parameter.value.status) == (400, 422)
    assert len(refused.value.request_id) == 32


# what it sends


def test_a_request_carries_the_image_the_key_an_id_and_the_time_that_is_left() -> None:
    with scripted(lambda asked: reply()) as server, Client(f"{server.url}/below", "secret", timeout=20) as client:
        answer = client.classify(JPEG, top_k=3)
        client.classify(JPEG)
    first, second = server.asked
    assert (first.method, first.path, first.body) == ("POST", "/below/classify?top_k=3", JPEG)
    assert second.path == "/below/classify"
    assert first.headers["authorization"] == "Bearer secret"
    assert first.headers["content-type"] == "application/octet-stream"
    assert 0 < int(first.headers["x-request-timeout-ms"]) <= 20_000
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert answer.predictions == (Prediction("cat", 2, 0.75),)
    assert answer.timing_ms == OK["timing_ms"]
    with pytest.raises(FrozenInstanceError):
        answer.request_id = "x"  # type: ignore[misc]


def test_threads_may_share_a_client() -> None:
    everyone = threading.Barrier(8)

    def together(asked: Asked) -> bytes:
        everyone.wait(30)
        return reply(said={**OK, "request_id": asked.headers["x-request-id"]})

    with talking(together) as (server, client), ThreadPoolExecutor(8) as callers:
        ids = {answer.request_id for answer in callers.map(client.classify, [JPEG] * 8)}
    assert ids == {asked.headers["x-request-id"] for asked in server.asked}
    assert len(ids) == 8


# when it tries again


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_after_the_time_it_names_under_the_same_id(
    status: int, waits: list[float]
) -> None:
    with talking(busy(status, Retry_After="2"), busy(status, Retry_After="7"), reply()) as (server, client):
        assert client.classify(JPEG).predictions
    assert 2 <= waits[0] <= 2.1
    assert 7 <= waits[1] <= 7.1
    assert len({asked.headers["x-request-id"] for asked in server.asked}) == 1
    left = [int(asked.headers["x-request-timeout-ms"]) for asked in server.asked]
    assert left == sorted(left, reverse=True)
    assert {asked.body for asked in server.asked} == {JPEG}


def test_it_really_waits() -> None:
    times: list[float] = []

    def note(asked: Asked) -> bytes:
        times.append(time.monotonic())
        return busy(Retry_After="1") if len(times) == 1 else reply()

    with talking(note) as (_, client):
        client.classify(JPEG)
    assert times[1] - times[0] >= 1


def test_a_date_is_a_time_to_wait_too(waits: list[float]) -> None:
    later = datetime.now(UTC) + timedelta(seconds=20)
    with talking(busy(Retry_After=format_datetime(later, usegmt=True)), reply()) as (_, client):
        client.classify(JPEG)
    assert 0 < waits[0] <= 20.1


@pytest.mark.parametrize(
    "told", [None, "", "soon", "-1", "1.5", "Mon, 99 Nov 2026 00:00:00 GMT", "Mon, 23 Nov 2026 00:00:00 -0000"]
)
def test_without_a_time_it_backs_off_with_jitter_up_to_a_limit(told: str | None, waits: list[float]) -> None:
    full = busy() if told is None else busy(Retry_After=told)
    with talking(full, timeout=1000, retries=12) as (server, client):
        with pytest.raises(BusyError):
            client.classify(JPEG)
        with pytest.raises(BusyError):
            client.classify(JPEG)
    first, second = waits[:12], waits[12:]
    assert len(server.asked) == 26
    assert first != second
    first_wait, longest = module.BACKOFF_SECONDS
    for slept in (first, second):
        assert all(0 <= each <= min(longest, first_wait * 2**number) for number, each in enumerate(slept))


def test_a_connection_that_breaks_before_the_whole_answer_is_tried_again(waits: list[float]) -> None:
    with talking(RESET, reply(Connection="close")[:-9], reply()) as (server, client):
        assert client.classify(JPEG).predictions
    assert len({asked.connection for asked in server.asked}) == len(waits) + 1 == 3
    assert len({asked.headers["x-request-id"] for asked in server.asked}) == 1


def test_reads_go_over_the_same_retries(waits: list[float]) -> None:
    with talking(RESET, busy(503), reply(said={"name": "n"})) as (server, client):
        assert client.info() == {"name": "n"}
    assert [asked.path for asked in server.asked] == ["/info"] * 3


# when it gives up


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_it_gives_up_after_its_retries_and_says_what_was_wrong_last(retries: int, waits: list[float]) -> None:
    with (
        talking(busy(Retry_After="1"), retries=retries) as (server, client),
        pytest.raises(BusyError, match="answered 429: full") as given_up,
    ):
        client.classify(JPEG)
    assert len(server.asked) == retries + 1
    assert len(waits) == retries
    assert given_up.value.status == 429
    assert given_up.value.request_id == server.asked[0].headers["x-request-id"]
    assert given_up.value.request_id in str(given_up.value)


def test_it_does_not_wait_for_what_would_come_too_late() -> None:
    with talking(busy(Retry_After="60"), timeout=30) as (server, client), pytest.raises(BusyError):
        client.classify(JPEG)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError),
        (401, RefusedError),
        (413, RefusedError),
        (500, ServiceError),
        (504, DeadlineError),
        (307, ServiceError),
    ],
)
def test_what_another_attempt_would_not_mend_is_raised_at_once(status: int, kind: type[ServiceError]) -> None:
    with (
        talking(reply(status, {"error": "it is so"})) as (server, client),
        pytest.raises(ServiceError, match=f"answered {status}: it is so") as raised,
    ):
        client.classify(JPEG)
    assert len(server.asked) == 1
    assert type(raised.value) is kind
    assert (raised.value.status, raised.value.exit_code) == (status, 1)
    assert "\n" not in str(raised.value)


def test_nobody_there_is_unreachable(waits: list[float]) -> None:
    with talking(reply()) as (_, client):
        pass
    with Client(client.url) as late, pytest.raises(UnreachableError, match="cannot be reached") as raised:
        late.classify(JPEG)
    assert raised.value.status is None
    assert len(waits) == 3
    with Client(client.url) as late:
        assert not late.ready()


@pytest.mark.parametrize("slow", ["silent", "dripping"])
def test_no_answer_in_time_is_a_deadline_however_slowly_it_drips(slow: str) -> None:
    release = threading.Event()

    def drip(asked: Asked) -> Iterator[bytes]:
        if slow == "silent":
            release.wait(30)
        for byte in reply():
            yield bytes([byte])
            time.sleep(0.02)

    with talking(drip, timeout=0.5, retries=9) as (server, client):
        with pytest.raises(DeadlineError, match=r"no answer within 0\.5 s") as raised:
            client.classify(JPEG)
        release.set()
    assert raised.value.status is None
    assert len(server.asked) == 1


@pytest.mark.parametrize("said", [b"<html>", b"[]", b"null", b"{}", b'{"predictions": [1]}'])
def test_an_answer_that_is_none_is_no_answer(said: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
    with talking(answer) as (_, client), pytest.raises(ServiceError, match="rgp-serve would not") as raised:
        client.classify(JPEG)
    assert raised.value.status == 200


def test_a_proxys_page_becomes_one_line() -> None:
    page = b"<html>\n<h1>Bad Gateway</h1>\n</html>"
    answer = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page)
    with talking(answer) as (_, client), pytest.raises(ServiceError, match="answered 502: Bad Gateway"):
        client.classify(JPEG)


def test_a_missing_file_is_the_systems_error() -> None:
    with talking(reply()) as (server, client), pytest.raises(FileNotFoundError):
        client.classify("no such file")
    assert not server.asked


@pytest.mark.parametrize(
    "make",
    [
        lambda: Client("127.0.0.1:8000"),
        lambda: Client("ftp://a"),
        lambda: Client("http://"),
        lambda: Client("http://a:x"),
        lambda: Client("http://a", timeout=0),
        lambda: Client("http://a", retries=-1),
        lambda: Client("http://a", "line\nbreak"),
        lambda: Client("http://a", "ü"),
    ],
)
def test_what_no_client_can_be_made_of_is_refused(make: Callable[[], Client]) -> None:
    with pytest.raises(UsageError):
        make()


def test_every_error_is_one_of_rgps() -> None:
    for kind in (RefusedError, BusyError, DeadlineError, UnreachableError):
        assert issubclass(kind, ServiceError)
    assert issubclass(ServiceError, RgpError)


ALONE = """
import sys
import rgp.serve.client
service = {"fastapi", "starlette", "pydantic", "uvicorn", "onnxruntime", "numpy", "PIL", "torch", "onnx"}
print(sorted(service & set(sys.modules)), sorted(name for name in sys.modules if name.startswith("rgp.")))
"""


def test_it_imports_httpx_and_nothing_of_the_services() -> None:
    ran = subprocess.run([sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[] ['rgp.errors', 'rgp.serve', 'rgp.serve.client']\n"
