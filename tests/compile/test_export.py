"""What is exported: bytes in, logits out, everything folded, the batch free."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rgp.compile.convs import find
from rgp.compile.export import ImageNetwork, export, serialize
from rgp.conv import GraphConv2d
from rgp.engines.ort import OrtEngine
from rgp.errors import CompileError
from rgp.families import parse
from rgp.models.registry import build
from rgp.preprocess import Preprocess
from rgp.prune import prune
from tests.compile.conftest import GREY, randomised


def test_the_exported_network_is_the_masked_one_at_every_batch() -> None:
    torch.manual_seed(0)
    model = build("small_resnet", num_classes=5, in_channels=1, width=8)
    prune(model, parse("random:8_3"))
    with torch.no_grad():  # weights under the mask that are not zero must not count
        for module in model.modules():
            if isinstance(module, GraphConv2d):
                module.weight.add_(1.0)
    working = export(randomised(model), GREY)
    engine = OrtEngine(serialize(working), threads=1)
    for batch in (1, 2, 7):
        images = np.random.default_rng(batch).integers(0, 256, (batch, 12, 12, 1), np.uint8)
        expected = ImageNetwork(model, GREY)(torch.from_numpy(images)).detach().numpy()
        assert np.abs(engine.run(images) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_batchnorm_is_folded_and_layers_keep_their_names() -> None:
    model = randomised(build("small_resnet", num_classes=5, in_channels=1, width=8))
    working = export(model, GREY)
    assert {node.op_type for node in working.graph}.isdisjoint({"BatchNormalization", "Gather"})
    convs = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    assert sorted(conv.name for conv in find(working)) == sorted(convs)
    assert [value.name for value in working.graph.inputs] == ["image"]
    assert [value.name for value in working.graph.outputs] == ["logits"]


def test_exporting_leaves_the_model_as_it_was() -> None:
    model = build("small_resnet", num_classes=5, in_channels=1, width=8)
    prune(model, parse("random:8_3"))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    export(model.eval(), GREY)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("architecture", ["resnet18", "cifar_resnet18"])
def test_colour_networks_export(architecture: str) -> None:
    preprocess = Preprocess(3, 32, 32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    model = randomised(build(architecture, num_classes=7))
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    expected = ImageNetwork(model, preprocess)(torch.from_numpy(images)).detach().numpy()
    got = OrtEngine(serialize(export(model, preprocess)), threads=1).run(images)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_an_adaptive_pooling_to_the_size_that_is_there_changes_nothing() -> None:
    preprocess = Preprocess(3, 224, 224, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))  # torchvision's VGG pools to 7x7
    model = randomised(build("vgg11_bn", num_classes=7, width_percent=13))
    images = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    expected = ImageNetwork(model, preprocess)(torch.from_numpy(images)).detach().numpy()
    got = OrtEngine(serialize(export(model, preprocess)), threads=1).run(images)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_network_that_cannot_be_exported_is_named() -> None:
    class Stubborn(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum().item() > 0 else -x

    with pytest.raises(CompileError, match="cannot export Stubborn"):
        export(Stubborn(), GREY)
