"""What a step lowers: cross-entropy with the classes, mixed images, and the distance to a teacher.

Sources: label smoothing, Szegedy et al., arXiv 1512.00567; mixup, Zhang et al., arXiv 1710.09412; CutMix, Yun et al.,
arXiv 1905.04899; distillation, Hinton et al., arXiv 1503.02531.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from rgp.errors import CheckpointError
from rgp.models import official
from rgp.models.registry import restore
from rgp.train.config import TrainConfig
from rgp.train.dataset import ImageData


class Objective:
    """The loss of a configuration; ``mixed`` prepares a batch for it."""

    def __init__(self, config: TrainConfig, data: ImageData, device: torch.device) -> None:
        self.config = config
        self.mixed: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = _mixing(config, len(data.labels))
        self.teacher = _teacher(Path(config.teacher), data).to(device) if config.teacher else None

    def __call__(self, logits: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        """The mean over the batch; ``logits`` (B, classes), ``images`` as the network saw them.

        ``targets``: classes (B,), or where images are mixed, shares of the classes (B, classes).
        """
        loss = F.cross_entropy(logits, targets, label_smoothing=self.config.label_smoothing)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            wanted = self.teacher(images)
        share, temperature = self.config.teacher_share, self.config.temperature
        # the gradient of soft answers shrinks with the square of the temperature (Hinton et al., section 2)
        distance = temperature**2 * F.kl_div(
            F.log_softmax(logits.float() / temperature, dim=1),
            F.log_softmax(wanted.float() / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - share) * loss + share * distance


def _mixing(config: TrainConfig, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Mix each image with another one of its batch, by torch's own generator."""
    kinds = ((v2.MixUp, config.mixup), (v2.CutMix, config.cutmix))
    wanted = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds if alpha]
    return v2.RandomChoice(wanted) if wanted else lambda images, targets: (images, targets)


def _teacher(path: Path, data: ImageData) -> nn.Module:
    checkpoint = official.load(path)
    ours, theirs = data.preprocess, checkpoint.preprocess
    if checkpoint.labels not in (data.labels, official.unnamed(len(data.labels))):
        raise CheckpointError(f"{path}: the teacher knows other classes than the data: give one trained on this data")
    if (ours.channels, ours.size, ours.mean, ours.std) != (theirs.channels, theirs.size, theirs.mean, theirs.std):
        raise CheckpointError(
            f"{path}: the teacher sees {theirs.channels} x {theirs.size} x {theirs.size} images of mean {theirs.mean}, "
            f"the data gives {ours.channels} x {ours.size} x {ours.size} of mean {ours.mean}: give one trained on it"
        )
    return restore(checkpoint)
