"""The exchange of the model: whole or not at all, over HTTP and by SIGHUP; and readiness, which follows the canary."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from rgp.bundle import Bundle
from rgp.errors import EngineError
from rgp.serve import network as network_module
from rgp.serve.answers import ThreadPlan
from rgp.serve.models import Models
from rgp.serve.network import Network
from rgp.serve.settings import Settings
from tests.serve.serving import Server, serving
from tests.serve.tiny import LABELS, encoded, network, picture, write_bundle

JPEG = encoded(picture(), "JPEG")
ADMIN, USER = "rgp_admin", "rgp_user"
PLAN = ThreadPlan(threads=1, lanes=1, max_batch=1, gather_ms=0, chosen="by the test", measured=[])
ALONE = Settings(baseline=0)


def put(bundle: Bundle, folder: Path) -> None:
    """Exchange the folder, as an operator does."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle.path, folder)


def other_network() -> bytes:
    """As tests.serve.tiny makes it, with its classes turned."""
    return network(seed=1)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return write_bundle(folder / "one"), write_bundle(folder / "two", model=other_network())


@pytest.fixture
def served(bundles: tuple[Bundle, Bundle], tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path / "served"
    put(bundles[0], folder)
    rows = "".join(
        f'[[key]]\nname = "{name}"\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\nadmin = {admin}\n'
        for name, key, admin in (("admin", ADMIN, "true"), ("user", USER, "false"))
    )
    (tmp_path / "keys.toml").write_text(rows)
    with serving(folder, tmp_path / "log", "--keys", str(tmp_path / "keys.toml")) as server:
        yield server, folder


def ask(server: Server, method: str, path: str, key: str = ADMIN, **options: object) -> httpx.Response:
    return httpx.request(method, server.url + path, headers={"x-api-key": key}, timeout=30, **options)  # type: ignore[arg-type]


def hash_of(server: Server) -> str:
    found: str = ask(server, "POST", "/classify", content=JPEG).json()["model"]["sha256"]
    return found


def test_a_new_bundle_is_exchanged_and_the_old_one_comes_back(
    served: tuple[Server, Path], bundles: tuple[Bundle, Bundle]
) -> None:
    server, folder = served
    one, two = bundles
    first = ask(server, "POST", "/classify", content=JPEG).json()
    assert first["model"]["sha256"] == one.sha256
    assert ask(server, "POST", "/models/rollback").status_code == 409
    put(two, folder)
    reloaded = ask(server, "POST", "/models/reload").json()["models"]
    assert [(row["sha256"], row["active"]) for row in reloaded] == [(two.sha256, True), (one.sha256, False)]
    assert ask(server, "GET", "/models").json()["models"] == reloaded
    second = ask(server, "POST", "/classify", content=JPEG).json()
    assert second["model"]["sha256"] == two.sha256
    assert second["predictions"] != first["predictions"]
    ask(server, "POST", "/models/rollback").raise_for_status()
    assert ask(server, "POST", "/classify", content=JPEG).json()["predictions"] == first["predictions"]


@pytest.mark.parametrize("damage", ["changed", "missing", "other labels", "no network", "wrong classes", "not finite"])
def test_a_bad_bundle_changes_nothing(
    damage: str, served: tuple[Server, Path], bundles: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    server, folder = served
    if damage == "changed":
        (folder / "compiled.onnx").write_bytes(bundles[1].files["compiled.onnx"][:-1] + b"!")
    elif damage == "missing":
        (folder / "manifest.json").unlink()
    elif damage == "other labels":
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["labels"].append("hen")
        (folder / "manifest.json").write_text(json.dumps(manifest))
    else:
        models = {"no network": b"x", "wrong classes": network(classes=6), "not finite": network(scale=np.inf)}
        put(write_bundle(tmp_path / "bad", model=models[damage]), folder)
    answer = ask(server, "POST", "/models/reload")
    assert answer.status_code == (409 if damage in ("changed", "missing", "other labels") else 500), answer.text
    assert len(ask(server, "GET", "/models").json()["models"]) == 1
    assert hash_of(server) == bundles[0].sha256
    assert httpx.get(server.url + "/readyz").status_code == 200


def test_only_an_admin_exchanges_the_model(served: tuple[Server, Path]) -> None:
    server, _ = served
    for path in ("/models/reload", "/models/rollback"):
        assert ask(server, "POST", path, key=USER).status_code == 403
        assert ask(server, "POST", path, key="wrong").status_code == 401
    assert ask(server, "POST", "/classify", key=USER, content=JPEG).status_code == 200
    for path in ("/healthz", "/startupz", "/readyz", "/v2/health/ready", "/openapi.json"):
        assert httpx.get(server.url + path).status_code == 200


def test_sighup_loads_anew_and_a_bad_bundle_is_only_logged(
    served: tuple[Server, Path], bundles: tuple[Bundle, Bundle]
) -> None:
    server, folder = served
    put(bundles[1], folder)
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: hash_of(server) == bundles[1].sha256)
    (folder / "report.json").write_text("{}")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "was not reloaded" in server.log.read_text())
    assert hash_of(server) == bundles[1].sha256


