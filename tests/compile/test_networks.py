"""Every family of networks compiles: lowered wherever a form exists, and proved equal at batch 1, 2 and 7."""

from __future__ import annotations

import pytest
import torch

from rgp.compile.choice import Choice
from rgp.compile.convs import find
from rgp.compile.export import TorchReference, export
from rgp.compile.layout import lay_out
from rgp.compile.onnx_bytes import serialize
from rgp.compile.passes import prepare
from rgp.compile.plan import possible
from rgp.compile.rewrite import rewrite
from rgp.compile.spaces import find_spaces
from rgp.compile.verify import sample_batches, verify
from rgp.engines.ort import OrtEngine
from rgp.families import parse
from rgp.models.registry import NETWORKS, build
from rgp.preprocess import Preprocess
from rgp.prune import prune
from tests.compile.conftest import randomised

# small enough for every run of the suite; the rest are slow
QUICK = ("cifar_resnet18", "cifar_mobilenet_v2")
# members of a family that differ in depth only are left out
DEEPER = {"resnet101", "resnet152", "wide_resnet101_2", "cifar_resnet101", "densenet161", "densenet169", "densenet201"}
DEEPER |= {"efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "vgg13_bn", "vgg16_bn", "vgg19_bn"}
SLOW = sorted({*NETWORKS, "timm:resnet10t", "timm:regnetx_002", "timm:seresnet50"} - {*QUICK} - DEEPER)


def side(name: str) -> int:
    if name.startswith("vgg"):
        return 224  # the size at which its adaptive pooling does nothing, the only one that exports
    return 32 if name.startswith(("cifar_", "small_")) else 64


def check(name: str, graph: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = build(name, num_classes=7, in_channels=3)
    prune(model, parse(graph), narrow="dense")
    preprocess = Preprocess(3, side(name), side(name), (0.5,) * 3, (0.25,) * 3)
    randomised(model)
    working = prepare(export(model, preprocess))
    convs, spaces = [conv for conv in find(working) if conv.groups == 1], find_spaces(working)
    choices = {conv.name: (possible(conv)[0] or [Choice.dense(conv)])[0] for conv in convs}
    assert any(choice.constrains for choice in choices.values())
    rewrite(working, convs, choices, spaces, lay_out(convs, choices, spaces))
    samples = sample_batches((side(name), side(name), 3), "uint8", [])
    found = verify(TorchReference(model, preprocess), OrtEngine(serialize(working), threads=1), samples)
    assert found.batches == [1, 2, 7]


@pytest.mark.parametrize(("name", "graph"), [(QUICK[0], "affine:16_7"), (QUICK[1], "affine:16_4?rotate=1")])
def test_residual_and_depthwise_networks_compile_and_verify(name: str, graph: str) -> None:
    check(name, graph)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_every_network_compiles_and_verifies(name: str) -> None:
    check(name, "affine:16_4?rotate=1")
