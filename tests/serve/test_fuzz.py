"""Whatever bytes come, the answer is a 2xx or a 4xx, in JSON."""

from __future__ import annotations

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

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
many = settings(max_examples=150, deadline=None)


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
