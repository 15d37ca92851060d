"""Wider and narrower networks: one rule for all channel counts, and shapes that pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rgp.cost import cost
from rgp.errors import UsageError
from rgp.models.registry import build
from rgp.models.widen import widen_, widened

CHANNELS, PERCENTS, MULTIPLES = st.integers(1, 4096), st.integers(5, 2000), st.integers(1, 256)


@given(CHANNELS, PERCENTS, MULTIPLES)
def test_a_width_is_the_nearest_multiple_of_what_it_shares_with_the_nodes(channels: int, percent: int, of: int) -> None:
    wider = widened(channels, percent, of)
    step = next(step for step in range(of, 0, -1) if channels % step == of % step == 0)
    assert wider >= step
    assert wider % step == 0
    assert wider == step or abs(wider - channels * percent / 100) <= step / 2


@given(CHANNELS, MULTIPLES)
def test_a_hundred_percent_changes_nothing(channels: int, multiple: int) -> None:
    assert widened(channels, 100, multiple) == channels


@given(CHANNELS, PERCENTS, PERCENTS, MULTIPLES)
def test_more_percent_is_never_narrower(channels: int, one: int, other: int, multiple: int) -> None:
    low, high = sorted((one, other))
    assert widened(channels, low, multiple) <= widened(channels, high, multiple)


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "densenet121", "vgg11_bn", "mobilenet_v2"),
        *("cifar_resnet18", "cifar_resnet56", "cifar_vgg11_bn", "cifar_mobilenet_v2", "small_resnet"),
        *("timm:regnetx_002", "timm:mobilenetv3_small_050"),
    ],
)
def test_every_family_can_be_widened(name: str) -> None:
    with torch.device("meta"):
        model = build(name, num_classes=7, in_channels=1, width_percent=150, width_multiple=8).eval()
        plain = build(name, num_classes=7, in_channels=1)
        assert model(torch.empty(2, 1, 32, 32)).shape == (2, 7)
    wide = dict(model.named_modules())
    for layer, conv in plain.named_modules():
        if isinstance(conv, nn.Conv2d) and conv.groups in (1, conv.in_channels) and conv.out_channels % 16 == 0:
            assert wide[layer].out_channels == conv.out_channels * 3 // 2
            assert wide[layer].groups == (1 if conv.groups == 1 else wide[layer].in_channels)
    assert 2 < sum(p.numel() for p in model.parameters()) / sum(p.numel() for p in plain.parameters()) < 2.3


def test_grouped_convolutions_keep_the_width_of_their_groups() -> None:
    with torch.device("meta"):
        model = build("timm:resnext50_32x4d", num_classes=7, width_percent=150)
    conv = model.get_submodule("layer1.0.conv2")
    assert isinstance(conv, nn.Conv2d)
    assert (conv.in_channels, conv.out_channels, conv.groups) == (192, 192, 48)  # 128 of 32 groups, in multiples of 32


def test_wider_weights_start_as_the_others_do() -> None:
    torch.manual_seed(0)
    wide = build("timm:resnet10t", num_classes=50, width_percent=200)
    plain = build("timm:resnet10t", num_classes=50)
    conv = wide.get_parameter("layer3.0.conv1.weight")
    assert conv.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    head, narrow_head = wide.get_parameter("fc.weight"), plain.get_parameter("fc.weight")
    assert head.shape == (50, 1024)
    assert head.std().item() == pytest.approx(narrow_head.std().item() / 2**0.5, rel=0.05)
    for name, value in plain.state_dict().items():
        if "bn" in name and value.ndim:  # timm starts the last norm of each block at zero
            assert wide.state_dict()[name].unique().tolist() == value.unique().tolist(), name


def test_the_seed_decides_wider_weights() -> None:
    def weights(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return build("small_resnet", num_classes=3, width=8, width_percent=150).state_dict()

    one, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["fc.weight"], other["fc.weight"])


def test_macs_grow_with_the_square_of_the_width() -> None:
    def macs(percent: int) -> int:
        with torch.device("meta"):
            return cost(build("cifar_resnet18", num_classes=10, width_percent=percent), (3, 32, 32)).dense_macs

    assert macs(200) / macs(100) == pytest.approx(4, rel=0.01)
    assert macs(50) / macs(100) == pytest.approx(1 / 4, rel=0.02)


class Halves(nn.Module):
    """Takes the first eight channels by their number."""

    def __init__(self, take: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.conv, self.head = nn.Conv2d(3, 16, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 5)
        self.take = take

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(self.take(self.stem(images))).mean((2, 3)))
        return logits


class Unused(nn.Module):
    """Has a layer that no image reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.spare, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.stem(images).mean((2, 3)))
        return logits


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Halves(lambda features: features[:, :8]), "picks channels by their number"),
        (lambda: Halves(lambda features: torch.split(features, 8, dim=1)[0]), "picks channels by their number"),
        (lambda: Halves(lambda features: features.reshape(-1, 2, 8, 224, 224).sum(1)), "invalid for input of size"),
        (Unused, "a layer is not used"),
    ],
    ids=["slice", "split", "reshape", "unused"],
)
def test_a_network_that_ties_its_channels_otherwise_is_refused_and_not_changed(
    make: Callable[[], nn.Module], said: str
) -> None:
    model = make()
    shapes = [parameter.shape for parameter in model.parameters()]
    with pytest.raises(UsageError, match=said) as caught:
        widen_(model, make, 150)
    assert "\n" not in str(caught.value)
    assert [parameter.shape for parameter in model.parameters()] == shapes


@pytest.mark.parametrize("name", ["timm:ghostnet_050", "timm:test_nfnet", "timm:test_convnext", "timm:test_vit"])
def test_networks_of_timm_that_cannot_be_widened_say_so(name: str) -> None:
    with pytest.raises(UsageError, match=f"^architecture {name}: it cannot be widened, "):
        build(name, num_classes=3, width_percent=150)


@pytest.mark.parametrize("options", [{"width_percent": 4}, {"width_percent": 2001}, {"width_multiple": 0}], ids=str)
def test_a_width_out_of_bounds_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"width_percent .* give 5 to 2000"):
        build("small_resnet", num_classes=3, **options)
