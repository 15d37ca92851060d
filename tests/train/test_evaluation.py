"""Top-1, top-5 and loss against a table of answers that is small enough to count by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rgp.normalise import Normalise
from rgp.preprocess import Preprocess
from rgp.train.batches import EvaluationBatches
from rgp.train.config import TrainConfig
from rgp.train.dataset import GreyImages
from rgp.train.distributed import Processes
from rgp.train.evaluation import Metrics, evaluate, shown

PREPROCESS = Preprocess(1, 1, 1, mean=(0.0,), std=(1.0,))


class Ranked(nn.Module):
    """Ranks the classes: the one that the pixel names comes first, the next one second, and so on around."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        named = (images[:, 0, 0, 0] * 255).round().long()
        return -((torch.arange(self.classes) - named[:, None]) % self.classes).float()


def measured(named: list[int], right: list[int], classes: int, batch_size: int = 2) -> Metrics:
    scans = GreyImages(np.array(named, np.uint8).reshape(-1, 1, 1), np.array(right))
    batches = EvaluationBatches(scans, PREPROCESS, batch_size, workers=0, pin=False)
    alone = Processes(TrainConfig(device="cpu"))
    return evaluate(Ranked(classes), batches, Normalise(PREPROCESS), torch.autocast("cpu", enabled=False), alone)


def test_top1_and_top5_count_what_they_say() -> None:
    # ranks of the right class: first, second, fifth, sixth, last
    metrics = measured(named=[0, 0, 3, 3, 6], right=[0, 1, 0, 1, 5], classes=7)
    assert metrics["top1"] == pytest.approx(100 * 1 / 5)
    assert metrics["top5"] == pytest.approx(100 * 3 / 5)


def test_the_loss_is_the_mean_over_images_and_not_over_batches() -> None:
    scores = sum(math.exp(-rank) for rank in range(3))
    expected = (0 + 1 + 2 + 2 + 2) / 5 + math.log(scores)
    for size in (1, 2, 4, 9):
        metrics = measured(named=[0, 0, 0, 1, 2], right=[0, 1, 2, 0, 1], classes=3, batch_size=size)
        assert metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_top5_is_told_only_where_it_means_something() -> None:
    assert "top5" not in measured([0], [0], classes=5)
    assert "top5" in measured([0], [0], classes=6)


def test_metrics_are_shown_in_percent() -> None:
    assert shown({"loss": 0.5, "top1": 98.3516, "top5": 100.0}) == "top-1 98.35%, top-5 100.00%"
