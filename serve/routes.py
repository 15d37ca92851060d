"""The routes that classify: one image, or several in one request."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Query, Response
from starlette.requests import Request

from rgp.errors import ImageError
from rgp.serve.answers import Answer, BatchAnswer, Classification, Error, Failure, Timing, Total
from rgp.serve.body import (
    BASE64_FIELD,
    BASE64_FIELDS,
    BINARY,
    CURL,
    FIELD,
    IMAGE_TYPES,
    JSON,
    MULTIPART,
    check_headers,
    image_in,
    images_in,
)
from rgp.serve.service import Attempt, Service

_FILE = {"type": "string", "format": "binary", "description": "The image's file."}
_TEXT = {"type": "string", "format": "byte", "description": "The image's file in base64."}


def _object(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": [field], "properties": {field: schema}}}


ONE_IMAGE: dict[str, Any] = {
    "required": True,
    "description": "A JPEG, PNG or WebP file: as the body itself, as the file of one form field, or base64 in JSON.",
    "content": {kind: {"schema": _FILE} for kind in (*IMAGE_TYPES, BINARY)}
    | {MULTIPART: _object(FIELD, _FILE), JSON: _object(BASE64_FIELD, _TEXT)},
}
SEVERAL_IMAGES: dict[str, Any] = {
    "required": True,
    "description": "JPEG, PNG or WebP files: form fields of one name, or a list of base64 texts in JSON.",
    "content": {
        MULTIPART: _object(FIELD, {"type": "array", "items": _FILE, "description": "A field for each image."}),
        JSON: _object(
            BASE64_FIELDS, {"type": "array", "items": _TEXT, "minItems": 1, "description": "A text for each image."}
        ),
    },
}
REFUSALS = {
    400: "No image: empty, of another format, truncated, or a form or JSON without it",
    401: "No valid API key",
    408: "The body came too slowly",
    413: "A body or an image that is too large",
    415: "A content type or content encoding that is not accepted",
    422: "top_k or a header is out of range",
    429: "Overloaded, or the key's rate is used up: see Retry-After",
    500: "The engine failed",
    503: "Not ready: see Retry-After",
    504: "The deadline passed",
}
DESCRIBED: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": text} for status, text in REFUSALS.items()
}
STAGES: dict[str, Any] = {
    "server-timing": {
        "description": "timing_ms as browsers draw it: STAGE;dur=MILLISECONDS, separated by commas.",
        "required": True,
        "schema": {"type": "string"},
    }
}


def routes(service: Service) -> APIRouter:
    """``POST /classify`` and ``POST /classify/batch``."""
    router = APIRouter()
    classes, settings = len(service.models.active.bundle.labels), service.settings
    top_k_parameter = Query(min(5, classes), ge=1, le=classes, description="How many classes to name.")

    @router.post(
        "/classify",
        summary="Name the most probable classes of one image",
        responses={200: {"headers": STAGES}, **DESCRIBED},
        openapi_extra={"requestBody": ONE_IMAGE},
    )
    async def classify_image(request: Request, response: Response, top_k: int = top_k_parameter) -> Answer:
        deadline = service.deadline(request)
        check_headers(request.headers, settings.max_body_bytes, (*IMAGE_TYPES, BINARY, MULTIPART, JSON, CURL, ""))
        body = await service.body(request, settings.max_body_bytes)
        attempt, network = Attempt(), service.models.active
        place, release = service.gate.enter(), network.hold()

        async def work() -> Classification:
            try:
                return await service.classify(attempt, network, partial(image_in, body, request.headers), top_k)
            finally:
                place()
                release()

        result = await service.heard(request, deadline, attempt, work())
        response.headers["server-timing"] = server_timing(result.timing_ms)
        request.state.log = {"timing_ms": result.timing_ms.model_dump(), "bytes": len(body)}
        return Answer(
            predictions=result.predictions,
            timing_ms=result.timing_ms,
            request_id=request.state.request_id,
            model=network.model,
            baseline=network.baseline(),
        )

    @router.post(
        "/classify/batch",
        summary="Name the most probable classes of several images",
        responses=DESCRIBED,
        openapi_extra={"requestBody": SEVERAL_IMAGES},
    )
    async def classify_images(request: Request, top_k: int = top_k_parameter) -> BatchAnswer:
        deadline = service.deadline(request)
        limit = settings.max_body_bytes * min(settings.max_images, 4)
        check_headers(request.headers, limit, (MULTIPART, JSON))
        body = await service.body(request, limit)
        started, attempt, network = time.perf_counter_ns(), Attempt(), service.models.active
        place, release = service.gate.enter(), network.hold()

        async def one(image: bytes) -> Classification | Failure:
            try:
                return await service.classify(attempt, network, lambda: image, top_k)
            except ImageError as error:
                return Failure(error=str(error))

        async def work() -> list[Classification | Failure]:
            try:
                read = partial(images_in, body, request.headers, settings.max_images)
                images = await service.on_thread(attempt, read)
                place.become(len(images))
                found = await asyncio.gather(*(one(image) for image in images), return_exceptions=True)
            finally:
                place()
                release()
            for result in found:
                if isinstance(result, BaseException):
                    raise result
            return found  # type: ignore[return-value]  # no exceptions are left

        results = await service.heard(request, deadline, attempt, work())
        request.state.log = {"images": len(results), "bytes": len(body)}
        return BatchAnswer(
            results=results,
            timing_ms=Total(total=(time.perf_counter_ns() - started) / 1e6),
            request_id=request.state.request_id,
            model=network.model,
            baseline=network.baseline(),
        )

    return router


def server_timing(timing: Timing) -> str:
    """The header Server-Timing (W3C): browsers draw it."""
    return ", ".join(f"{stage};dur={ms:.3f}" for stage, ms in timing.model_dump().items())
