"""OpenTelemetry, if asked for: a span for each request, child of the caller's, with the image's stages on it.

Where spans go and what is sampled say OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER,
OTEL_SERVICE_NAME...).
"""

from __future__ import annotations

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import rgp


class Traced:
    """ASGI middleware around everything else; at the end of the service it sends what has not been sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # no variable says otherwise
            resource = resource.merge(Resource({SERVICE_NAME: "rgp-serve"}))
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("rgp.serve", rgp.__version__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request inside a span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            if scope["type"] == "lifespan":
                self._provider.shutdown()
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"]}
        with self._tracer.start_as_current_span(
            scope["method"], propagate.extract(headers), SpanKind.SERVER, attributes
        ) as span:

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(trace.StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, answer)
            state = scope.get("state", {})
            span.update_name(f"{scope['method']} {getattr(scope.get('route'), 'path', scope['path'])}")
            span.set_attribute("rgp.request_id", state.get("request_id", ""))
            for stage, ms in state.get("log", {}).get("timing_ms", {}).items():
                span.set_attribute(f"rgp.{stage}_ms", ms)
