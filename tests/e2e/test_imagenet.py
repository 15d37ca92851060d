"""A network trained on ImageNet names real photographs, from its package's weights to answers over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.imagenet_bundle import PREPROCESS, checkpoint, imagenet_bundle, published_weights
from rgp.bundle import Bundle
from rgp.engines.ort import OrtEngine
from rgp.images import decode
from rgp.models.registry import restore
from rgp.normalise import Normalise
from rgp.serve.classify import softmax
from tests.serve.serving import serving

PHOTOGRAPHS = Path(str(resources.files("skimage") / "data"))  # those that lie in the package: none is downloaded

# in the order of the answer: {...} where two names are right
CATS = {"tabby", "tiger cat", "Egyptian cat"}
SEEN = {
    "chelsea.png": [CATS, CATS, CATS],
    "coffee.png": [{"espresso"}, {"cup"}],
    "rocket.jpg": [{"missile", "projectile"}, {"missile", "projectile"}],
    "camera.png": [{"tripod"}],  # grey, with a photographer behind it
    "motorcycle_left.png": [{"moped", "motor scooter"}, {"moped", "motor scooter"}],  # no class is a motorcycle
}
AMONG_FIVE = {"coffee.png": "coffee mug", "rocket.jpg": "space shuttle", "motorcycle_left.png": "disk brake"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("imagenet")
    quick = ["--tune", "off", "--batch", "1", "--pairs", "3", "--threads", "1"]
    assert imagenet_bundle(folder, [*quick, "--images", str(PHOTOGRAPHS)]) == 0
    return Bundle.open(folder / "bundle")


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> OrtEngine:
    return OrtEngine(bundle.files["compiled.onnx"], threads=1)


@pytest.fixture(scope="module")
def url(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(bundle.path, tmp_path_factory.mktemp("logs") / "server.log") as server:
        yield server.url


@pytest.mark.parametrize("name", SEEN)
def test_photographs_get_their_names_over_http(name: str, url: str) -> None:
    kind = {".png": "image/png", ".jpg": "image/jpeg"}[Path(name).suffix]
    response = httpx.post(
        f"{url}/classify?top_k=5", content=(PHOTOGRAPHS / name).read_bytes(), headers={"Content-Type": kind}
    )
    assert response.status_code == 200, response.text
    answer = response.json()
    labels = [prediction["label"] for prediction in answer["predictions"]]
    assert len(labels) == 5
    for label, right in zip(labels, SEEN[name], strict=False):
        assert label in right, labels
    assert AMONG_FIVE.get(name, labels[0]) in labels
    assert answer["model"]["architecture"] == "timm:tf_efficientnet_lite0"


def test_the_report_says_that_it_runs_dense_and_equals_the_network_on_real_photographs(bundle: Bundle) -> None:
    report = bundle.report
    assert report["verdict"].startswith("Runs dense: ")
    assert {layer["lowering"] for layer in report["layers"]} == {"dense"}
    assert bundle.files["compiled.onnx"] == bundle.files["dense.onnx"]
    assert report["equivalence"]["real_images"] >= 20
    assert report["equivalence"]["top1_agreement"] == 1


def test_the_rebuilt_network_computes_what_the_published_one_does() -> None:
    image = torch.from_numpy(pixels(decode((PHOTOGRAPHS / "chelsea.png").read_bytes())))
    x = Normalise(PREPROCESS)(image[None]).double()
    with torch.no_grad():
        ours = restore(checkpoint(), torch.float64)(x)
        theirs = as_published(published_weights(), x)
    assert (ours - theirs).abs().max() < 1e-9 * theirs.abs().max()


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", SEEN)
def test_large_jpegs_decoded_at_part_of_their_size_keep_their_five_labels(
    name: str, scale: int, bundle: Bundle, engine: OrtEngine
) -> None:
    size = {2: (1600, 1200), 4: (4000, 3000)}[scale]
    file = io.BytesIO()
    Image.open(PHOTOGRAPHS / name).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    whole, part = decode(file.getvalue()), decode(file.getvalue(), PREPROCESS.resize)
    assert (whole.size, part.size) == (size, (size[0] // scale, size[1] // scale))
    assert np.abs(pixels(whole).astype(int) - pixels(part)).max() <= 8

    expected, found = (softmax(engine.run(pixels(image)[None])[0]) for image in (whole, part))
    assert np.array_equal(np.argsort(-found)[:5], np.argsort(-expected)[:5])
    assert np.abs(found - expected).max() < 0.03  # another way to resize moves them by up to 0.1


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(PREPROCESS(image))  # writable, as torch wants it


def as_published(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """EfficientNet-Lite0's forward pass, of plain functions and by the published names; in float64."""

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"].double()
        kernel, side, groups = weight.shape[2], x.shape[2], x.shape[1] // weight.shape[1]
        missing = max(0, (-(-side // stride) - 1) * stride + kernel - side)  # TensorFlow's padding "same"
        x = F.pad(x, (missing // 2, missing - missing // 2) * 2)
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{key}"].double() for key in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias, eps=1e-3)

    x = F.relu6(norm("_bn0", conv("_conv_stem", x, 2)))
    for number, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)):
        block, before = f"_blocks.{number}", x
        if f"{block}._expand_conv.weight" in state:
            x = F.relu6(norm(f"{block}._bn0", conv(f"{block}._expand_conv", x)))
        x = F.relu6(norm(f"{block}._bn1", conv(f"{block}._depthwise_conv", x, stride)))
        x = norm(f"{block}._bn2", conv(f"{block}._project_conv", x))
        x = x + before if x.shape == before.shape else x
    x = F.relu6(norm("_bn1", conv("_conv_head", x)))
    return F.linear(x.mean(dim=(2, 3)), state["_fc.weight"].double(), state["_fc.bias"].double())
