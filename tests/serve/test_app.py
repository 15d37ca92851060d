"""What the service answers, over HTTP, from a real server; and how it behaves around a slow or failing engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import rgp
from rgp.bundle import Bundle
from rgp.engines.ort import OrtEngine
from rgp.environment import available_cores
from rgp.errors import EngineError
from rgp.serve.answers import Answer
from rgp.serve.baseline import METHOD
from rgp.serve.body import CURL
from rgp.serve.classify import classify
from tests.serve.serving import app_of, ask, logged, serving
from tests.serve.tiny import LABELS, REPORT, encoded, network, picture, write_bundle

PICTURES = {
    f"{format} {mode}": encoded(picture(mode), format, **options)
    for format, modes, options in [
        ("JPEG", ("L", "RGB", "CMYK"), {}),
        ("PNG", ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"), {}),
        ("WEBP", ("L", "RGB", "RGBA"), {"quality": 80}),
    ]
    for mode in modes
}
TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


@pytest.mark.parametrize("name", PICTURES)
def test_http_and_offline_agree_bit_for_bit(name: str, client: httpx.Client, bundle: Bundle, engine: OrtEngine) -> None:
    data, kind = PICTURES[name], TYPES[name.split()[0]]
    offline = classify(bundle, engine, data, top_k=7).model_dump()["predictions"]
    raw = client.post("/classify?top_k=7", content=data, headers={"content-type": kind})
    form = client.post("/classify?top_k=7", files={"image": ("a file", data, kind)})
    for response in (raw, form):
        assert response.status_code == 200, response.text
        assert response.json()["predictions"] == offline
    assert sum(prediction["probability"] for prediction in offline) == pytest.approx(1)


def test_different_pictures_get_different_answers(client: httpx.Client) -> None:
    pictures = [encoded(picture(seed=seed), "PNG") for seed in range(8)]
    answers = {client.post("/classify", content=data).json()["predictions"][0]["probability"] for data in pictures}
    assert len(answers) == len(pictures)


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "image/png", "IMAGE/WEBP ; q=1", "application/octet-stream", "", None, CURL]
)
def test_the_content_decides_the_format_whatever_accepted_type_is_named(
    content_type: str | None, client: httpx.Client
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert client.post("/classify", content=PICTURES["WEBP RGB"], headers=headers).status_code == 200


def test_an_answer_says_who_answered_how_long_it_took_and_what_the_dense_network_needs(
    client: httpx.Client, bundle: Bundle
) -> None:
    answer = client.post("/classify", content=PICTURES["JPEG RGB"]).json()
    assert answer["model"] == {"name": "tiny-net", "architecture": "tiny", "sha256": bundle.sha256}
    timing = answer["timing_ms"]
    assert set(timing) == {"queue", "decode", "preprocess", "inference", "total"}
    assert 0 < sum(ms for stage, ms in timing.items() if stage != "total") <= timing["total"]
    assert answer["baseline"] == {
        "batch": 1,
        "dense_ms_p50": 2.5,
        "compiled_ms_p50": 1.0,
        "speedup": 2.5,
        "speedup_ci95": [2.25, 2.75],
        "pairs": 100,
        "source": "bundle",
        "age_s": None,
        "method": METHOD,
        "environment": {"cpu": "a CPU", "threads": 2, "time": "2026-01-02T03:04:05+00:00"},
    }


@pytest.mark.parametrize(("query", "count"), [("", 5), ("?top_k=1", 1), ("?top_k=7", 7)])
def test_top_k_classes_come_most_probable_first(query: str, count: int, client: httpx.Client) -> None:
    predictions = client.post(f"/classify{query}", content=PICTURES["PNG RGB"]).json()["predictions"]
    assert len(predictions) == count
    assert predictions == sorted(predictions, key=lambda prediction: -prediction["probability"])
    assert all(prediction["label"] == LABELS[prediction["index"]] for prediction in predictions)


def test_a_form_may_have_other_fields_beside_the_image(client: httpx.Client) -> None:
    form = {"files": {"image": PICTURES["PNG RGB"], "other": b"x"}, "data": {"token": "x" * 2000}}
    assert client.post("/classify", **form).status_code == 200  # type: ignore[arg-type]


def test_concurrent_requests_get_the_answers_they_would_get_alone(
    client: httpx.Client, bundle: Bundle, engine: OrtEngine
) -> None:
    names = list(PICTURES) * 12
    alone = {name: classify(bundle, engine, data, 5).model_dump()["predictions"] for name, data in PICTURES.items()}
    with ThreadPoolExecutor(8) as callers:
        answers = callers.map(lambda name: client.post("/classify", content=PICTURES[name]).json(), names)
        assert [answer["predictions"] for answer in answers] == [alone[name] for name in names]


def test_probes_succeed_when_the_canary_did(client: httpx.Client) -> None:
    for probe in ("/healthz", "/readyz"):
        response = client.get(probe)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert "server" not in response.headers


def test_openapi_describes_the_bodies_the_limits_and_the_errors(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["info"] == {"title": "rgp-serve", "version": rgp.__version__}
    assert set(document["paths"]) == {
        *("/classify", "/classify/batch", "/healthz", "/startupz", "/readyz", "/info", "/models", "/models/reload"),
        *("/models/rollback", "/latency", "/metrics"),
    }
    operation = document["paths"]["/classify"]["post"]
    assert set(operation["requestBody"]["content"]) == {
        *TYPES.values(),
        "application/octet-stream",
        "multipart/form-data",
        "application/json",
    }
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["image"]
    top_k, *headers = operation["parameters"]
    assert [each["name"] for each in headers] == ["x-request-id", "x-request-timeout-ms"]
    assert operation["security"] == [{}, {"bearer": []}, {"key": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]
    assert {"minimum": 1, "maximum": 7, "default": 5}.items() <= top_k["schema"].items()
    assert set(operation["responses"]) == {
        *("200", "400", "401", "408", "413", "415", "422", "429", "500", "503", "504")
    }
    for status, response in operation["responses"].items():
        schema = response["content"]["application/json"]["schema"]["$ref"]
        assert schema.endswith("/Answer" if status == "200" else "/Error")
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_an_answer_has_the_shape_that_openapi_promises(client: httpx.Client) -> None:
    answer = client.post("/classify", content=PICTURES["JPEG RGB"]).json()
    assert Answer.model_validate(answer, strict=False).model_dump(mode="json") == answer


def test_without_a_measured_batch_of_one_the_baseline_is_null(tmp_path: Path, engine: OrtEngine) -> None:
    bundle = write_bundle(tmp_path / "b", report={**REPORT, "latency": REPORT["latency"][:1]})
    (response,) = ask(app_of(bundle, engine), ("POST", "/classify", PICTURES["JPEG RGB"]))
    assert response.json()["baseline"] is None


def test_a_network_that_does_not_fit_its_labels_lives_but_is_not_ready(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", model=network(classes=6))
    with serving(bundle.path, tmp_path / "log") as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/healthz").status_code == 200
        for response in (client.get("/readyz"), client.post("/classify", content=PICTURES["JPEG RGB"])):
            assert response.status_code == 503
            assert "shape (1, 6)" in response.json()["error"]
        assert logged(server, "not ready")


def test_a_network_that_takes_other_channels_is_not_ready(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", model=network(channels=1))
    engine = OrtEngine(bundle.files["compiled.onnx"], threads=1)
    (response,) = ask(app_of(bundle, engine), ("GET", "/readyz", b""))
    assert response.status_code == 503
    assert "failed on a batch of shape (1, 12, 12, 3)" in response.json()["error"]


class FakeEngine:
    """An engine whose behaviour a test decides, call by call; the first call is the canary's."""

    def __init__(self, run: Callable[[int], None]) -> None:
        self._run = run
        self._calls = iter(range(1000))

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._run(next(self._calls))
        return np.zeros((len(images), len(LABELS)), np.float32)

    def describe(self) -> dict[str, str | int]:
        return {}