def test_requests_during_exchanges_all_get_an_answer_of_one_of_the_networks(
    served: tuple[Server, Path], bundles: tuple[Bundle, Bundle]
) -> None:
    server, folder = served
    stop, answers = threading.Event(), []

    def caller() -> None:
        with httpx.Client(base_url=server.url, headers={"x-api-key": USER}, timeout=30) as client:
            while not stop.is_set():
                answers.append(client.post("/classify", content=JPEG))

    callers = [threading.Thread(target=caller) for _ in range(3)]
    for thread in callers:
        thread.start()
    for number in range(4):
        put(bundles[(number + 1) % 2], folder)
        ask(server, "POST", "/models/reload").raise_for_status()
    ask(server, "POST", "/models/rollback").raise_for_status()
    stop.set()
    for thread in callers:
        thread.join(30)
    assert {answer.status_code for answer in answers} == {200}
    best = {answer.json()["model"]["sha256"]: str(answer.json()["predictions"]) for answer in answers}
    assert set(best) == {bundle.sha256 for bundle in bundles}
    for answer in answers:  # each is wholly of the network that it names
        assert str(answer.json()["predictions"]) == best[answer.json()["model"]["sha256"]]


class Moody:
    """An engine that a test breaks and mends."""

    def __init__(self) -> None:
        self.mood = "well"
        self.release = threading.Event()

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.mood == "hangs":
            self.release.wait(30)
        if self.mood == "raises":
            raise EngineError("it broke")
        logits = np.tile(np.arange(len(LABELS), dtype=np.float32), (len(images), 1))
        return logits + (self.mood == "drifts") + (np.nan if self.mood == "nan" else 0)

    def describe(self) -> dict[str, str | int]:
        return {}


def ready(models: Models) -> bool:
    return models.started and models.problem is None


@pytest.mark.parametrize(
    ("mood", "message"),
    [("raises", "it broke"), ("drifts", "moved by 1"), ("nan", "not finite"), ("hangs", "for 0.2 s")],
)
def test_readiness_follows_the_canary(mood: str, message: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_module, "CANARY_TIMEOUT_SECONDS", 0.2)
    engine = Moody()

    async def scenario() -> None:
        models = Models(Network(bundle, engine, None, PLAN, ALONE), lambda before: pytest.fail("no reload"))
        assert not ready(models)
        await models.check()
        assert ready(models)
        engine.mood = mood
        await models.check()
        assert message in str(models.problem)
        assert models.started
        engine.mood = "well"
        engine.release.set()
        await models.check()
        assert ready(models)
        models.close()

    asyncio.run(scenario())


def test_an_engine_that_hangs_in_its_first_canary_is_told(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_module, "CANARY_TIMEOUT_SECONDS", 0.2)
    engine = Moody()
    engine.mood = "hangs"

    async def scenario() -> str | None:
        models = Models(Network(bundle, engine, None, PLAN, ALONE), lambda before: pytest.fail("no reload"))
        await models.check()
        engine.release.set()
        models.close()
        return models.problem

    assert "has not answered for 0.2 s" in (asyncio.run(scenario()) or "")


def test_a_compiled_network_that_differs_from_the_dense_one_never_becomes_ready(bundle: Bundle) -> None:
    class Constant(Moody):
        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().run(images)[:, ::-1]

    async def scenario() -> str | None:
        models = Models(Network(bundle, Moody(), Constant(), PLAN, Settings()), lambda before: pytest.fail("no reload"))
        await models.check()
        models.close()
        return models.problem

    assert "logits are 6 from the dense one's" in (asyncio.run(scenario()) or "")


def wait_for(condition: object, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.05)
