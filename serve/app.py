"""The service's routes: ``POST /classify``, the probes, and ``/openapi.json`` that describes them exactly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import FastAPI, Query
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request

import rgp
from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.environment import available_cores
from rgp.errors import RgpError
from rgp.serve import refusals
from rgp.serve.answers import Answer, Error, Model, Status
from rgp.serve.baseline import measured
from rgp.serve.body import BINARY, FIELD, IMAGE_TYPES, MULTIPART, check_headers, image_in, read_body
from rgp.serve.classify import canary, classify

MAX_BODY_BYTES = 16 << 20

_FILE = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: _FILE}}
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "description": "A JPEG, PNG or WebP file: as the body itself, or as the file of one form field.",
    "content": {kind: {"schema": _FILE} for kind in (*IMAGE_TYPES, BINARY)} | {MULTIPART: {"schema": _FORM}},
}
REFUSALS = {
    400: "No image: empty, of another format, truncated, or a form without it",
    413: "A body or an image that is too large",
    415: "A content type or content encoding that is not accepted",
    422: "top_k is out of range",
    500: "The engine failed",
    503: "Not ready",
}


def create_app(bundle: Bundle, engine: Engine, *, max_body_bytes: int = MAX_BODY_BYTES) -> FastAPI:
    """Build the service for one bundle; ``engine`` runs its ``compiled.onnx``.

    Raises BundleError if the bundle's report is malformed.
    """
    model = Model(name=bundle.name, architecture=bundle.architecture, sha256=bundle.sha256)
    baseline = measured(bundle)
    classes = len(bundle.labels)
    workers = anyio.CapacityLimiter(available_cores())  # decoding and inference never run on the event loop
    problem: str | None = "the canary inference has not run yet"

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        nonlocal problem
        try:
            await anyio.to_thread.run_sync(canary, bundle, engine, limiter=workers)
            problem = None
        except RgpError as error:
            problem = str(error)
            refusals.logger.error("not ready: %s", problem)
        yield

    def refuse_unready() -> None:
        if problem is not None:
            raise HTTPException(503, f"not ready: {problem}")

    def answer(body: bytes, headers: Headers, top_k: int) -> Answer:
        result = classify(bundle, engine, image_in(body, headers), top_k)
        return Answer(model=model, predictions=result.predictions, timing_ms=result.timing_ms, baseline=baseline)

    # The interactive pages would load scripts from elsewhere; /openapi.json says the same.
    app = FastAPI(
        title="rgp-serve",
        version=rgp.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    refusals.install(app)
    top_k_parameter = Query(min(5, classes), ge=1, le=classes, description="How many classes to name.")

    @app.post(
        "/classify",
        summary="Name the most probable classes of one image",
        responses={status: {"model": Error, "description": text} for status, text in REFUSALS.items()},
        openapi_extra={"requestBody": REQUEST_BODY},
    )
    async def classify_image(request: Request, top_k: int = top_k_parameter) -> Answer:
        check_headers(request.headers, max_body_bytes)
        refuse_unready()
        body = await read_body(request, max_body_bytes)
        return await anyio.to_thread.run_sync(answer, body, request.headers, top_k, limiter=workers)

    @app.get("/healthz", summary="The process lives")
    async def healthz() -> Status:
        return Status(status="ok")

    @app.get(
        "/readyz",
        summary="The canary inference at start was right",
        responses={503: {"model": Error, "description": REFUSALS[503]}},
    )
    async def readyz() -> Status:
        refuse_unready()
        return Status(status="ok")

    return app
