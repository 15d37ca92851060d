"""Whatever bytes come, the answer is a 2xx or a 4xx, in JSON; and nothing that HTTP is not stops the service."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgp.bundle import Bundle
from rgp.serve.keys import new_key
from tests.serve.serving import Server, serving
from tests.serve.tiny import encoded, picture

ORIGINALS = [
    encoded(picture("RGB", (21, 16)), "JPEG"),
    encoded(picture("L", (21, 16)), "JPEG", progressive=True),
    encoded(picture("P", (21, 16)), "PNG"),
    encoded(picture("RGBA", (21, 16)), "PNG"),
    encoded(picture("RGB", (21, 16)), "WEBP"),
    encoded(picture("RGBA", (21, 16)), "WEBP", lossless=True),
]
FRAGMENTS = [
    b"--b",
    b"--b\r\n",
    b"--b--",
    b"\r\n",
    b"\r",
    b"--",
    b": ",
    b'Content-Disposition: form-data; name="image"; filename="x"',
    b'Content-Disposition: form-data; name="image"',
    b"Content-Disposition: form-data",
    b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: quoted-printable",
    b"=0",
    ORIGINALS[2],
]
JSON = {"content-type": "application/json"}
INFER = "/v2/models/tiny-net/infer"
TENSOR = {"name": "image", "datatype": "UINT8", "shape": [1, 12, 12, 3]}
many = settings(max_examples=150, deadline=None)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
texts = st.sampled_from([base64.b64encode(data).decode() for data in ORIGINALS]) | st.text(max_size=20)
header_values = st.binary(max_size=80).map(lambda text: text.translate(None, bytes(range(32)) + b"\x7f").strip())


def posted(client: httpx.Client, path: str, body: Any, headers: dict[str, str] = JSON) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8", "surrogatepass")
    return client.post(path, content=content, headers=headers)


def well_answered(response: httpx.Response) -> None:
    """2xx, or a refusal in one line with the id of its request."""
    if response.status_code != 200:
        assert 400 <= response.status_code < 500, response.text
        assert "\n" not in response.json()["error"]
        assert response.json()["request_id"] == response.headers["x-request-id"]


@st.composite
def mutated_images(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(ORIGINALS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
        if not data:
            break
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


def harmless(response: httpx.Response) -> None:
    if response.status_code == 200:
        assert len(response.json()["predictions"]) == 5
    else:
        assert 400 <= response.status_code < 500, response.text
        assert "\n" not in response.json()["error"]


@many
@given(data=st.binary(max_size=2000))
def test_arbitrary_bytes_do_no_harm(client: httpx.Client, data: bytes) -> None:
    harmless(client.post("/classify", content=data))


@many
@given(data=mutated_images())
def test_mutated_images_do_no_harm(client: httpx.Client, data: bytes) -> None:
    harmless(client.post("/classify", content=data))


@many
@given(fragments=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20), max_size=20))
def test_arbitrary_forms_do_no_harm(client: httpx.Client, fragments: list[bytes]) -> None:
    body = b"".join(fragments)
    harmless(client.post("/classify", content=body, headers={"content-type": "multipart/form-data; boundary=b"}))


@many
@given(
    value=st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")),
    prefix=st.sampled_from(["", "image/png;", "multipart/form-data;", "multipart/form-data; boundary="]),
)
def test_arbitrary_content_types_do_no_harm(client: httpx.Client, value: str, prefix: str) -> None:
    headers = {b"content-type": (prefix + value).strip().encode("latin-1")}
    harmless(client.post("/classify", content=ORIGINALS[0], headers=headers))


@many
@given(query=st.binary(max_size=30))
def test_arbitrary_queries_do_no_harm(client: httpx.Client, query: bytes) -> None:
    harmless(client.post(f"/classify?top_k=5&{query.hex()}", content=ORIGINALS[0]))
    response = client.post("/classify", params={"top_k": query}, content=ORIGINALS[0])
    assert response.status_code in (200, 422)


@many
@given(body=st.fixed_dictionaries({"image_b64": values | texts}) | values)
def test_arbitrary_json_does_no_harm(client: httpx.Client, body: Any) -> None:
    harmless(posted(client, "/classify", body))


@many
@given(body=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-16", "surrogatepass")))
def test_bytes_called_json_do_no_harm(client: httpx.Client, body: bytes) -> None:
    for path in ("/classify", "/classify/batch", INFER):
        well_answered(posted(client, path, body))


@many
@given(images=st.lists(texts | values, max_size=20) | values)
def test_arbitrary_batches_do_no_harm(client: httpx.Client, images: Any) -> None:
    response = posted(client, "/classify/batch", {"images_b64": images})
    well_answered(response)
    if response.status_code == 200:
        assert len(response.json()["results"]) == len(images)


@many
@given(fragments=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20), max_size=20))
def test_arbitrary_forms_of_several_images_do_no_harm(client: httpx.Client, fragments: list[bytes]) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    well_answered(client.post("/classify/batch", content=b"".join(fragments), headers=headers))


@many
@given(body=values, changed=st.dictionaries(st.sampled_from([*TENSOR, "data", "parameters"]), values, max_size=3))
def test_arbitrary_tensors_do_no_harm(client: httpx.Client, body: Any, changed: dict[str, Any]) -> None:
    well_answered(posted(client, INFER, body))
    well_answered(posted(client, INFER, {"inputs": [TENSOR | {"data": [0] * 432} | changed], "id": body}))
    well_answered(posted(client, INFER, {"inputs": [TENSOR | {"data": [0] * 432}], "outputs": body}))


@many
@given(
    head=st.sampled_from([json.dumps({"inputs": [TENSOR | {"parameters": {"binary_data_size": 432}}]}).encode(), b"{}"])
    | st.binary(max_size=50),
    binary=st.sampled_from([bytes(432), bytes(431), b""]) | st.binary(max_size=50),
    off=st.integers(-3, 3) | st.integers(-(10**6), 10**6),
    length=st.none() | header_values | st.integers(1, 6000).map(lambda digits: b"0" * 12 + b"9" * digits),
)
def test_arbitrary_binary_tensors_do_no_harm(
    client: httpx.Client, head: bytes, binary: bytes, off: int, length: bytes | None
) -> None:
    length = str(len(head) + off).encode() if length is None else length
    headers = {b"inference-header-content-length": length, b"content-type": b"application/octet-stream"}
    well_answered(client.post(INFER, content=head + binary, headers=headers))


def test_an_id_that_utf8_cannot_hold_comes_back_as_it_came(client: httpx.Client) -> None:
    answer = posted(client, INFER, {"inputs": [TENSOR | {"data": [0] * 432}], "id": "\ud800"})
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.content)["id"] == "\ud800"


@many
@given(
    name=st.sampled_from(
        [
            "x-request-id",
            "x-request-timeout-ms",
            "x-api-key",
            "authorization",
            "accept",
            "expect",
            "range",
            "te",
            "cookie",
        ]
    ),
    value=header_values | st.just(b"x" * 30_000),
)
def test_arbitrary_headers_do_no_harm(client: httpx.Client, name: str, value: bytes) -> None:
    harmless(client.post("/classify", content=ORIGINALS[0], headers={name.encode(): value}))


@pytest.fixture(scope="module")
def keyed(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "keys.toml").write_text(new_key("fuzz")[1])
    with (
        serving(bundle.path, folder / "log", "--keys", str(folder / "keys.toml")) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        yield client


@many
@given(
    scheme=st.sampled_from([b"Bearer ", b"bearer", b"Basic ", b""]),
    value=header_values,
    name=st.sampled_from([b"authorization", b"x-api-key"]),
)
def test_no_guess_at_a_key_comes_in(keyed: httpx.Client, scheme: bytes, value: bytes, name: bytes) -> None:
    answer = keyed.post("/classify", content=ORIGINALS[0], headers={name: (scheme + value).strip()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_json_takes_no_more_memory_than_some_times_its_bytes(bundle: Bundle, tmp_path: Path) -> None:
    """Made into values, 3 bytes of "[]," take 64; and of texts numpy gives each as much room as the longest."""
    lists = [b'{"images_b64":[' + item + (b"," + item) * 1_000_000 + b"]}" for item in (b"{}", b"[]", b'""', b"1e9")]
    texts = [
        json.dumps({"inputs": [TENSOR | {"data": ["x" * size] + [""] * 4000}]}).encode() for size in (5000, 100_000)
    ]
    with serving(bundle.path, tmp_path / "log") as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.post("/classify", content=ORIGINALS[0]).status_code == 200
        before = peak_mb(server)
        for body in lists:
            for path in ("/classify", "/classify/batch", INFER):
                assert posted(client, path, body).status_code == 400
        for body in texts:
            assert posted(client, INFER, body).status_code == 400
        assert peak_mb(server) - before < 40


def peak_mb(server: Server) -> float:
    """The most memory that the server has held."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3
