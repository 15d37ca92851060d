"""Every architecture of the published code comes back from its state_dict alone, and computes the same."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from rgp.compile.export import export, serialize
from rgp.conv import GraphConv2d
from rgp.engines.ort import OrtEngine
from rgp.models import official
from rgp.models.registry import restore
from rgp.normalise import Normalise
from tests.models.published_forward import NETWORKS, Matrix, Plain, save


def matrix(nodes: int, degree: int, *, directed: bool = False) -> Matrix:
    """A random matrix with ``degree`` ones in a row; symmetric unless ``directed``."""
    random = np.random.default_rng(nodes)
    if directed:
        return np.array([random.permutation(nodes) < degree for _ in range(nodes)]).astype(np.int64)
    order = random.permutation(nodes)
    steps = (order[:, None] - order) % nodes
    near: Matrix = ((np.minimum(steps, nodes - steps) <= degree // 2) & (steps > 0)).astype(np.int64)
    return near


@dataclass(frozen=True)
class Case:
    name: str
    ours: str
    matrix: Matrix | None = None
    classes: int = 10
    affine: bool = True
    graph_head: bool = False
    soft: bool = False
    side: int = 32


CASES = [
    Case("cResNet18", "cifar_resnet18", matrix(64, 8)),
    Case("cResNet18", "cifar_resnet18"),
    Case("cResNet18", "cifar_resnet18", matrix(24, 4), classes=100, graph_head=True, soft=True),
    Case("cResNet50", "cifar_resnet50", matrix(12, 4, directed=True), classes=100, side=16),
    Case("resnet56", "cifar_resnet56", matrix(12, 4, directed=True), affine=False),
    Case("resnet56", "cifar_resnet56", classes=200),
    Case("ResNet18", "resnet18", matrix(16, 5, directed=True), classes=100, graph_head=True, affine=False),
    Case("ResNet50", "resnet50", matrix(64, 16), classes=1000, side=64),
    Case("ResNet101", "resnet101", matrix(24, 6)),
    Case("vgg16_bn", "cifar_vgg16_bn", matrix(24, 6), classes=100, graph_head=True),
    Case("vgg16_bn", "cifar_vgg16_bn"),
    Case("MobileNetV2", "cifar_mobilenet_v2", matrix(12, 5, directed=True), classes=20, graph_head=True),
    Case("MobileNetV2", "cifar_mobilenet_v2", affine=False),
    Case("DenseNet121", "densenet121", matrix(24, 6)),
    Case("DenseNet121", "densenet121", matrix(16, 4), graph_head=True, classes=40),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.classes}")
@torch.no_grad()
def test_a_published_network_comes_back_and_computes_the_same(case: Case, tmp_path: Path) -> None:
    plain = Plain(case.matrix, affine=case.affine, graph_head=case.graph_head, soft=case.soft, classes=case.classes)
    images = torch.randn(2, 3, case.side, case.side, generator=torch.Generator().manual_seed(1)).double()
    expected = NETWORKS[case.name](plain, images)
    save(tmp_path / "model_best.pth", plain.state)

    checkpoint = official.load(tmp_path / "model_best.pth")
    assert checkpoint.architecture == case.ours
    assert len(checkpoint.labels) == case.classes
    network = restore(checkpoint, torch.float64)
    spread = expected.std().item()
    assert spread > 0
    assert (network(images) - expected).abs().max() < 1e-10 * max(1, spread)
    assert (restore(checkpoint)(images.float()) - expected).abs().max() < 5e-5 * max(1, spread)

    masked = {name: m.adjacency.numpy() for name, m in network.named_modules() if isinstance(m, GraphConv2d)}
    if case.matrix is None or case.soft:
        assert not masked
        assert checkpoint.graph == "dense"
        return
    renamed = {name.replace("shortcut", "downsample") if "cResNet" in case.name else name for name in plain.masked}
    head = plain.masked[-1] if case.graph_head else ""
    assert masked.keys() == {f"{name}.1" if name == head else name for name in renamed}
    assert all(np.array_equal(each, case.matrix) for each in masked.values())
    assert checkpoint.graph.startswith(f"matrix:{len(case.matrix)}_{case.matrix.sum(1).min()}")


@torch.no_grad()
def test_weights_under_the_mask_are_zero_in_the_checkpoint(tmp_path: Path) -> None:
    plain = Plain(matrix(16, 4), affine=True, graph_head=False, soft=False, classes=10)
    NETWORKS["resnet56"](plain, torch.zeros(1, 3, 8, 8).double())
    save(tmp_path / "c.pth", plain.state)
    checkpoint = official.load(tmp_path / "c.pth")
    for name in plain.masked:
        scores = plain.state[f"{name}.scores"].bool().expand_as(plain.state[f"{name}.weight"])
        assert plain.state[f"{name}.weight"][~scores].abs().min() > 0
        assert checkpoint.state[f"{name}.weight"][~scores].abs().max() == 0
        assert torch.equal(checkpoint.state[f"{name}.weight"][scores], plain.state[f"{name}.weight"][scores])


@torch.no_grad()
def test_a_graph_head_and_normalisation_without_scale_run_as_onnx(tmp_path: Path) -> None:
    plain = Plain(matrix(12, 5, directed=True), affine=False, graph_head=True, soft=False, classes=20)
    NETWORKS["cResNet18"](plain, torch.zeros(1, 3, 8, 8).double())
    save(tmp_path / "c.pth", plain.state)
    checkpoint = official.load(tmp_path / "c.pth")
    network = restore(checkpoint)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    engine = OrtEngine(serialize(export(network, checkpoint.preprocess)), threads=1)
    expected = network(Normalise(checkpoint.preprocess)(torch.from_numpy(images))).numpy()
    assert np.abs(engine.run(images) - expected).max() <= 1e-4 * np.abs(expected).max()