@pytest.mark.parametrize(
    ("failure", "message"),
    [(EngineError("it broke"), "it broke"), (ZeroDivisionError("secret"), "internal error: see the service's log")],
)
def test_a_failing_engine_is_a_500_in_json(failure: Exception, message: str, bundle: Bundle) -> None:
    def fail(call: int) -> None:
        if call:
            raise failure

    app = app_of(bundle, FakeEngine(fail))
    response, probe = ask(app, ("POST", "/classify", PICTURES["JPEG RGB"]), ("GET", "/healthz", b""))
    assert (response.status_code, response.json()["error"]) == (500, message)
    assert probe.status_code == 200


def test_the_event_loop_stays_free_while_engines_work_and_they_are_no_more_than_the_cores(bundle: Bundle) -> None:
    release = threading.Event()
    running: list[int] = []
    most = 0

    def block(call: int) -> None:
        nonlocal most
        if call:
            running.append(call)
            most = max(most, len(running))
            release.wait(30)
            running.remove(call)

    async def scenario() -> list[int]:
        app = app_of(bundle, FakeEngine(block), lanes=2, max_waiting=64)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
        ):
            requests = [
                asyncio.create_task(client.post("/classify", content=PICTURES["JPEG RGB"]))
                for _ in range(available_cores() + 3)
            ]
            while len(running) < available_cores():
                await asyncio.sleep(0.01)
            probe = await client.get("/healthz")
            assert not any(request.done() for request in requests)
            release.set()
            return [probe.status_code, *[(await request).status_code for request in requests]]

    statuses = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert statuses == [200] * (available_cores() + 4)
    assert most == available_cores()


def test_an_app_refuses_images_until_its_canary_has_run(bundle: Bundle, engine: OrtEngine) -> None:
    requests = [("GET", "/readyz", b""), ("POST", "/classify", PICTURES["JPEG RGB"]), ("GET", "/healthz", b"")]
    responses = ask(app_of(bundle, engine), *requests, started=False)
    assert [response.status_code for response in responses] == [503, 503, 200]
