"""One tiny bundle and one server for all tests of the service."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from rgp.bundle import Bundle
from rgp.engines.ort import OrtEngine
from tests.serve.serving import MAX_BODY_BYTES, Server, serving
from tests.serve.tiny import write_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def engine(bundle: Bundle) -> OrtEngine:
    return OrtEngine(bundle.files["compiled.onnx"], threads=1)


@pytest.fixture(scope="session")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("logs") / "server.log"
    with serving(bundle.path, log, "--max-body-bytes", str(MAX_BODY_BYTES)) as server:
        yield server


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
