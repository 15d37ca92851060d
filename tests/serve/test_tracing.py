"""Traces reach a real OTLP collector: one span a request, child of the caller's, with its stages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rgp.bundle import Bundle
from tests.serve.serving import serving
from tests.serve.tiny import encoded, picture

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join(30)


def test_a_request_is_a_span_with_its_stages(
    collector: tuple[str, list[ExportTraceServiceRequest]],
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with serving(bundle.path, tmp_path / "log", "--otel") as server:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
        answer = httpx.post(f"{server.url}/classify", content=encoded(picture(), "JPEG"), headers=headers)
        httpx.get(f"{server.url}/nowhere")
        assert server.stop() == 0  # what was not sent yet is sent at the end
    resources = [resource for request in received for resource in request.resource_spans]
    names = {a.value.string_value for each in resources for a in each.resource.attributes if a.key == "service.name"}
    assert names == {"rgp-serve"}
    spans = {span.name: span for each in resources for scope in each.scope_spans for span in scope.spans}
    assert set(spans) == {"POST /classify", "GET /nowhere"}
    span = spans["POST /classify"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    found = {a.key: a.value for a in span.attributes}
    assert found["rgp.request_id"].string_value == "mine"
    assert found["http.response.status_code"].int_value == 200
    assert found["rgp.total_ms"].double_value == answer.json()["timing_ms"]["total"]
