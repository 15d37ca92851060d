"""Every documented operation keeps its word: schemathesis asks what /openapi.json describes, and what it forbids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from rgp.bundle import Bundle
from rgp.serve.keys import new_key
from tests.serve.serving import Server, serving
from tests.serve.tiny import encoded, picture

load_all_checks()
KEPT = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
OPERATIONS = {
    "/classify": "POST",
    "/classify/batch": "POST",
    "/info": "GET",
    "/latency": "GET",
    "/metrics": "GET",
    "/models": "GET",
    "/models/reload": "POST",
    "/models/rollback": "POST",
    "/healthz": "GET",
    "/startupz": "GET",
    "/readyz": "GET",
}
BODIES = ("/classify", "/classify/batch")
JPEG = encoded(picture(), "JPEG")
KEY, TABLE = new_key("fuzz")
CALLERS = {
    "no keys": {},
    "a right key": {"authorization": f"Bearer {KEY}"},
    "a wrong key": {"authorization": "Bearer wrong"},
}


@pytest.fixture(scope="module")
def keyed(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "keys.toml").write_text(TABLE + "admin = true\n")
    with serving(bundle.path, folder / "log", "--keys", str(folder / "keys.toml")) as server:
        yield server


@pytest.fixture(scope="module")
def schema(server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def allowed(status: int) -> bool:
    return 200 <= status < 300 or 400 <= status < 500 or status in (503, 504)  # a deadline of 1 ms is allowed


def test_all_that_is_documented_is_asked_here(schema: Any) -> None:
    found = {each.ok().path: each.ok().method.upper() for each in schema.get_all_operations()}
    assert found == OPERATIONS


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["kept", "broken"])
@pytest.mark.parametrize("path", BODIES)
def test_whatever_is_sent_the_answer_is_documented(
    path: str, mode: GenerationMode, schema: Any, server: Server, session: requests.Session
) -> None:
    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=schema[path]["POST"].as_strategy(mode))
    def ask(case: Any) -> None:
        response = case.call(base_url=server.url, session=session)
        assert allowed(response.status_code), response.text
        case.validate_response(response, checks=KEPT)

    ask()


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("path", OPERATIONS)
def test_every_caller_gets_a_documented_answer(
    path: str, caller: str, schema: Any, server: Server, keyed: Server, session: requests.Session
) -> None:
    asked = server if caller == "no keys" else keyed

    @settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=schema[path][OPERATIONS[path]].as_strategy())
    def ask(case: Any) -> None:
        response = case.call(base_url=asked.url, session=session, headers=CALLERS[caller])
        assert allowed(response.status_code), response.text
        if caller == "a wrong key":
            assert response.status_code == (200 if path in ("/healthz", "/startupz", "/readyz") else 401)
        case.validate_response(response, checks=KEPT)

    ask()


@pytest.mark.parametrize("caller", ["no keys", "a right key"])
@pytest.mark.parametrize("path", BODIES)
def test_a_good_image_gets_the_documented_answer(
    path: str, caller: str, schema: Any, server: Server, keyed: Server
) -> None:
    asked = server if caller == "no keys" else keyed
    files = [("image", ("a.jpg", JPEG, "image/jpeg"))]
    response = requests.post(asked.url + path, files=files, headers=CALLERS[caller], timeout=30)
    assert response.status_code == 200
    schema[path]["POST"].validate_response(response)
