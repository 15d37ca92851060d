"""Every family of networks trains from a configuration to a checkpoint that evaluates to the same figures."""

from collections.abc import Callable

import pytest

from rgp.checkpoint import Checkpoint
from rgp.train.config import TrainConfig
from rgp.train.evaluation import evaluate_checkpoint
from rgp.train.loop import train

# the smallest of each family: its images' side, and the data set
FAMILIES = {
    "resnet18": ("synthetic:6x16", 32),
    "vgg11_bn": ("synthetic:6x8", 32),
    "densenet121": ("synthetic:6x8", 32),
    "mobilenet_v2": ("synthetic:6x48", 32),
    "efficientnet_b0": ("synthetic:6x16", 32),
    "timm:test_resnet": ("synthetic:6x48", 32),
    "cifar_resnet18": ("synthetic:6x16", 16),
    "cifar_resnet56": ("synthetic:6x48", 16),
    "cifar_vgg11_bn": ("synthetic:6x16", 32),
    "cifar_mobilenet_v2": ("synthetic:6x48", 16),
    "small_resnet": ("digits", 16),
}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_family_trains_end_to_end(architecture: str, configured: Callable[..., TrainConfig]) -> None:
    data, size = FAMILIES[architecture]
    config = configured(
        data=data,
        image_size=size,
        architecture=architecture,
        width=8 if architecture == "small_resnet" else None,
        graph="ring:8_2" if architecture == "small_resnet" else "16_4",
        narrow="dense",
        epochs=1,
        batch_size=8,
        lr=0.01,
    )
    result = train(config)
    assert 0 < result.cost.macs < result.cost.dense_macs
    checkpoint = Checkpoint.load(result.folder.last)
    assert checkpoint.masks
    assert evaluate_checkpoint(config, result.folder.last) == pytest.approx(result.last, abs=1e-4)
