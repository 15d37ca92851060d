"""Networks by name, and from checkpoints."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from rgp.checkpoint import Checkpoint
from rgp.conv import GraphConv2d
from rgp.cost import cost
from rgp.errors import CheckpointError, UsageError
from rgp.families import parse
from rgp.models.registry import NETWORKS, build, restore
from rgp.preprocess import Preprocess
from rgp.prune import prune


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


# deeper members of the same classes, which take seconds and tell no more
DEEPER = {"resnet101", "resnet152", "wide_resnet101_2", "cifar_resnet101", "densenet161", "densenet169", "densenet201"}
DEEPER |= {"efficientnet_b1", "efficientnet_b2", "efficientnet_b3"}


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - DEEPER))
def test_every_network_builds_for_any_number_of_channels(name: str) -> None:
    with torch.device("meta"):
        model = build(name, num_classes=7, in_channels=2).eval()
        assert model(torch.empty(2, 2, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet18", "wide_resnet50_2", "vgg16_bn", "mobilenet_v2", "efficientnet_b0"])
def test_torchvisions_networks_keep_torchvisions_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        ours = build(name, num_classes=1000).state_dict()
        theirs = torchvision.models.get_model(name, weights=None).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vgg11_bn", "mobilenet_v2", "efficientnet_b0"])
def test_a_stem_for_grey_images_differs_in_its_inputs_only(name: str) -> None:
    with torch.device("meta"):
        grey, colour = (build(name, num_classes=3, in_channels=channels) for channels in (1, 3))
    stems = [next(m for m in model.modules() if isinstance(m, nn.Conv2d)) for model in (grey, colour)]
    assert [stem.in_channels for stem in stems] == [1, 3]
    alike = ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    assert [getattr(stems[0], key) for key in alike] == [getattr(stems[1], key) for key in alike]
    assert (stems[0].bias is None) == (stems[1].bias is None)


@pytest.mark.parametrize(
    ("name", "side", "mega_macs"),
    [("cifar_resnet18", 32, 555.4), ("resnet18", 224, 1814.1), ("resnet50", 224, 4089.2)],
)
def test_networks_cost_what_the_literature_says(name: str, side: int, mega_macs: float) -> None:
    with torch.device("meta"):
        model = build(name, num_classes=10 if side == 32 else 1000)
    assert round(cost(model, (3, side, side)).dense_macs / 1e6, 1) == mega_macs


def test_convolutions_start_kaiming_normal_over_the_dense_fan_in() -> None:
    torch.manual_seed(0)
    weight = build("cifar_resnet18", num_classes=10).get_parameter("layer3.1.conv1.weight")
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=1e-3)


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return build("small_resnet", num_classes=3, width=4).get_parameter("stem.0.weight")

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: build("resnet81", num_classes=10), "unknown architecture 'resnet81': did you mean 'resnet18'?"),
        (lambda: build("small_resnet", num_classes=10, depth=3), "depth"),
        (lambda: build("resnet18", num_classes=10, width=3), "width"),
        (lambda: build("small_resnet"), "num_classes"),
    ],
)
def test_a_network_or_option_that_is_unknown_is_named(call: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def checkpoint_of(model: nn.Module, graph: str, **options: int) -> Checkpoint:
    labels = tuple("abc")
    preprocess = Preprocess(1, 8, 8, mean=(0.5,), std=(0.5,))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    return Checkpoint("small_resnet", {"num_classes": 3, **options}, labels, preprocess, graph, state)


def small(graph: str, width: int = 16, blocks: int = 2) -> tuple[nn.Module, Checkpoint]:
    torch.manual_seed(0)
    model = build("small_resnet", num_classes=3, width=width, blocks=blocks)
    if graph != "dense":
        prune(model, parse(graph))
    for images in torch.randn(3, 4, 1, 8, 8):  # so that BatchNorm has something to remember
        model.train()(images)
    return model.eval(), checkpoint_of(model, graph, width=width, blocks=blocks)


@pytest.mark.parametrize("graph", ["dense", "ring:16_4", "random:5_2?seed=3", "affine:16_4?rotate=1"])
def test_a_network_comes_back_from_its_file_bit_for_bit(graph: str, tmp_path: Path) -> None:
    model, checkpoint = small(graph)
    checkpoint.save(tmp_path / "c.pth")
    restored = restore(Checkpoint.load(tmp_path / "c.pth"))
    assert not restored.training
    images = torch.randn(5, 1, 8, 8)
    assert torch.equal(restored(images), model(images))
    kinds = [type(module) for module in model.modules()]
    assert [type(module) for module in restored.modules()] == kinds


def test_each_layer_gets_its_own_graph_back() -> None:
    model, checkpoint = small("affine:16_4?rotate=1")
    restored = restore(checkpoint)
    masked = {name: m.adjacency for name, m in restored.named_modules() if isinstance(m, GraphConv2d)}
    assert len({mask.numpy().tobytes() for mask in masked.values()}) == 5
    for name, mask in masked.items():
        assert torch.equal(mask, model.get_buffer(f"{name}.adjacency"))


def test_weights_under_the_mask_are_zero_whatever_the_file_holds() -> None:
    _, checkpoint = small("ring:16_4")
    layer = "blocks.1.conv2"
    spoilt = checkpoint.state | {f"{layer}.weight": torch.full_like(checkpoint.state[f"{layer}.weight"], 7.0)}
    conv = restore(replace(checkpoint, state=spoilt)).get_submodule(layer)
    assert isinstance(conv, GraphConv2d)
    assert (conv.weight[~conv.mask] == 0).all()
    assert (conv.weight[conv.mask] == 7).all()


MASK = torch.ones(4, 4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "small_resnt"}, "did you mean 'small_resnet'"),
        ({"options": {"num_classes": 4, "width": 16, "blocks": 2}}, "4 classes and 3 labels"),
        ({"options": {"num_classes": 4, "width": 16, "blocks": 2}, "labels": ("a", "b", "c", "d")}, "fc"),
        ({"options": {"num_classes": 3, "width": 8, "blocks": 2}}, "stem.0.weight"),
        ({"options": {"num_classes": 3, "width": 16, "blocks": 1}}, "blocks.3"),
        ({"options": {"num_classes": 3, "width": -16, "blocks": 2}}, "negative dimension -16"),
        ({"state": {}}, "Missing key"),
        ({"add": {"head.weight": torch.zeros(1)}}, "Unexpected key"),
        ({"add": {"head.weight": torch.zeros(1).expand(10**12)}}, "fewer numbers are stored"),
        ({"add": {"fc.adjacency": MASK}}, "'fc' has a mask but is Linear"),
        ({"add": {"absent.adjacency": MASK}}, "absent"),
        ({"add": {"stem.0.adjacency": MASK}}, "a graph of 4 nodes needs 4 channels"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_with_the_reason(changes: dict[str, object], said: str) -> None:
    _, checkpoint = small("dense")
    if "add" in changes:
        added = changes.pop("add")
        assert isinstance(added, dict)
        changes = {"state": checkpoint.state | added}
    with pytest.raises(CheckpointError) as caught:
        restore(replace(checkpoint, **changes))  # type: ignore[arg-type]
    assert str(caught.value).startswith("the checkpoint does not fit its own architecture: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
