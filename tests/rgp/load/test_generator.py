"""The load generator against real servers: what an open loop shows, and what becomes of every request."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.errors import RgpError
from rgp.load.generator import FAILED, TIMED_OUT, Load, arrivals, send
from rgp.load.report import remarks, summary
from rgp.load.search import verdict
from rgp.load.target import Target
from tests.scripted import RESET, Asked, Scripted, reply, scripted


def load(server: Scripted, intended: list[float], bodies: int = 1, timeout: float = 30.0, **more: Any) -> Load:
    """Send bodies 0, 1, 2, ... in turn; the time that is counted ends a second after the last send."""
    target = Target.find(server.url)
    messages = [target.message(b"%d" % number, "image/jpeg") for number in range(bodies)]
    seconds = max(intended) + 1
    return send(target, messages, np.array(intended), seconds=seconds, timeout=timeout, **more)


def latency(load: Load) -> list[float]:
    return list(load.ended - load.intended)


# when requests leave


@given(rate=st.floats(0.5, 500), seconds=st.floats(0.1, 20), seed=st.integers(0, 9), poisson=st.booleans())
def test_arrivals_lie_in_order_within_the_time_and_come_again_with_the_seed(
    rate: float, seconds: float, seed: int, poisson: bool
) -> None:
    times = arrivals(rate, seconds, np.random.default_rng(seed), poisson=poisson)
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times < seconds)).all()
    assert abs(len(times) - rate * seconds) <= (6 * (rate * seconds) ** 0.5 + 6 if poisson else 1)
    assert times.tolist() == arrivals(rate, seconds, np.random.default_rng(seed), poisson=poisson).tolist()


def test_poisson_gaps_are_exponential_and_constant_ones_are_equal() -> None:
    gaps = np.diff(arrivals(100, 100, np.random.default_rng(0)))
    assert gaps.mean() == pytest.approx(0.01, rel=0.05)
    assert gaps.std() == pytest.approx(0.01, rel=0.05)
    assert (gaps > 0.03).mean() == pytest.approx(np.exp(-3), rel=0.15)
    assert np.diff(arrivals(100, 1, np.random.default_rng(0), poisson=False)) == pytest.approx(0.01)


def test_requests_leave_though_none_has_been_answered() -> None:
    everyone = threading.Barrier(25)

    def once_all_are_here(asked: Asked) -> bytes:
        everyone.wait(30)
        return reply()

    with scripted(once_all_are_here) as server:
        done = load(server, [index / 100 for index in range(25)])
    assert (done.status == 200).all()
    assert min(latency(done)) > 0


def test_a_stall_of_the_service_shows_in_every_request_that_was_meant_to_leave_meanwhile() -> None:
    began: list[float] = []

    def stall(asked: Asked) -> bytes:
        began.append(time.monotonic())
        time.sleep(max(0.0, began[0] + 0.5 - time.monotonic()))
        return reply()

    with scripted(stall) as server:
        done = load(server, [index / 50 for index in range(40)])
    waited = [took >= 0.5 - due for took, due in zip(latency(done), done.intended, strict=True) if due < 0.5]
    assert len(waited) == 25
    assert all(waited)


def test_a_late_generator_is_in_the_latencies_and_is_told() -> None:
    def block(now: float) -> None:
        time.sleep(0.4)

    with scripted(lambda asked: reply()) as server:
        done = load(server, [index / 50 for index in range(100)], on_progress=block)
    late = done.sent - done.intended
    assert late.max() > 0.3
    assert (done.ended >= done.sent).all()
    run = summary(done, rate=50, bound_ms=1000)
    assert run["late_ms"]["max"] == pytest.approx(1000 * late.max())
    assert run["latency_ms"]["p90"] == pytest.approx(1000 * np.quantile(latency(done), 0.9))  # 4 of 10 are late
    assert run["generator_was_the_limit"]
    assert any("the generator was the limit" in line for line in remarks([run]))


def test_requests_share_connections_that_are_kept_alive_and_only_those() -> None:
    for headers, shared in (({}, True), ({"Connection": "close"}, False)):
        with scripted(lambda asked, headers=headers: reply(**headers)) as server:  # type: ignore[misc]
            done = load(server, [index / 100 for index in range(30)])
        assert (done.status == 200).all()
        assert (len({asked.connection for asked in server.asked}) < 30) == shared


# what becomes of them


def test_each_way_that_a_request_can_end_is_counted_apart() -> None:
    hang = threading.Event()

    def by_number(asked: Asked) -> bytes | None:
        number = int(asked.body)
        if number == 4:
            hang.wait(30)
        refused = reply(429, {"error": "full"}, Retry_After="1")
        failed = reply(500, {"error": "it\nbroke"})
        return [reply(), refused, failed, RESET, RESET, b"SMTP 220 hello\r\n\r\n"][number]

    with scripted(by_number) as server:
        done = load(server, [index / 100 for index in range(30)], bodies=6, timeout=2)
        hang.set()
    assert done.status.tolist() == 5 * [200, 429, 500, FAILED, TIMED_OUT, FAILED]
    assert min(latency(done)[4::6]) >= 2
    run = summary(done, rate=100, bound_ms=1e9)
    assert (run["n"], run["latency_ms"]["n"], run["rejected"]["n"], run["timeouts"]) == (30, 5, 5, 5)
    assert run["rejected"]["latency_ms"]["max"] == pytest.approx(1000 * max(latency(done)[1::6]))
    assert run["other_statuses"] == {"500": {"n": 5, "said": "it broke"}}
    assert run["connection_errors"]["n"] == 10
    assert sum(run["connection_errors"]["said"].values()) == 10
    assert any("Connection reset by peer" in why for why in run["connection_errors"]["said"])
    assert any("not HTTP" in why for why in run["connection_errors"]["said"])
    assert run["goodput"] == 5 / done.seconds
    assert run["stages_ms"]["inference"] == {"p50": 4.0, "n": 5}
    assert "at 100/s: 500 x 5: it broke" in remarks([run])
    assert verdict(run, 1e9) == "5 x 429, 20 failed"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n" + b'{"timing_ms": {"x": 1}}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n" + b'{"timing_ms": []}',
    ],
)
def test_every_form_of_an_answer_is_understood(answer: bytes) -> None:
    with scripted(lambda asked: answer) as server:
        done = load(server, [0.0, 0.01, 0.02])
    assert done.status.tolist() == [200] * 3
    assert done.stages_ms == {}


def test_half_an_answer_is_none() -> None:
    def half(asked: Asked) -> bytes:
        return reply(Connection="close")[:-5]

    with scripted(half) as server:
        done = load(server, [0.0, 0.01])
    assert done.status.tolist() == [FAILED] * 2
    assert done.failures == {"connection lost: closed without an answer": 2}


def test_a_service_that_has_gone_is_a_failure_to_connect() -> None:
    with scripted(lambda asked: reply()) as server:
        target = Target.find(server.url)
    done = send(target, [target.message(b"", "image/png")], np.array([0.0, 0.01]), seconds=1, timeout=10)
    assert done.status.tolist() == [FAILED] * 2
    (why,) = done.failures
    assert why.startswith("cannot connect: ")


def test_the_warm_up_is_sent_and_not_counted() -> None:
    with scripted(lambda asked: reply()) as server:
        done = load(server, [index / 50 for index in range(-10, 5)])
        assert len(server.asked) == 15
    run = summary(done, rate=50, bound_ms=1e9)
    assert (run["n"], run["latency_ms"]["n"], run["late_ms"]["n"], run["stages_ms"]["queue"]["n"]) == (5, 5, 5, 5)


def test_a_request_is_whole_and_goes_where_the_url_says() -> None:
    with scripted(lambda asked: reply()) as server:
        target = Target.find(f"{server.url}/below/", key="secret")
        message = target.message(b"\r\n\r\n123", "image/webp")
        send(target, [message], np.array([0.0]), seconds=1, timeout=30)
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/below/classify", b"\r\n\r\n123")
    assert asked.headers == {
        "host": server.url.removeprefix("http://"),
        "content-type": "image/webp",
        "content-length": "7",
        "authorization": "Bearer secret",
    }


def test_it_speaks_tls_and_checks_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("openssl, which makes the certificate, is not on this machine")
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    names = ("-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), *names]
    command += ["-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    with scripted(lambda asked: reply(), tls) as server:
        with pytest.raises(RgpError, match="certificate verify failed"):
            Target.find(server.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert load(server, [0.0, 0.01]).status.tolist() == [200, 200]
