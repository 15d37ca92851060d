"""The small residual network: its stages, its sizes."""

import pytest
import torch
from torch import nn

from rgp.models.small import SmallResNet


def widths(model: nn.Module) -> list[int]:
    return [module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)]


def test_three_stages_double_the_width_and_halve_the_side() -> None:
    model = SmallResNet(num_classes=10, in_channels=1, width=8, blocks=1).eval()
    assert widths(model) == [8, 8, 8, 16, 16, 16, 32, 32, 32]  # stem, then two a block and the shortcuts
    assert model.blocks(model.stem(torch.zeros(2, 1, 16, 16))).shape == (2, 32, 4, 4)
    assert model(torch.zeros(2, 1, 16, 16)).shape == (2, 10)


@pytest.mark.parametrize("side", [8, 9, 16, 33])
@pytest.mark.parametrize("blocks", [1, 3])
def test_any_side_and_depth_will_do(side: int, blocks: int) -> None:
    model = SmallResNet(num_classes=3, in_channels=3, width=4, blocks=blocks)
    assert len(model.blocks) == 3 * blocks
    logits = model(torch.randn(2, 3, side, side))
    logits.sum().backward()
    assert logits.shape == (2, 3)
    assert all(parameter.grad is not None for parameter in model.parameters())
