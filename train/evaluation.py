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
from rgp.train.batches import EvaluationBatches, Part
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.device import autocast
from rgp.train.distributed import Processes

Metrics = dict[str, float]
"""``top1`` and, with more than 5 classes, ``top5`` in percent; ``loss``, the mean cross-entropy; and ``raw_top1``,
``top1`` of the network itself, where what is kept and measured is the average of its weights."""


@torch.inference_mode()
def evaluate(
    network: nn.Module,
    batches: EvaluationBatches,
    normalise: Normalise,
    precision: torch.autocast,
    processes: Processes,
) -> Metrics:
    """Evaluate ``network``, which it leaves in evaluation mode; every image counts once, in one of the processes."""
    network.eval()
    sums = torch.zeros(5, device=processes.device, dtype=torch.float64)
    for images, classes in batches:
        classes = classes.to(processes.device, non_blocking=True)
        with precision:
            logits = network(normalise(images.to(processes.device, non_blocking=True))).float()
        best = logits.topk(min(5, logits.shape[1])).indices == classes[:, None]
        loss = F.cross_entropy(logits, classes, reduction="sum")
        known = float(len(classes) * (logits.shape[1] > 5))  # images for which the best five say something
        sums += torch.stack([loss, best[:, 0].sum(), best.sum(), loss.new_tensor(len(classes)), loss.new_tensor(known)])
    loss_sum, first, five, count, known = processes.total(sums).tolist()
    metrics = {"loss": loss_sum / count, "top1": 100 * first / count}
    return metrics | ({"top5": 100 * five / count} if known else {})


def evaluate_checkpoint(config: TrainConfig, path: Path) -> Metrics:
    """Evaluate a checkpoint on the held-out images of ``config.data``, preprocessed as the checkpoint says."""
    processes = Processes(config)
    checkpoint = official.load(path)
    device, part = processes.device, Part(processes.index, processes.count)
    with processes.first_before_the_others():  # it may download
        data = load_data(config)
    preprocess, classes = checkpoint.preprocess, official.unnamed(len(data.labels))
    if checkpoint.labels == classes and preprocess.channels == data.preprocess.channels:
        preprocess = data.preprocess  # a file of the published code: only the user knows its data set
    elif checkpoint.labels != data.labels:
        raise CheckpointError(
            f"{path}: knows {_classes(checkpoint.labels)}, {config.data} has {_classes(data.labels)}: evaluate it on "
            "the data set it was trained on"
        )
    size = max(1, config.batch_size // processes.count)
    batches = EvaluationBatches(data.val, preprocess, size, config.workers, device.type == "cuda", part)
    normalise = Normalise(preprocess).to(device)
    return evaluate(restore(checkpoint).to(device), batches, normalise, autocast(config, device), processes)


def shown(metrics: Mapping[str, float]) -> str:
    """Metrics in words: "top-1 98.35%, top-5 100.00%"; and what the weights reach that were not averaged."""
    words = [f"top-{name[3:]} {value:.2f}%" for name, value in metrics.items() if name.startswith("top")]
    raw = [f"without averaging {metrics['raw_top1']:.2f}%"] if "raw_top1" in metrics else []
    return ", ".join(words + raw)


def _classes(labels: tuple[str, ...]) -> str:
    return f"{len(labels)} classes ({', '.join(labels[:3])}, ...)"
