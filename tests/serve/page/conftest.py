"""A browser, an image, and servers for the page: a plain one, one with samples and a drawing, one with keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from playwright.sync_api import Browser

from rgp.bundle import Bundle
from rgp.engines.ort import OrtEngine
from rgp.serve.classify import prepare, rank
from rgp.serve.keys import new_key
from tests.serve.browser import chromium, percent
from tests.serve.serving import Server, serving
from tests.serve.tiny import PREPROCESS, REPORT, encoded, network, picture

MARKUP = "<img src=x onerror=alert(1)>"
DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 4"><path stroke="red" d="M0 0L8 4"/></svg>'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "cat.png"
    path.write_bytes(encoded(picture(), "PNG"))
    return path


@pytest.fixture(scope="module")
def rich_bundle(tmp_path_factory: pytest.TempPathFactory, image: Path) -> Bundle:
    """With samples, a drawing, and names that would be markup if they were not escaped."""
    model = onnx.load_from_string(network())
    model.doc_string = "not the same file as the tiny bundle's"
    engine = model.SerializeToString()
    return Bundle.write(
        tmp_path_factory.mktemp("bundles") / "rich",
        name=f"{MARKUP}-net",
        architecture=MARKUP,
        labels=tuple(f"{MARKUP}{i}" for i in range(7)),
        preprocess=PREPROCESS,
        files={
            "dense.onnx": engine,
            "compiled.onnx": engine,
            "report.json": json.dumps(REPORT).encode(),
            "graph.svg": DRAWING,
            "sample-cat.png": image.read_bytes(),
            "sample-dog.jpg": encoded(picture(seed=1), "JPEG"),
        },
    )


@pytest.fixture(scope="module")
def rich(rich_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(rich_bundle.path, tmp_path_factory.mktemp("logs") / "rich.log") as server:
        yield server


@pytest.fixture(scope="module")
def keyed(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server that wants a key and lets it ask twice a second, and the key."""
    folder = tmp_path_factory.mktemp("keyed")
    key, table = new_key("page")
    (folder / "keys.toml").write_text(f"{table}rate = 2\n")
    with serving(bundle.path, folder / "log", "--keys", str(folder / "keys.toml")) as server:
        yield server, key


@pytest.fixture
def offline(bundle: Bundle, engine: OrtEngine, image: Path) -> list[list[str]]:
    """What the page shall say of ``image``: labels with percentages."""
    logits = engine.run(prepare(bundle.require_images(), image.read_bytes()).pixels)[0]
    predictions = rank(logits, bundle.labels, 5)
    return [[prediction.label, percent(prediction.probability)] for prediction in predictions]
