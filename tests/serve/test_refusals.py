"""Every bad input over HTTP: a 4xx, one line of JSON, and a server that goes on."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from tests.serve.serving import MAX_BODY_BYTES, Server
from tests.serve.tiny import encoded, picture

JPEG, PNG, WEBP = (encoded(picture(size=(64, 48)), format) for format in ("JPEG", "PNG", "WEBP"))
FORM = "multipart/form-data; boundary=b"
DISPOSITION = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'


def refused(response: httpx.Response, status: int, message: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert message in response.json()["error"]
    assert "\n" not in response.json()["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"hello", "not a JPEG, PNG or WebP"),
        (b"\xff\xd8\xff", "not a JPEG, PNG or WebP"),
        (JPEG[: len(JPEG) // 2], "truncated or broken"),
        (PNG[: len(PNG) // 2], "truncated or broken"),
        (WEBP[: len(WEBP) // 2], "WebP"),
        (encoded(picture(), "GIF"), "not a JPEG, PNG or WebP"),
        (encoded(picture(), "BMP"), "not a JPEG, PNG or WebP"),
        (encoded(picture(), "TIFF"), "not a JPEG, PNG or WebP"),
    ],
)
def test_bytes_that_are_no_whole_image_are_400(body: bytes, message: str, client: httpx.Client) -> None:
    refused(client.post("/classify", content=body), 400, message)
    refused(client.post("/classify", files={"image": ("x", body)}), 400, message)


@pytest.mark.parametrize("content_type", ["text/plain", "text/json", "image/gif", "image", "multipart/mixed"])
def test_another_content_type_is_415(content_type: str, client: httpx.Client) -> None:
    response = client.post("/classify", content=JPEG, headers={"content-type": content_type})
    refused(response, 415, f"content type '{content_type}' is not accepted: send image/jpeg")


@pytest.mark.parametrize("encoding", ["gzip", "identity", ""])
def test_any_content_encoding_is_415(encoding: str, client: httpx.Client) -> None:
    refused(client.post("/classify", content=JPEG, headers={"content-encoding": encoding}), 415, "content encoding")


def test_an_upgrade_is_told_that_its_body_would_be_lost(client: httpx.Client) -> None:
    headers = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABk"}
    refused(client.post("/classify", content=JPEG, headers=headers), 400, "Upgrade: 'h2c' is not offered")


@pytest.mark.parametrize(
    "top_k", ["0", "8", "-1", "abc", "", "1.5", "9" * 5000, "1\n2", "\ud800".encode("utf-8", "surrogatepass")]
)
def test_top_k_out_of_range_is_422(top_k: str | bytes, client: httpx.Client) -> None:
    response = client.post("/classify", content=JPEG, params={"top_k": top_k})
    refused(response, 422, "top_k is ")


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/page", 404, "no such path: /page"),
        ("GET", "/docs", 404, "no such path: /docs"),
        ("POST", "/classify/", 404, "no such path: /classify/"),
        ("GET", "/a%0Ab%ff", 404, "no such path: /a b"),
        ("GET", "/classify", 405, "GET is not allowed on /classify: use POST"),
        ("PUT", "/classify", 405, "PUT is not allowed on /classify: use POST"),
        ("POST", "/healthz", 405, "POST is not allowed on /healthz: use GET"),
    ],
)
def test_unknown_paths_and_methods_answer_in_json(
    method: str, path: str, status: int, message: str, client: httpx.Client
) -> None:
    refused(client.request(method, path), status, message)


def test_a_host_header_that_is_no_address_changes_nothing(client: httpx.Client) -> None:
    refused(client.get("/nowhere", headers={"host": "["}), 404, "no such path")


def test_a_picture_bomb_is_refused_from_its_header(client: httpx.Client) -> None:
    bomb = encoded(Image.new("1", (9000, 9000)), "PNG")
    assert len(bomb) < 20_000
    refused(client.post("/classify", content=bomb), 413, "9000 x 9000 pixels")
    refused(client.post("/classify", files={"image": bomb}), 413, "9000 x 9000 pixels")


class TestForms:
    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ([("picture", ("x", JPEG))], "has 0 fields 'image'"),
            ([("image", ("x", JPEG)), ("image", ("y", JPEG))], "has 2 fields 'image'"),
            ([("image", (None, JPEG))], "'image' is text: send it as a file"),
            ([("image", (None, "a.jpg"))], "'image' is text: send it as a file"),
            ([(f"f{number}", ("x", b"x")) for number in range(17)], "more than 16 parts"),
        ],
    )
    def test_without_exactly_one_file_called_image_are_400(
        self, files: list[tuple[str, tuple[str | None, bytes]]], message: str, client: httpx.Client
    ) -> None:
        refused(client.post("/classify", files=files), 400, message)

    @pytest.mark.parametrize(
        ("content_type", "body", "message"),
        [
            ("multipart/form-data", DISPOSITION + JPEG + b"\r\n--b--", "No boundary"),
            ("multipart/form-data; boundary=", b"--\r\n", "malformed multipart"),
            ("multipart/form-data; boundary=" + "b" * 300, b"", "Boundary length"),
            (FORM, b"", "ends before its closing boundary"),
            (FORM, JPEG, "malformed multipart"),
            (FORM, DISPOSITION + JPEG, "ends before its closing boundary"),
            (FORM, DISPOSITION + JPEG + b"\r\n--b", "ends before its closing boundary"),
            (FORM, b"--b--", "has 0 fields"),
            (FORM, b"--b\r\n\r\nx\r\n--b--", "malformed multipart"),
            (FORM, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", "malformed multipart"),
            (FORM, b"--b\r\nno header\r\n\r\nx\r\n--b--", "malformed multipart"),
            (FORM, b"--b\r\n" + b"A: b\r\n" * 100 + b"\r\n--b--", "header count"),
            (FORM + "; charset=undefined", DISPOSITION.replace(b'"image"', b'"\xff"') + b"\r\n--b--", "has 0 fields"),
            (
                FORM,
                DISPOSITION[:-2] + b"Content-Transfer-Encoding: base64\r\n\r\n!!!!!\r\n--b--",
                "malformed multipart",
            ),
        ],
    )
    def test_that_are_malformed_are_400(
        self, content_type: str, body: bytes, message: str, client: httpx.Client
    ) -> None:
        refused(client.post("/classify", content=body, headers={"content-type": content_type}), 400, message)


def padded(size: int) -> bytes:
    """A good JPEG of exactly ``size`` bytes: what follows its end does not count."""
    return JPEG + bytes(size - len(JPEG))


class TestABodyAboveTheLimit:
    def test_is_413_and_one_at_the_limit_is_served(self, client: httpx.Client) -> None:
        assert client.post("/classify", content=padded(MAX_BODY_BYTES)).status_code == 200
        refused(client.post("/classify", content=padded(MAX_BODY_BYTES + 1)), 413, f"more than {MAX_BODY_BYTES} bytes")

    def test_is_413_without_a_declared_length_too(self, client: httpx.Client) -> None:
        def chunks(size: int) -> Iterator[bytes]:
            body = padded(size)
            yield from (body[at : at + 1000] for at in range(0, size, 1000))

        assert client.post("/classify", content=chunks(MAX_BODY_BYTES)).status_code == 200
        refused(client.post("/classify", content=chunks(MAX_BODY_BYTES + 1)), 413, f"more than {MAX_BODY_BYTES} bytes")

    def test_is_413_in_a_form(self, client: httpx.Client) -> None:
        refused(client.post("/classify", files={"image": padded(MAX_BODY_BYTES)}), 413, "more than")

    def test_is_refused_by_its_declared_length_before_it_is_sent(self, server: Server) -> None:
        with socket.create_connection((server.host, server.port), timeout=30) as connection:
            connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
            status, error = answer_on(connection)
            assert (status, "more than" in error) == (413, True)

    def test_that_never_ends_gets_its_answer_and_a_closed_connection(self, server: Server) -> None:
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        with socket.create_connection((server.host, server.port), timeout=30) as connection:
            connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while True:
                    connection.sendall(chunk)
            status, error = answer_on(connection)
            assert (status, "more than" in error) == (413, True)


def answer_on(connection: socket.socket) -> tuple[int, str]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    error: str = json.loads(response.read())["error"]
    response.close()
    return response.status, error


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/classify", b"not an image" * 10_000, {}, 400),
        ("/nowhere", b"x" * 100_000, {}, 404),
        ("/classify", b"x" * 100_000, {"Content-Type": "text/plain"}, 415),
        ("/classify?top_k=99", b"x" * 100_000, {}, 422),
    ],
)
def test_a_connection_survives_a_refusal(
    path: str, body: bytes, headers: dict[str, str], status: int, server: Server
) -> None:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.connect()
    before = connection.sock
    for target, data, named, expected in ((path, body, headers, status), ("/classify", JPEG, {}, 200)):
        connection.request("POST", target, data, named)
        response = connection.getresponse()
        response.read()
        assert response.status == expected
    assert connection.sock is before
    connection.close()


def test_a_client_that_breaks_off_in_the_middle_harms_nobody(server: Server, client: httpx.Client) -> None:
    for length in (b"Content-Length: 1000", b"Transfer-Encoding: chunked"):
        with socket.create_connection((server.host, server.port), timeout=30) as connection:
            connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n3\r\nabc\r\n")
    assert client.post("/classify", content=JPEG).status_code == 200


@pytest.mark.parametrize(
    "request_line",
    [b"nonsense", b"POST /classify HTTP/1.1\r\nContent-Length: x", b"GET /\xff HTTP/1.1", b"\x16\x03\x01\x02\x00"],
)
def test_what_is_not_http_is_400(request_line: bytes, server: Server) -> None:
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        connection.sendall(request_line + b"\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
