"""Each family of networks builds, takes a graph, trains a step under it, and comes back from its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from rgp.checkpoint import Checkpoint
from rgp.conv import GraphConv2d
from rgp.families import parse
from rgp.models.registry import build, restore
from rgp.preprocess import Preprocess
from rgp.prune import prune

CLASSES = 3
# a member of each family, or a narrow form of it; further options; the side of its images
FAMILIES: list[tuple[str, dict[str, int], int]] = [
    ("resnet18", {"width_percent": 25}, 64),
    ("wide_resnet50_2", {"width_percent": 13}, 64),
    ("vgg11_bn", {"width_percent": 13}, 64),
    ("densenet121", {"width_percent": 25}, 64),
    ("mobilenet_v2", {}, 64),
    ("efficientnet_b0", {}, 64),
    ("cifar_resnet18", {"width_percent": 25}, 32),
    ("cifar_resnet56", {}, 32),
    ("cifar_vgg16_bn", {"width_percent": 25}, 32),
    ("cifar_mobilenet_v2", {"width_percent": 50}, 32),
    ("small_resnet", {"width": 16}, 16),
    ("timm:test_resnet", {}, 64),
    ("timm:resnet10t", {"width_percent": 50}, 64),
    ("timm:mobilenetv3_small_050", {}, 64),
    ("timm:tf_mobilenetv3_small_minimal_100", {}, 64),
    ("timm:test_coatnet", {}, 160),
]


@pytest.mark.parametrize(("name", "options", "side"), FAMILIES, ids=[name for name, *_ in FAMILIES])
def test_a_network_trains_under_a_graph_and_comes_back(
    name: str, options: dict[str, int], side: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    options = {"num_classes": CLASSES, "in_channels": 1, **options}
    model = build(name, **options)
    prune(model, parse("random:8_4"), narrow="fewer")
    masked = [module for module in model.modules() if isinstance(module, GraphConv2d)]
    before = [conv.weight.detach().clone() for conv in masked]

    images, classes = torch.randn(2, 1, side, side), torch.tensor([0, 1])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    loss = F.cross_entropy(model.train()(images), classes)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    assert loss.isfinite()
    for conv, old in zip(masked, before, strict=True):
        assert (conv.weight[~conv.mask] == 0).all()
        assert not conv.weight.equal(old)

    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    preprocess = Preprocess(1, side, side, mean=(0.5,), std=(0.5,))
    Checkpoint(name, options, ("a", "b", "c"), preprocess, "random:8_4", state).save(tmp_path / "c.pth")
    drawn_next = torch.random.get_rng_state()
    restored = restore(Checkpoint.load(tmp_path / "c.pth"))
    with torch.no_grad():
        expected = model.eval()(images)
        assert expected.isfinite().all()
        assert torch.equal(restored(images), expected)
    assert torch.equal(torch.random.get_rng_state(), drawn_next)


@pytest.mark.parametrize("options", [{"conv_head": 1}, {"affine": 0}], ids=str)
@pytest.mark.parametrize("name", ["vgg11_bn", "mobilenet_v2", "timm:resnet10t", "timm:lcnet_035"])
def test_other_heads_and_norms_fit_every_family(name: str, options: dict[str, int]) -> None:
    with torch.device("meta"):
        model = build(name, num_classes=CLASSES, **options).eval()
        assert model(torch.empty(2, 3, 64, 64)).shape == (2, CLASSES)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {norm.weight is None for norm in norms} == {"affine" in options}
    last = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)][-1]
    assert isinstance(last, torch.nn.Conv2d if "conv_head" in options else torch.nn.Linear)
