"""The page at ``/``: its files, the bundle's sample images and drawing of the graph. Nothing comes from elsewhere."""

from __future__ import annotations

import mimetypes
from importlib.resources import files

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from rgp.bundle import Bundle
from rgp.serve.service import Service

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SAMPLE_TYPES = ("image/jpeg", "image/png", "image/webp")


def samples(bundle: Bundle) -> list[str]:
    """Names of the bundle's images to try: its files ``sample-*`` of a type that the service takes."""
    return sorted(
        name for name in bundle.files if name.startswith("sample-") and mimetypes.guess_type(name)[0] in SAMPLE_TYPES
    )


def routes(service: Service) -> APIRouter:
    """The page and what it shows. Not part of the API, so not in /openapi.json."""
    router = APIRouter(include_in_schema=False)
    page = {
        entry.name: entry.read_bytes()
        for entry in (files("rgp.serve") / "page").iterdir()
        if entry.name.endswith(tuple(TYPES))
    }

    def static(name: str) -> Response:
        suffix = name[name.rfind(".") :]
        if name not in page or suffix not in TYPES:
            raise HTTPException(404)
        return Response(page[name], media_type=TYPES[suffix], headers={"content-security-policy": CSP})

    @router.get("/")
    async def index() -> Response:
        """The page."""
        return static("index.html")

    @router.get("/static/{name}")
    async def static_file(name: str) -> Response:
        """A file of the page."""
        return static(name)

    @router.get("/samples/{name}")
    async def sample(name: str) -> Response:
        """An image to try, as `GET /info` names them."""
        bundle = service.models.active.bundle
        if name not in samples(bundle):
            raise HTTPException(404)
        return Response(bundle.files[name], media_type=mimetypes.guess_type(name)[0])

    @router.get("/graph.svg")
    async def graph() -> Response:
        """A drawing of the graph; 404 where the bundle has none."""
        found = service.models.active.bundle.files.get("graph.svg")
        if found is None:
            raise HTTPException(404, "this bundle has no drawing of its graph")
        return Response(found, media_type="image/svg+xml")

    return router
