"""Networks to compile."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from rgp.checkpoint import Checkpoint
from rgp.families import parse
from rgp.models.registry import build
from rgp.preprocess import Preprocess
from rgp.prune import prune

GREY = Preprocess(channels=1, size=12, resize=12, mean=(0.5,), std=(0.25,))


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give BatchNorm running statistics and affine parameters that matter, as after training."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, generator=generator)
    return model.eval()


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write the checkpoint of a small network under a graph ("dense": none) with random weights."""

    def write(graph: str = "affine:16_4?rotate=1", width: int = 16) -> Path:
        torch.manual_seed(0)
        options = {"num_classes": 10, "in_channels": 1, "width": width}
        model = build("small_resnet", **options)
        if graph != "dense":
            prune(model, parse(graph))
        randomised(model)
        path = tmp_path / "net.pth"
        labels = tuple(map(str, range(10)))
        Checkpoint("small_resnet", options, labels, GREY, graph, model.state_dict()).save(path)
        return path

    return write
