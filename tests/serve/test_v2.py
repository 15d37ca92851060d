"""The Open Inference Protocol v2, as NVIDIA's own client speaks it, and as it must not be spoken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray

from docs.reference import http
from rgp.bundle import Bundle
from rgp.engines.ort import OrtEngine
from tests.serve.serving import Server
from tests.serve.tiny import LABELS

NAME = "tiny-net"
INFER = f"/v2/models/{NAME}/infer"
SHAPE = [2, 12, 12, 3]
IMAGES = np.random.default_rng(0).integers(256, size=SHAPE, dtype=np.uint8)


@pytest.fixture(scope="module")
def client_of_triton(server: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(f"{server.host}:{server.port}") as client:
        yield client


@pytest.fixture(scope="module")
def expected(bundle: Bundle, engine: OrtEngine) -> NDArray[np.float32]:
    return np.concatenate([engine.run(image[np.newaxis]) for image in IMAGES])


def test_tritonclient_finds_it_live_ready_and_described(client_of_triton: Any) -> None:
    assert client_of_triton.is_server_live()
    assert client_of_triton.is_server_ready()
    assert client_of_triton.is_model_ready(NAME)
    assert client_of_triton.is_model_ready(NAME, "1")
    assert not client_of_triton.is_model_ready("another")
    assert client_of_triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert client_of_triton.get_model_metadata(NAME) == {
        "name": NAME,
        "versions": ["1"],
        "platform": "rgp_ort",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 12, 12, 3]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, len(LABELS)]}],
    }


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("images", [1, 2])
def test_tritonclient_gets_the_logits_bit_for_bit(
    images: int, binary_in: bool, binary_out: bool | None, client_of_triton: Any, expected: NDArray[np.float32]
) -> None:
    given = triton.InferInput("image", [images, *SHAPE[1:]], "UINT8")
    given.set_data_from_numpy(IMAGES[:images], binary_data=binary_in)
    outputs = None if binary_out is None else [triton.InferRequestedOutput("logits", binary_data=binary_out)]
    result = client_of_triton.infer(NAME, [given], request_id="42", outputs=outputs)
    np.testing.assert_array_equal(result.as_numpy("logits"), expected[:images])
    assert result.get_response()["id"] == "42"


def names(part: Any) -> Iterator[str]:
    for name, inner in part.items() if isinstance(part, dict) else ():
        yield name
        yield from names(inner)
    for inner in part if isinstance(part, list) else ():
        yield from names(inner)


def test_every_field_of_an_answer_stands_in_the_reference(client: httpx.Client) -> None:
    paths = ("/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{NAME}", f"/v2/models/{NAME}/ready")
    answers = [client.get(path).json() for path in paths] + [
        client.post(INFER, json=asked() | {"id": "1"}).json(),
        client.post(INFER, json=asked()).json(),
    ]
    binary = client.post(INFER, json=asked() | {"parameters": {"binary_data_output": True}})
    answers.append(json.loads(binary.content[: int(binary.headers["inference-header-content-length"])]))
    found, page = {name for answer in answers for name in names(answer)}, http.page()
    assert {"extensions", "ready", "datatype", "data", "binary_data_size", "id"} <= found
    assert [name for name in found if f"`{name}`" not in page] == []


def asked(**changed: Any) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 12, 12, 3], "data": IMAGES[0].tolist()}
    return {"inputs": [tensor | changed]}


def test_nested_and_flat_data_are_the_same(client: httpx.Client) -> None:
    answers = [
        client.post(INFER, json=asked(data=data)).json()["outputs"]
        for data in (IMAGES[0].tolist(), IMAGES[0].ravel().tolist(), [IMAGES[0].tolist()])
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0]["shape"] == [1, len(LABELS)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"3", "exactly one input"),
        ({}, "exactly one input"),
        ({"inputs": []}, "exactly one input"),
        ({"inputs": asked()["inputs"] * 2}, "exactly one input"),
        (asked(name="x"), "the input is 'x'"),
        (asked(datatype="FP32"), "of type 'FP32'"),
        (asked(shape=[1, 12, 12]), "shape is [1, 12, 12]"),
        (asked(shape=[0, 12, 12, 3]), "shape is [0"),
        (asked(shape=[17, 12, 12, 3]), "give [1 to 16, 12, 12, 3]"),
        (asked(shape=[1.0, 12, 12, 3]), "shape is [1.0"),
        (asked(shape="1"), "shape is '1'"),
        (asked(data=[1] * 431), "must be 432 whole numbers"),
        (asked(data=[256] * 432), "must be 432 whole numbers"),
        (asked(data=[-1] * 432), "must be 432 whole numbers"),
        (asked(data=[0.5] * 432), "must be 432 whole numbers"),
        (asked(data=["a"] * 432), "must be 432 whole numbers"),
        (asked(data=[[1], [1, 2]]), "must be 432 whole numbers"),
        (asked(data=[10**30] * 432), "must be 432 whole numbers"),
        (asked(data=None), "neither 'data' nor"),
        (asked(parameters={"binary_data_size": 432}), "0 bytes came"),
        (asked() | {"outputs": [{"name": "x"}]}, "only output is 'logits'"),
        (asked() | {"outputs": 3}, "only output is 'logits'"),
    ],
)
def test_a_request_that_is_none_is_400(body: Any, message: str, client: httpx.Client) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(INFER, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1000000", "9" * 100, ""])
def test_a_json_length_that_is_none_is_400(length: str, client: httpx.Client) -> None:
    answer = client.post(INFER, json=asked(), headers={"inference-header-content-length": length})
    assert answer.status_code == 400
    assert "inference-header-content-length is" in answer.json()["error"]


def test_binary_data_of_another_length_is_400(client: httpx.Client) -> None:
    head = json.dumps(asked(data=None, parameters={"binary_data_size": 432})).encode()
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    for binary, status in ((bytes(432), 200), (bytes(431), 400), (bytes(433), 400), (b"", 400)):
        assert client.post(INFER, content=head + binary, headers=headers).status_code == status


@pytest.mark.parametrize("path", ["/v2/models/x", "/v2/models/x/ready", f"/v2/models/{NAME}/versions/2"])
def test_another_model_is_404(path: str, client: httpx.Client) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert f"this serves '{NAME}', 1" in answer.json()["error"]
