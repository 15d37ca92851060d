"""What every request and answer has in common: ids, keys, headers of safety, one line of log, exact counts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from docs.reference.figures import figures
from rgp.bundle import Bundle
from rgp.serve.door import NO_PAGE
from rgp.serve.keys import new_key
from rgp.serve.web import CSP
from tests.serve.serving import Server, app_of, ask, logged, serving
from tests.serve.tiny import LABELS, encoded, picture

JPEG = encoded(picture(), "JPEG")
STAGES = {"queue", "decode", "preprocess", "inference", "total"}
ANSWERS = [
    ("GET", "/healthz", b"", 200),
    ("GET", "/metrics", b"", 200),
    ("GET", "/openapi.json", b"", 200),
    ("GET", "/v2", b"", 200),
    ("GET", "/nowhere", b"", 404),
    ("GET", "/samples/none.jpg", b"", 404),
    ("GET", "/classify", b"", 405),
    ("POST", "/models/reload", b"", 403),
    ("POST", "/classify", JPEG, 200),
    ("POST", "/classify", b"x", 400),
    ("POST", "/classify?top_k=0", JPEG, 422),
    ("POST", "/classify", bytes(300_001), 413),
]
TRANSPORT = {"date", "content-length", "content-type", "connection", "allow"}


@pytest.fixture(scope="module")
def alone(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that nobody else asks: its counts are known."""
    with serving(bundle.path, tmp_path_factory.mktemp("door") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def caller(alone: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=alone.url, timeout=30) as client:
        yield client


def samples(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def test_every_figure_stands_in_the_reference(client: httpx.Client) -> None:
    client.post("/classify", content=JPEG)
    families = text_string_to_metric_families(client.get("/metrics").text)
    found = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    described = {row[0].strip("`") for row in figures()}
    assert len(found & described) > 10
    assert {name for name in found - described if not name.endswith("_created")} == set()


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0)


def log_line(server: Server, request_id: str) -> dict[str, Any]:
    (line,) = logged(server, f'"{request_id}"')
    entry: dict[str, Any] = json.loads(line)
    return entry


@pytest.mark.parametrize("given", ["a", "A-z_0.9", "x" * 128, "-" * 3, "0123"])
def test_a_request_id_that_is_one_is_echoed_in_header_body_and_log(
    given: str, server: Server, client: httpx.Client
) -> None:
    good = client.post("/classify", content=JPEG, headers={"x-request-id": given})
    assert good.headers["x-request-id"] == good.json()["request_id"] == given
    bad = client.post("/classify", content=b"x", headers={"x-request-id": given})
    assert bad.headers["x-request-id"] == bad.json()["request_id"] == given
    assert logged(server, f'"{given}"')


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb", "a;b", "é", "a/b", '"', "a,b"])
def test_any_other_gets_a_new_one(given: str, client: httpx.Client) -> None:
    headers = {b"x-request-id": given.encode("latin-1")}
    answers = [client.post("/classify", content=JPEG, headers=headers) for _ in range(2)]
    made = {answer.headers["x-request-id"] for answer in answers}
    assert made == {answer.json()["request_id"] for answer in answers}
    assert len(made) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


@settings(max_examples=50, deadline=None)
@given(given=st.binary(max_size=140).map(bytes.strip).filter(lambda text: not set(text) & {*range(0x20), 0x7F}))
def test_whatever_id_comes_the_one_that_goes_back_is_safe_to_print(given: bytes, client: httpx.Client) -> None:
    answer = client.get("/healthz", headers={b"x-request-id": given})
    assert re.fullmatch("[A-Za-z0-9._-]{1,128}", answer.headers["x-request-id"])


@pytest.mark.parametrize(("method", "path", "body", "status"), ANSWERS)
def test_every_kind_of_answer_has_an_id_and_the_headers_of_safety(
    method: str, path: str, body: bytes, status: int, client: httpx.Client
) -> None:
    answer = client.request(method, path, content=body)
    assert answer.status_code == status
    marked(answer)
    assert answer.headers["content-security-policy"] == NO_PAGE
    described = client.get("/openapi.json").json()["components"]["headers"].keys() | {"server-timing"}
    assert set(answer.headers) - described <= TRANSPORT


def marked(answer: httpx.Response) -> None:
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/static/index.html"])
def test_the_page_may_load_what_is_its_own_and_nothing_else(path: str, client: httpx.Client) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    marked(answer)
    assert answer.headers["content-security-policy"] == CSP


class BreaksAfterTheCanary:
    """An engine with a bug of ours in it."""

    def __init__(self) -> None:
        self._well = True

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not self._well:
            raise ZeroDivisionError("secret")
        self._well = False
        return np.zeros((len(images), len(LABELS)), np.float32)

    def describe(self) -> dict[str, str | int]:
        return {}


def test_an_answer_to_our_own_bug_has_them_too_and_is_counted_and_logged_as_500(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "rgp.serve"):
        app = app_of(bundle, BreaksAfterTheCanary())
        answer, counts = ask(app, ("POST", "/classify", JPEG), ("GET", "/metrics", b""))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    marked(answer)
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert 'rgp_requests_total{route="/classify",status="500"} 1.0' in counts.text
    fields = [record.__dict__["fields"] for record in caplog.records if record.message == "request"]
    assert [entry["status"] for entry in fields if entry["path"] == "/classify"] == [500]


def test_a_request_is_one_line_of_json_with_its_fields(server: Server, client: httpx.Client) -> None:
    headers = {"x-request-id": "one-line", "authorization": "Bearer secret-key", "cookie": "secret-cookie"}
    client.post("/classify?top_k=2&token=secret-query", content=JPEG, headers=headers)
    entry = log_line(server, "one-line")
    assert set(entry) == {
        *("time", "level", "message", "request_id", "method", "path", "status", "ms", "client", "timing_ms", "bytes")
    }
    expected = {"method": "POST", "path": "/classify", "status": 200, "client": "127.0.0.1", "bytes": len(JPEG)}
    assert expected.items() <= entry.items()
    assert set(entry["timing_ms"]) == STAGES
    assert 0 < entry["timing_ms"]["total"] <= entry["ms"]
    assert "secret" not in server.log.read_text()


@pytest.mark.parametrize("path", ["/a%0Ab", "/a%0D%0Ab", "/a%00b", "/%ff%fe", "/%C3%A9", "/%1b[31m", "/%E2%80%A8"])
def test_no_path_breaks_the_log_into_lines_or_out_of_ascii(path: str, server: Server, client: httpx.Client) -> None:
    request_id = "path-" + re.sub("[^A-Za-z0-9]", "-", path)
    answer = client.get(path, headers={"x-request-id": request_id})
    assert answer.status_code == 404
    assert log_line(server, request_id)["status"] == 404
    assert server.log.read_bytes().isascii()
    assert all(line >= " " or line == "\n" for line in server.log.read_text())


def test_histograms_count_each_image_and_request_once_in_milliseconds(caller: httpx.Client) -> None:
    before = samples(caller)
    timings = [caller.post("/classify", content=JPEG).json()["timing_ms"] for _ in range(5)]
    caller.post("/classify", content=b"no image")
    results = caller.post("/classify/batch", files=[("image", JPEG), ("image", b"x"), ("image", JPEG)]).json()
    timings += [each["timing_ms"] for each in results["results"] if "timing_ms" in each]
    after = samples(caller)

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert len(timings) == 7
    for stage in STAGES:
        assert grown("rgp_stage_milliseconds_count", stage=stage) == 7
        assert grown("rgp_stage_milliseconds_bucket", stage=stage, le="+Inf") == 7
        assert grown("rgp_stage_milliseconds_sum", stage=stage) == pytest.approx(
            sum(timing[stage] for timing in timings)
        )
    assert grown("rgp_requests_total", route="/classify", status="200") == 5
    assert grown("rgp_requests_total", route="/classify", status="400") == 1
    assert grown("rgp_requests_total", route="/classify/batch", status="200") == 1
    assert grown("rgp_request_milliseconds_count", route="/classify") == 6
    assert grown("rgp_batch_images_sum") == 7
    assert value(after, "rgp_images_in_work") == value(after, "rgp_queue_depth") == 0
    assert value(after, "rgp_ready") == 1


def test_buckets_only_grow_from_one_to_the_next(caller: httpx.Client) -> None:
    caller.post("/classify", content=JPEG)
    for stage in STAGES:
        buckets = sorted(
            (float(dict(labels)["le"]), count)
            for (name, labels), count in samples(caller).items()
            if name == "rgp_stage_milliseconds_bucket" and dict(labels)["stage"] == stage
        )
        counts = [count for _, count in buckets]
        assert counts == sorted(counts)
        assert counts[-1] == value(samples(caller), "rgp_stage_milliseconds_count", stage=stage)


def test_unknown_paths_and_methods_make_no_new_label(caller: httpx.Client) -> None:
    def labels() -> set[tuple[str, frozenset[tuple[str, str]]]]:
        return {key for key in samples(caller) if key[0].startswith("rgp_request")}

    caller.get("/nowhere")
    caller.request("BREW", "/classify")
    caller.get("/samples/none")
    caller.get("/v2/models/none")
    caller.get("/static/none")
    caller.get("/healthz")
    caller.get("/v2/models/tiny-net/versions/2/ready")
    caller.get("/metrics")
    known = labels()
    for number in range(20):
        caller.get(f"/nowhere/{number}")
        caller.request(f"BREW{number}", "/classify") if number < 3 else None
        caller.get(f"/samples/{number}")
        caller.get(f"/v2/models/{number}")
        caller.get(f"/v2/models/tiny-net/versions/{number + 3}/ready")
        caller.get(f"/static/{number}")
        caller.get("/healthz", params={"q": number}, headers={"x-request-id": f"{number}"})
    assert labels() == known


def test_latency_tells_the_percentiles_of_the_images_that_were_answered(bundle: Bundle, tmp_path: Path) -> None:
    with serving(bundle.path, tmp_path / "log") as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/latency").json()["stages_ms"] == {}
        timings = [client.post("/classify", content=JPEG).json()["timing_ms"] for _ in range(9)]
        client.post("/classify", content=b"no image")
        told = client.get("/latency").json()
    for stage in STAGES:
        ms = [timing[stage] for timing in timings]
        assert told["stages_ms"][stage]["n"] == 9
        for name, share in (("p50", 50), ("p90", 90), ("p99", 99)):
            assert told["stages_ms"][stage][name] == pytest.approx(np.percentile(ms, share))
    assert told["live"] is None
    assert told["lane"] == {"on": False, "pairs": 0, "budget": 0, "dropped": {}}
    assert [row["batch"] for row in told["bundle"]] == [8, 1]


PROBES = ["/healthz", "/startupz", "/readyz", "/v2/health/live", "/v2/health/ready", "/"]


@pytest.mark.parametrize("path", PROBES)
def test_head_on_a_probe_or_the_page_answers_as_get_does_without_a_body(path: str, client: httpx.Client) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"") == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("path", ["/classify", "/classify/batch", "/metrics", "/models/reload"])
@pytest.mark.parametrize("method", ["OPTIONS", "DELETE", "PATCH"])
def test_a_method_that_a_path_has_not_is_405_and_names_those_that_it_has(
    method: str, path: str, client: httpx.Client
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] in answer.json()["error"]
    assert "access-control-allow-origin" not in answer.headers


