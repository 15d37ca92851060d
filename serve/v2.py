"""The Open Inference Protocol v2, as Triton and KServe speak it: tensors in, logits out, JSON or binary.

https://github.com/kserve/open-inference-protocol and Triton's binary extension: the body is JSON, then the tensors'
bytes; the header Inference-Header-Content-Length says how long the JSON is. The model takes one input, "image", UINT8
(batch, size, size, channels), as ``rgp.preprocess`` makes it, and gives one output, "logits", FP32 (batch, classes).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import rgp
from rgp.serve.body import BINARY, JSON, check_headers, json_in
from rgp.serve.network import Network
from rgp.serve.queue import Inferred
from rgp.serve.service import Attempt, Service

JSON_LENGTH = "inference-header-content-length"
INPUT, OUTPUT = "image", "logits"
MOST_BESIDE_NUMBERS = 1000  # values of the JSON that are no pixels


def routes(service: Service) -> APIRouter:
    """``/v2``, its probes, and its models; not in /openapi.json, since the protocol has a description of its own."""
    router = APIRouter(prefix="/v2", include_in_schema=False)

    def network(name: str, version: str = "1") -> Network:
        active = service.models.active
        if name not in (active.model.name, active.model.architecture, "default") or version != "1":
            raise HTTPException(
                404, f"no such model: '{name:.80}' version {version:.80}: this serves '{active.model.name}', 1"
            )
        return active

    @router.get("")
    async def server() -> dict[str, Any]:
        """What serves: `name`, `version` (of rgp), `extensions` to the protocol."""
        return {"name": "rgp-serve", "version": rgp.__version__, "extensions": ["binary_tensor_data"]}

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        """The process lives: `live` is true."""
        return {"live": True}

    @router.get("/health/ready")
    async def ready() -> dict[str, bool]:
        """Requests are welcome: `ready` is true; else 503."""
        service.refuse_unready()
        if service.draining:
            raise HTTPException(503, "not ready: the service is stopping", {"retry-after": "5"})
        return {"ready": True}

    @router.get("/models/{name}/ready")
    @router.get("/models/{name}/versions/{version}/ready")
    async def model_ready(name: str, version: str = "1") -> dict[str, Any]:
        """The network answers right: its `name`, and `ready` is true; else 503."""
        found = network(name, version)
        service.refuse_unready()
        return {"name": found.model.name, "ready": True}

    @router.get("/models/{name}")
    @router.get("/models/{name}/versions/{version}")
    async def metadata(name: str, version: str = "1") -> dict[str, Any]:
        """The network: `name`, `versions`, `platform`; of `inputs` and `outputs` each `name`, `datatype`, `shape`."""
        found = network(name, version)
        return {
            "name": found.model.name,
            "versions": ["1"],
            "platform": f"rgp_{found.bundle.target.engine}",
            "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, *_shape(found)]}],
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(found.bundle.labels)]}],
        }

    @router.post("/models/{name}/infer")
    @router.post("/models/{name}/versions/{version}/infer")
    async def infer(request: Request, name: str, version: str = "1") -> Response:
        """Run a batch.

        The request has `inputs`, one with `name`, `datatype`, `shape` and `data`, or `parameters` with
        `binary_data_size`; it may have an `id`, and `outputs`, one with `name` and `parameters`, whose `binary_data`
        asks for bytes, as `binary_data_output` in the request's own `parameters` does. The answer has `model_name`,
        `model_version`, the `id`, and `outputs`, one with `name`, `datatype`, `shape`, and `data` or `parameters`.
        """
        found, deadline = network(name, version), service.deadline(request)
        limit = service.settings.max_body_bytes
        check_headers(request.headers, limit, (JSON, BINARY, ""))
        body = await service.body(request, limit)
        attempt = Attempt()

        def read() -> tuple[dict[str, Any], NDArray[np.uint8]]:
            return _read(body, request.headers.get(JSON_LENGTH), _shape(found), service.settings.max_images)

        found = network(name, version)  # again: the body may have taken long
        place, release = service.gate.enter(), found.hold()

        async def work() -> tuple[dict[str, Any], Inferred]:
            try:
                asked, pixels = await service.on_thread(attempt, read)
                place.become(len(pixels))
                return asked, await service.infer(attempt, found, pixels)
            finally:
                place()
                release()

        asked, inferred = await service.heard(request, deadline, attempt, work())
        images = len(inferred.logits)
        request.state.log = {"images": images, "bytes": len(body), "inference_ms": inferred.inference_ms}
        return _answer(asked, inferred.logits, found)

    return router


def _shape(network: Network) -> tuple[int, int, int]:
    preprocess = network.preprocess
    return preprocess.size, preprocess.size, preprocess.channels


def _read(
    body: bytes, json_length: str | None, shape: tuple[int, ...], most: int
) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The request's JSON, and its input (batch, *shape) uint8; raises HTTPException 400."""
    if json_length is not None and not (re.fullmatch("[0-9]{1,12}", json_length) and int(json_length) <= len(body)):
        _bad(f"{JSON_LENGTH} is {json_length!r:.40} for a body of {len(body)} bytes")
    cut = len(body) if json_length is None else int(json_length)
    asked = json_in(body[:cut], MOST_BESIDE_NUMBERS + 2 * most * math.prod(shape))
    inputs = asked.get("inputs") if isinstance(asked, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        _bad(f"give exactly one input, '{INPUT}'")
    (given,) = inputs
    if given.get("name") != INPUT or given.get("datatype") != "UINT8":
        _bad(f"the input is {given.get('name')!r:.80} of type {given.get('datatype')!r:.20}: give '{INPUT}', UINT8")
    sides = given.get("shape")
    if not _whole(sides) or list(sides[1:]) != list(shape) or not 1 <= sides[0] <= most:
        _bad(f"the input's shape is {sides!r:.80}: give [1 to {most}, {', '.join(map(str, shape))}]")
    outputs = asked.get("outputs", [])
    if not isinstance(outputs, list) or any(
        not isinstance(each, dict) or each.get("name") != OUTPUT for each in outputs
    ):
        _bad(f"the only output is '{OUTPUT}'")
    return asked, _tensor(given, body[cut:], math.prod(sides)).reshape(sides)


def _tensor(given: dict[str, Any], binary: bytes, count: int) -> NDArray[np.uint8]:
    size = _parameters(given).get("binary_data_size")
    if size is not None:
        if size != count or len(binary) != count:
            _bad(f"binary_data_size is {size!r:.40}, {len(binary)} bytes came, the shape has {count}")
        return np.frombuffer(binary, np.uint8)
    data = given.get("data")
    if binary or not isinstance(data, list):
        _bad("the input has neither 'data' nor 'binary_data_size'")
    try:  # as objects: of texts, numpy would make an array in which each takes as much as the longest
        numbers = bytes(np.array(data, dtype=object).ravel().tolist())
        if len(numbers) != count:
            raise ValueError(f"{len(numbers)} came")
    except (TypeError, ValueError) as error:
        _bad(f"'data' must be {count} whole numbers from 0 to 255: {error}")
    return np.frombuffer(numbers, np.uint8)


def _answer(asked: dict[str, Any], logits: NDArray[np.float32], network: Network) -> Response:
    outputs = asked.get("outputs") or [{}]
    wanted = _parameters(outputs[0]).get("binary_data", _parameters(asked).get("binary_data_output", False))
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "FP32", "shape": list(logits.shape)}
    answer: dict[str, Any] = {"model_name": network.model.name, "model_version": "1", "outputs": [output]}
    if isinstance(asked.get("id"), str):
        answer["id"] = asked["id"]
    if wanted is not True:
        output["data"] = logits.ravel().tolist()
        return Response(json.dumps(answer), media_type=JSON)  # ASCII: an id may hold what UTF-8 cannot
    output["parameters"] = {"binary_data_size": logits.nbytes}
    head = json.dumps(answer).encode()
    return Response(head + logits.astype("<f4").tobytes(), media_type=BINARY, headers={JSON_LENGTH: str(len(head))})


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    found = given.get("parameters", {})
    return found if isinstance(found, dict) else {}


def _whole(sides: Any) -> bool:
    return isinstance(sides, list) and len(sides) == 4 and all(type(side) is int for side in sides)


def _bad(message: str) -> NoReturn:
    raise HTTPException(400, message)
