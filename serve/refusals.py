"""Every error over HTTP is ``{"error": "<one line>"}`` with a status that says whose fault it is."""

from __future__ import annotations

import logging
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from rgp.errors import BundleError, ImageError, ImageTooLargeError, RgpError, UsageError
from rgp.serve.body import BodyTooLargeError, UpgradeRefusedError

LINGER_SECONDS = 2.0
GONE = 499
"""In the log only: no status of HTTP says that the client left."""

logger = logging.getLogger("rgp.serve")


def install(app: FastAPI) -> None:
    """Have ``app`` answer all its errors in this form."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        message = error.detail
        path = request.scope["path"]
        if error.status_code == 404 and message == "Not Found":
            message = f"no such path: {path}: see /openapi.json"
        elif error.status_code == 405:
            message = f"{request.method} is not allowed on {path}: use {headers.get('Allow', 'another')}"
        return _refused(request, error.status_code, message, headers)

    @app.exception_handler(BodyTooLargeError)
    async def body_too_large(request: Request, error: BodyTooLargeError) -> Response:
        if error.unread:
            content = _content(error.detail, request.state.request_id)
            return _LingeringResponse(content, error.status_code, {"connection": "close"})
        return _refused(request, error.status_code, error.detail)

    @app.exception_handler(UpgradeRefusedError)
    async def upgrade_refused(request: Request, error: UpgradeRefusedError) -> Response:
        content = _content(error.detail, request.state.request_id)
        return _LingeringResponse(content, error.status_code, {"connection": "close"}, until="http.disconnect")

    @app.exception_handler(RequestValidationError)
    async def invalid_parameter(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return _refused(request, 422, f"{first['loc'][-1]} is {first['input']!r:.80}: {first['msg']}")

    @app.exception_handler(RgpError)
    async def known_error(request: Request, error: RgpError) -> Response:
        if isinstance(error, ImageError):
            return _refused(request, 413 if isinstance(error, ImageTooLargeError) else 400, str(error))
        if isinstance(error, BundleError | UsageError):
            return _refused(request, 409, str(error))
        logger.error("%s", error)
        return _refused(request, 500, str(error))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return _refused(request, GONE, "the client left")  # nobody reads it


def refusal(status: int, message: str, request_id: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer with an error of one line."""
    return JSONResponse(_content(message, request_id), status, headers)


def _refused(request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return refusal(status, message, request.state.request_id, headers)


def _content(message: str, request_id: str) -> dict[str, Any]:
    return {"error": " ".join(message.split()), "request_id": request_id}


class _LingeringResponse(JSONResponse):
    """Answers at once, throws away what still comes of the request for a while, then closes the connection.

    Closing while the client still sends would reset the connection, and the client might lose the answer;
    reading to the end would let it send for ever. ``until``: the message after which nothing comes, if that is not the
    last piece of the body.
    """

    def __init__(self, content: Any, status: int, headers: dict[str, str], *, until: str = "") -> None:
        super().__init__(content, status, headers)
        self._until = until

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with anyio.move_on_after(LINGER_SECONDS):
            message = await receive()
            while message["type"] != self._until if self._until else message.get("more_body", False):
                message = await receive()
        await send({"type": "http.response.body", "body": b""})
