"""The app: the parts wired, in the order in which a request meets them. ``/openapi.json`` describes them exactly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

import rgp
from rgp.serve import about, refusals, routes, v2, web
from rgp.serve.door import Door
from rgp.serve.headers import describe
from rgp.serve.service import Service

logger = logging.getLogger("rgp.serve")


def create_app(service: Service) -> FastAPI:
    """Build the ASGI app. Its start-up runs the canary; its shutdown lets what was accepted end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.models.check()
        watch = asyncio.create_task(_watch(service))
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            service.close()

    # The interactive pages would load scripts from elsewhere; /openapi.json says the same.
    app = _Described(
        title="rgp-serve",
        version=rgp.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[*_tracing(service), Middleware(Door, service=service)],
    )
    refusals.install(app)
    for part in (routes, v2, about, web):
        app.include_router(part.routes(service))
    return app


class _Described(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document, headers and keys included."""
        if self.openapi_schema is None:
            self.openapi_schema = describe(super().openapi())
        return self.openapi_schema


def _tracing(service: Service) -> list[Middleware]:
    if not service.settings.otel:
        return []
    from rgp.serve.tracing import Traced  # the extra otel brings it

    return [Middleware(Traced)]


async def _watch(service: Service) -> None:
    """The canary, again and again: an engine that breaks makes the service unready, one that recovers ready."""
    while service.settings.canary_seconds:
        await asyncio.sleep(service.settings.canary_seconds)
        await service.models.check()
