"""How good a network is on the held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from rgp.errors import CheckpointError
from rgp.models import official
from rgp.models.registry import restore
from rgp.normalise import Normalise
from rgp.train.batches import EvaluationBatches
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.device import autocast, choose_device

Metrics = dict[str, float]
"""``top1`` and, with more than 5 classes, ``top5`` in percent; ``loss``, the mean cross-entropy; and ``raw_top1``,
``top1`` of the network itself, where what is kept and measured is the average of its weights."""


@torch.inference_mode()
def evaluate(
    network: nn.Module, batches: EvaluationBatches, normalise: Normalise, precision: torch.autocast
) -> Metrics:
    """Evaluate ``network``, which it leaves in evaluation mode; every image counts once."""
    network.eval()
    device = normalise.get_buffer("scale").device
    sums: dict[str, torch.Tensor] = {}
    count = 0
    for images, classes in batches:
        classes = classes.to(device, non_blocking=True)
        with precision:
            logits = network(normalise(images.to(device, non_blocking=True))).float()
        best = logits.topk(min(5, logits.shape[1])).indices == classes[:, None]
        found = {"loss": F.cross_entropy(logits, classes, reduction="sum"), "top1": 100 * best[:, 0].sum()}
        if logits.shape[1] > 5:
            found["top5"] = 100 * best.sum()
        sums = {name: sums.get(name, 0) + value.double() for name, value in found.items()}
        count += len(classes)
    return {name: total.item() / count for name, total in sums.items()}


def evaluate_checkpoint(config: TrainConfig, path: Path) -> Metrics:
    """Evaluate a checkpoint on the held-out images of ``config.data``, preprocessed as the checkpoint says."""
    checkpoint = official.load(path)
    device = choose_device(config)
    data = load_data(config)
    preprocess, classes = checkpoint.preprocess, official.unnamed(len(data.labels))
    if checkpoint.labels == classes and preprocess.channels == data.preprocess.channels:
        preprocess = data.preprocess  # a file of the published code: only the user knows its data set
    elif checkpoint.labels != data.labels:
        raise CheckpointError(
            f"{path}: knows {_classes(checkpoint.labels)}, {config.data} has {_classes(data.labels)}: evaluate it on "
            "the data set it was trained on"
        )
    batches = EvaluationBatches(data.val, preprocess, config.batch_size, config.workers, pin=device.type == "cuda")
    normalise = Normalise(preprocess).to(device)
    return evaluate(restore(checkpoint).to(device), batches, normalise, autocast(config, device))


def shown(metrics: Mapping[str, float]) -> str:
    """Metrics in words: "top-1 98.35%, top-5 100.00%"; and what the weights reach that were not averaged."""
    words = [f"top-{name[3:]} {value:.2f}%" for name, value in metrics.items() if name.startswith("top")]
    raw = [f"without averaging {metrics['raw_top1']:.2f}%"] if "raw_top1" in metrics else []
    return ", ".join(words + raw)


def _classes(labels: tuple[str, ...]) -> str:
    return f"{len(labels)} classes ({', '.join(labels[:3])}, ...)"
