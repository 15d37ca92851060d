"""What is not quite HTTP, on a bare socket: refused or cut off, and no other caller notices."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgp.bundle import Bundle
from tests.serve.serving import Server, serving
from tests.serve.tiny import encoded, picture

IMAGE = encoded(picture("RGB", (21, 16)), "JPEG")
LINES = [
    b"GET /healthz HTTP/1.1\r\n",
    b"POST /classify HTTP/1.1\r\n",
    b"POST /classify/batch HTTP/1.0\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"Host: x\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Content-Type: multipart/form-data; boundary=b\r\n",
    b"X: " + b"y" * 5000 + b"\r\n",
    b" folded\r\n",
    b"\r\n",
    b"\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"ffffffffffffffff\r\n",
    b"hello",
    b"\0",
]
pieces = st.lists(st.sampled_from(LINES) | st.binary(max_size=30), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(sent=pieces, cut=st.integers(1, 40))
def test_what_is_not_http_in_any_pieces_harms_no_other_caller(
    server: Server, client: httpx.Client, sent: list[bytes], cut: int
) -> None:
    data = b"".join(sent)
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for at in range(0, min(len(data), 20 * cut), cut):
                connection.sendall(data[at : at + cut])
            connection.sendall(data[20 * cut :])
            with contextlib.suppress(OSError):  # it may have been cut off by now
                connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
            assert not answer or answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4", b"HTTP/1.1 100")), answer
    assert client.get("/healthz").status_code == 200


AMBIGUOUS = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length : 5\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding : chunked\r\n",
]


@pytest.mark.parametrize("headers", AMBIGUOUS)
def test_a_body_whose_end_two_servers_would_see_differently_is_400_and_the_end(headers: bytes, server: Server) -> None:
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + smuggled)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("filler", [b"X: " + b"a" * (8 << 20), b"a: b\r\n" * 500_000, b"/" * (8 << 20)], ids=len)
def test_a_head_without_end_is_cut_off_long_before_it_fills_the_memory(filler: bytes, server: Server) -> None:
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" if filler[:1] != b"/" else b"GET ")
            while sent < len(filler):
                sent += connection.send(filler[sent : sent + 65536])
            connection.sendall(b"\r\n\r\n")
            assert not connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "filler",
    [
        b"5\r\nhello\r\n0\r\n" + b"a: b\r\n" * 500_000,
        b"5\r\nhello\r\n0\r\nX: " + b"a" * (4 << 20),
        b"5;x=" + b"a" * (4 << 20),
        b"1;" + b"x" * 10_000 + b"\r\na\r\n" + b"2;y\r\nab\r\n" * 10 + b"1;" + b"x" * 60_000,
    ],
    ids=["trailers", "a long trailer", "an extension", "several extensions"],
)
def test_around_a_body_in_chunks_there_is_little(filler: bytes, server: Server, client: httpx.Client) -> None:
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        answer = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.sendall(filler)
            answer = connection.recv(65536)
        assert not answer or answer.startswith(b"HTTP/1.1 4")
        with contextlib.suppress(ConnectionResetError):
            assert not answer or connection.recv(65536) == b""
    assert client.get("/healthz").status_code == 200


def test_chunks_of_one_byte_are_a_body_like_any_other(client: httpx.Client) -> None:
    data = IMAGE + bytes(70_000)
    response = client.post("/classify", content=(data[at : at + 1] for at in range(len(data))))
    assert response.status_code == 200, response.text


def test_requests_sent_without_waiting_for_answers_are_few(server: Server, client: httpx.Client) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        connection.sendall(request * 5)  # a few are
        answers = b""
        while answers.count(b'{"status":"ok"}') < 5:
            answers += connection.recv(65536)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request * 20_000)
            while piece := connection.recv(65536):
                answers += piece
        assert answers.count(b"HTTP/1.1 200") < 2000
    assert client.get("/healthz").status_code == 200


def test_a_few_clients_that_declare_much_and_send_nothing_keep_nobody_out(bundle: Bundle, tmp_path: Path) -> None:
    limit = 16 << 20
    head = b"POST /classify/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with (
        serving(bundle.path, tmp_path / "log", "--max-body-bytes", str(limit)) as server,
        contextlib.ExitStack() as stack,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        for _ in range(12):
            connection = stack.enter_context(socket.create_connection((server.host, server.port), timeout=30))
            connection.sendall(head + b"Content-Length: %d\r\n\r\n{" % (4 * limit))
        until = time.monotonic() + 5
        while "rgp_bodies_being_read 12.0" not in client.get("/metrics").text and time.monotonic() < until:
            time.sleep(0.05)
        assert client.post("/classify", content=IMAGE).status_code == 200


@pytest.mark.parametrize("body", [b"Content-Length: 400\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_behind_a_refused_upgrade_is_no_second_request(body: bytes, server: Server) -> None:
    """Its answer would be read as that of the next request on the connection."""
    upgrade = b"Host: x\r\nContent-Type: image/jpeg\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        connection.sendall(b"POST /classify HTTP/1.1\r\n" + upgrade + body + b"\r\n")
        time.sleep(0.2)
        said = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"x" * 200)
            connection.sendall(b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            while piece := connection.recv(65536):
                said += piece
    assert len(re.findall(rb"HTTP/1.1 \d", said)) == 1
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in said.lower()
    assert b"is not offered" in said


def test_a_request_without_a_body_may_ask_for_an_upgrade_and_go_on(server: Server) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        for _ in range(3):
            connection.sendall(head)
            said = b""
            while not said.endswith(b"}"):
                said += connection.recv(65536)
            assert said.startswith(b"HTTP/1.1 200 ")