def test_with_keys_only_probes_and_the_page_are_open_and_no_key_is_ever_logged(bundle: Bundle, tmp_path: Path) -> None:
    key, table = new_key("shop")
    (tmp_path / "keys.toml").write_text(table)
    with serving(bundle.path, tmp_path / "log", "--keys", str(tmp_path / "keys.toml")) as server:
        with httpx.Client(base_url=server.url) as client:
            for path in (*PROBES, "/openapi.json", "/static/index.html", "/v2"):
                assert client.get(path).status_code == 200, path
            closed = ["/info", "/latency", "/metrics", "/models", "/nowhere", "/classify", "/v2/models/tiny-net"]
            for path in (*closed, "/healthz/", "/static", "/HEALTHZ", "/%2e/healthz"):
                refused = client.get(path)
                assert refused.status_code == 401, path
                assert refused.headers["www-authenticate"] == "Bearer"
                marked(refused)
            for path in ("/static/../info", "/static/..%2finfo", "/samples/%2e%2e/metrics"):
                assert client.get(path).status_code in (401, 404), path
            for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
                named = {**headers, "x-request-id": f"by-{len(headers)}-{next(iter(headers))}"}
                assert client.post("/classify", content=JPEG, headers=named).status_code == 200
                assert log_line(server, named["x-request-id"])["key"] == "shop"
            client.get(f"/info?key={key}", headers={"x-api-key": key + "x"})
        assert key not in server.log.read_text()


def test_a_log_that_nobody_reads_stops_nothing(bundle: Bundle, tmp_path: Path) -> None:
    """A pipe holds some 300 lines; then a write waits for a reader, and with it the event loop did."""
    reader, writer = os.pipe()
    try:
        with (
            serving(bundle.path, Path(f"/proc/self/fd/{writer}")) as server,
            httpx.Client(base_url=server.url, timeout=10) as client,
        ):
            assert {client.get("/healthz").status_code for _ in range(1000)} == {200}
            assert server.stop() == 0
    finally:
        os.close(reader)
        os.close(writer)
