"""What happens to every request and answer: an id, the caller's key, headers of safety, a line of log, a count."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rgp.serve.refusals import refusal
from rgp.serve.service import Service

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
OPEN = (
    "/",
    "/healthz",
    "/startupz",
    "/readyz",
    "/openapi.json",
    "/graph.svg",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
)
"""Paths that need no key: probes, and the page, which asks for the key itself."""
OPEN_FOLDERS = ("/static/", "/samples/")
CLASSIFY = ("/classify", "/classify/batch")
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"

logger = logging.getLogger("rgp.serve")


class Door:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything that is none (lifespan) goes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, started = Headers(scope=scope), time.perf_counter_ns()
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope  # uvicorn leaves out its body
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            if (refused := self._refused(inner, headers, state)) is not None:
                await refusal(refused.status_code, refused.detail, request_id, dict(refused.headers or {}))(
                    scope, receive, answer
                )
            else:
                await self._app(inner, receive, answer)
        except Exception:  # ours: nothing in the app should let one through
            logger.exception("internal error", extra={"fields": {"request_id": request_id}})
            if status:
                raise
            await refusal(500, "internal error: see the service's log", request_id)(scope, receive, answer)
        finally:
            self._count(inner, scope["method"], status, (time.perf_counter_ns() - started) / 1e6)

    def _refused(self, scope: Scope, headers: Headers, state: dict[str, Any]) -> HTTPException | None:
        path = scope["path"]
        if path in OPEN or path.startswith(OPEN_FOLDERS):
            return None
        try:
            state["key"] = self._service.keys.admit(headers)
        except HTTPException as error:
            if error.status_code == 429:
                self._service.metrics.refused("rate")
            return error
        if scope["method"] == "POST" and path in CLASSIFY:  # here, since under overload every other step costs too much
            try:
                self._service.gate.refuse_if_full()
            except HTTPException as error:
                return error
        return None

    def _mark(self, headers: MutableHeaders, request_id: str) -> None:
        headers["x-request-id"] = request_id
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "no-referrer"
        headers.setdefault("content-security-policy", NO_PAGE)
        headers.setdefault("cache-control", "no-store")
        if self._service.draining:
            headers["connection"] = "close"  # the next request goes to somebody else

    def _count(self, scope: Scope, method: str, status: int, ms: float) -> None:
        # as declared: paths that are none must not fill memory
        route = scope["path"] if scope["path"] in CLASSIFY else getattr(scope.get("route"), "path", "other")
        self._service.metrics.request(route, status, ms)
        key = scope["state"].get("key")
        fields = {
            "request_id": scope["state"]["request_id"],
            "method": method,
            "path": scope["path"],
            "status": status,
            "ms": round(ms, 3),
            "client": scope["client"][0] if scope.get("client") else None,
            **({"key": key.name} if key else {}),
            **scope["state"].get("log", {}),
        }
        logger.info("request", extra={"fields": fields})
