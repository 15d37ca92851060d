"""Several images in one request: each gets the answer it would get alone, or its own error, in order."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rgp.bundle import Bundle
from tests.serve.serving import serving
from tests.serve.test_life import in_background, running, until
from tests.serve.tiny import encoded, picture

MOST = 16
GOOD = [encoded(picture(mode, seed=seed), "PNG") for seed, mode in enumerate(("RGB", "L", "P", "RGBA", "LA", "1"))]
BAD = {
    "empty": (b"", "the image is empty"),
    "text": (b"hello", "not a JPEG, PNG or WebP image"),
    "cut off": (GOOD[0][:-30], "truncated or broken"),
    "bomb": (encoded(Image.new("1", (9000, 9000)), "PNG"), "9000 x 9000 pixels"),
}
KINDS = ["form", "JSON"]


def send(client: httpx.Client, kind: str, images: list[bytes], query: str = "", **headers: str) -> httpx.Response:
    path = f"/classify/batch{query}"
    if kind == "form":
        files = [("image", (f"{number}.png", image)) for number, image in enumerate(images)]
        return client.post(path, files=files, headers=headers)
    return client.post(path, json={"images_b64": [base64.b64encode(each).decode() for each in images]}, headers=headers)


def predictions(client: httpx.Client, image: bytes) -> Any:
    return client.post("/classify?top_k=7", content=image).json()["predictions"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 6, MOST])
def test_answers_come_in_order_and_equal_those_to_single_images_bit_for_bit(
    count: int, kind: str, client: httpx.Client
) -> None:
    images = (GOOD * 3)[:count]
    answer = send(client, kind, images, "?top_k=7")
    assert answer.status_code == 200, answer.text
    assert [each["predictions"] for each in answer.json()["results"]] == [predictions(client, each) for each in images]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_is_none_has_its_error_in_its_place_and_harms_no_other(kind: str, client: httpx.Client) -> None:
    images = [GOOD[0]]
    for (bad, _), good in zip(BAD.values(), GOOD[1:], strict=False):
        images += [bad, good]
    results = send(client, kind, images, "?top_k=7").json()["results"]
    for place, (_, message) in enumerate(BAD.values()):
        assert set(results[2 * place + 1]) == {"error"}
        assert message in results[2 * place + 1]["error"]
    assert [each["predictions"] for each in results[::2]] == [predictions(client, each) for each in images[::2]]


@settings(max_examples=25, deadline=None)
@given(
    images=st.lists(st.sampled_from([*GOOD, *(data for data, _ in BAD.values())]), min_size=1, max_size=MOST),
    kind=st.sampled_from(KINDS),
)
def test_any_mixture_is_answered_place_by_place(images: list[bytes], kind: str, client: httpx.Client) -> None:
    results = send(client, kind, images).json()["results"]
    assert ["predictions" in each for each in results] == [image in GOOD for image in images]


def test_all_may_be_bad_and_the_request_is_still_answered(client: httpx.Client) -> None:
    answer = send(client, "JSON", [b"x"] * 3)
    assert answer.status_code == 200
    assert [set(each) for each in answer.json()["results"]] == [{"error"}] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_says_which_network_how_long_and_what_dense_needs(
    kind: str, client: httpx.Client, bundle: Bundle
) -> None:
    answer = send(client, kind, GOOD[:2], **{"x-request-id": "a-batch"}).json()
    assert set(answer) == {"results", "timing_ms", "request_id", "model", "baseline"}
    assert answer["request_id"] == "a-batch"
    assert answer["model"]["sha256"] == bundle.sha256
    assert answer["baseline"]["source"] == "bundle"
    for result in answer["results"]:
        assert set(result) == {"predictions", "timing_ms"}
        assert len(result["predictions"]) == 5
        assert result["timing_ms"]["total"] <= answer["timing_ms"]["total"]


@pytest.mark.parametrize("count", [0, MOST + 1, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_none_and_too_many_are_400(kind: str, count: int, client: httpx.Client) -> None:
    answer = send(client, kind, [GOOD[0]] * count) if count or kind == "JSON" else empty_form(client)
    assert answer.status_code == 400, answer.text
    assert f"1 to {MOST}" in answer.json()["error"] or "parts" in answer.json()["error"]


def empty_form(client: httpx.Client) -> httpx.Response:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return client.post("/classify/batch", content=b"--b--\r\n", headers=headers)


def test_the_limit_is_a_setting(bundle: Bundle, tmp_path: Path) -> None:
    with (
        serving(bundle.path, tmp_path / "log", "--max-images", "2") as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert client.get("/info").json()["limits"]["max_images"] == 2
        for kind in KINDS:
            assert [send(client, kind, GOOD[:count]).status_code for count in (1, 2, 3)] == [200, 200, 400]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "no 'images_b64'"),
        (b"{}", "no 'images_b64'"),
        (b'{"image_b64": "AA=="}', "no 'images_b64'"),
        (b'{"images_b64": "AA=="}', "must be a list"),
        (b'{"images_b64": {}}', "must be a list"),
        (b'{"images_b64": [1]}', "holds int, not an image in base64"),
        (b'{"images_b64": [null]}', "holds NoneType, not an image in base64"),
        (b'{"images_b64": ["A"]}', "is not base64"),
        (b'{"images_b64": ["A A="]}', "is not base64"),
        ('{"images_b64": ["é"]}'.encode(), "is not base64"),
        (b'{"images_b64": ["\\ud800"]}', "is not base64"),
        (b'{"images_b64": ' + b"[" * 100_000, "JSON"),
        (b'{"images_b64": ' + b"9" * 5000 + b"}", "JSON"),
    ],
)
def test_json_that_holds_no_images_is_400(body: bytes, message: str, client: httpx.Client) -> None:
    answer = client.post("/classify/batch", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "text/plain", ""])
def test_a_single_image_as_the_body_is_415_here(kind: str, client: httpx.Client) -> None:
    answer = client.post("/classify/batch", content=GOOD[0], headers={"content-type": kind})
    assert answer.status_code == 415
    assert "multipart/form-data, application/json" in answer.json()["error"]


@pytest.mark.parametrize("top_k", ["0", "8", "x", ""])
def test_top_k_out_of_range_is_422_for_the_whole(top_k: str, client: httpx.Client) -> None:
    assert send(client, "form", GOOD[:1], f"?top_k={top_k}").status_code == 422


def test_all_its_images_count_at_the_gate_and_all_leave_it(bundle: Bundle) -> None:
    with running(bundle, max_waiting=4) as run, httpx.Client(base_url=run.url, timeout=60) as client:
        run.engine.open.clear()
        with in_background(lambda: send(client, "form", GOOD[:3])) as answers:
            until(lambda: run.service.gate.images == 3)
            refused = send(client, "JSON", GOOD[:2])
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert run.service.gate.images == 3
            run.engine.open.set()
        assert [answer.status_code for answer in answers] == [200]
        until(lambda: run.service.gate.images == 0)


def test_a_deadline_takes_back_all_that_wait(bundle: Bundle) -> None:
    with running(bundle, max_waiting=8) as run, httpx.Client(base_url=run.url, timeout=60) as client:
        run.engine.open.clear()
        late = send(client, "form", GOOD[:4], **{"x-request-timeout-ms": "2000"})
        assert late.status_code == 504
        run.engine.open.set()
        until(lambda: run.service.gate.images == 0)
        assert run.engine.images == 2  # the canary's, and the one that had begun
