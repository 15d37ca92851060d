"""The routes that tell: probes, what is served and how, how fast it is, and the exchange of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import rgp
from rgp.images import FORMATS, MAX_PIXELS
from rgp.serve.answers import EndToEnd, Error, Info, Lane, Latency, Limits, Loaded, Status
from rgp.serve.network import Network
from rgp.serve.service import Service
from rgp.serve.web import samples

UNREADY: dict[int | str, dict[str, Any]] = {503: {"model": Error, "description": "Not ready: see Retry-After"}}
KEYED: dict[int | str, dict[str, Any]] = {
    401: {"model": Error, "description": "No valid API key"},
    429: {"model": Error, "description": "The key's rate is used up: see Retry-After"},
}
EXCHANGE: dict[int | str, dict[str, Any]] = {
    **KEYED,
    403: {"model": Error, "description": "Not an admin's key"},
    409: {"model": Error, "description": "The bundle is bad, or there is none to go back to: nothing changed"},
    500: {"model": Error, "description": "Its engine fails: nothing changed"},
}
NO_LANE = Lane(on=False, pairs=0, budget=0, dropped={})
END_TO_END = "(median overhead + dense) / (median overhead + compiled); overhead: decoding, waiting and ranking, live"


def routes(service: Service) -> APIRouter:
    """Everything but classification and v2."""
    router = APIRouter()

    @router.get("/healthz", summary="The process lives")
    async def healthz() -> Status:
        return Status(status="ok")

    @router.get("/startupz", summary="A canary inference has been right once", responses=UNREADY)
    async def startupz() -> Status:
        if not service.models.started:
            service.refuse_unready()
        return Status(status="ok")

    @router.get("/readyz", summary="The last canary inference was right, and requests are welcome", responses=UNREADY)
    async def readyz() -> Status:
        service.refuse_unready()
        if service.draining:
            raise HTTPException(503, "not ready: the service is stopping", {"retry-after": "5"})
        return Status(status="ok")

    @router.get("/info", summary="What is served, and how", responses=KEYED)
    async def info() -> Info:
        return about(service, service.models.active)

    @router.get("/models", summary="The network that answers, and the one before it", responses=KEYED)
    async def models() -> Loaded:
        return service.models.loaded()

    @router.post("/models/reload", summary="Load the bundle's folder anew, and exchange it whole", responses=EXCHANGE)
    async def reload(request: Request) -> Loaded:
        service.keys.require_admin(request.state.key)
        return await service.models.reload()

    @router.post("/models/rollback", summary="Go back to the network before", responses=EXCHANGE)
    async def rollback(request: Request) -> Loaded:
        service.keys.require_admin(request.state.key)
        return await service.models.rollback()

    @router.get("/latency", summary="Dense against compiled, live and from the bundle; times by stage", responses=KEYED)
    async def latency() -> Latency:
        network = service.models.active
        lane = network.lane
        live = lane.live() if lane is not None else None
        end_to_end = None
        if live is not None and (recent := service.metrics.recent()):
            overhead = float(np.median([total - inference for inference, total in recent]))
            speedup = (overhead + live.dense_ms_p50) / (overhead + live.compiled_ms_p50)
            end_to_end = EndToEnd(speedup=speedup, overhead_ms_p50=overhead, method=END_TO_END)
        return Latency(
            live=live,
            bundle=list(network.figures),
            end_to_end=end_to_end,
            agreement=lane.agreement() if lane is not None else None,
            self_test=lane.self_test if lane is not None else None,
            lane=lane.state() if lane is not None else NO_LANE,
            recent=lane.recent() if lane is not None else [],
            stages_ms=service.metrics.percentiles(),
        )

    @router.get("/metrics", summary="For Prometheus", response_class=Response, responses=KEYED)
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


def about(service: Service, network: Network) -> Info:
    """The answer to ``GET /info``."""
    bundle, settings, report = network.bundle, service.settings, network.bundle.report
    return Info(
        **network.model.model_dump(),
        version=rgp.__version__,
        classes=len(bundle.labels),
        labels=list(bundle.labels),
        preprocess=network.preprocess.to_dict(),
        target=str(bundle.target),
        engine=network.engine.describe(),
        plan=network.plan,
        limits=Limits(
            max_body_bytes=settings.max_body_bytes,
            max_pixels=MAX_PIXELS,
            max_images=settings.max_images,
            max_waiting=service.gate.max_images,
            timeout_ms=settings.timeout_ms,
            formats=list(FORMATS),
        ),
        authentication=bool(service.keys),
        cost=report["cost"] if isinstance(report.get("cost"), dict) else {},
        has_graph="graph.svg" in bundle.files,
        samples=samples(bundle),
    )
