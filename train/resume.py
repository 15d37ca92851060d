"""Continue a run where its last checkpoint stands, bit for bit on a CPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor

from rgp.checkpoint import Checkpoint
from rgp.errors import CheckpointError, UsageError
from rgp.train.config import TrainConfig
from rgp.train.evaluation import Metrics
from rgp.train.learner import Learner
from rgp.train.randomness import random_state, set_random_state
from rgp.train.tracking import MAY_CHANGE, RunFolder


@dataclass(frozen=True)
class Position:
    """How far a run has come."""

    epochs: int = 0
    """Finished ones."""
    steps: int = 0
    """Those of the next epoch that are done too."""
    loss: float = 0.0
    """The sum over these steps."""
    last: Metrics = field(default_factory=dict)
    """Metrics of the last finished epoch."""
    best: Metrics = field(default_factory=dict)
    """Metrics of the epoch with the highest top-1."""
    seconds: float = 0.0
    """What the finished epochs took."""


class TrainingState(TypedDict):
    """What ``--resume`` needs beside the weights."""

    config: dict[str, Any]
    """Every setting of the run, by its key."""
    position: dict[str, Any]
    """How far the run has come."""
    order: dict[str, int]
    """What the batches of an epoch depend on beside its number and the seed: ``images``, ``batch``, ``lanes``."""
    optimiser: dict[str, Any]
    """The optimiser's ``state_dict``."""
    scaler: dict[str, Any]
    """The loss scaler's ``state_dict``; empty unless ``amp`` is fp16."""
    random: list[dict[str, Any]]
    """The random generators of each process: ``python``, ``numpy``, ``torch``, ``cuda`` (None without a GPU)."""
    network: NotRequired[dict[str, Tensor]]
    """The weights and buffers that are trained, where the checkpoint's ``state`` is their average (``ema``)."""
    averaged: NotRequired[int]
    """How many steps that average is of."""


def checkpoint_to_resume(config: TrainConfig) -> Path | None:
    """The checkpoint that ``config.resume`` means; None for a new run."""
    if config.resume == "auto":
        newest = RunFolder.newest(config)
        return newest.last if newest else None
    if config.resume is None:
        return None
    path = Path(config.resume)
    if path.parent.name != "checkpoints":
        raise UsageError(
            f"resume is '{path}': a run continues in its own folder: give runs/<config>/<name>/checkpoints/last.pth"
        )
    return path


def training_state(learner: Learner, position: Position) -> dict[str, Any]:
    """What a checkpoint keeps for ``resume`` beside the weights: plain values and tensors. All processes meet here."""
    state: TrainingState = {
        "config": asdict(learner.config),
        "position": asdict(position),
        "order": learner.batches.order,
        "optimiser": learner.optimiser.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "random": learner.processes.gathered(random_state(learner.device)),
    }
    if learner.average is not None:
        state["network"] = {key: value.cpu() for key, value in learner.network.state_dict().items()}
        state["averaged"] = int(learner.average.n_averaged)
    return dict(state)


def resume(learner: Learner, path: Path) -> Position:
    """Load weights, optimiser and generators into ``learner``; UsageError names a setting that differs."""
    checkpoint = Checkpoint.load(path)
    if not checkpoint.training:
        raise UsageError(f"{path}: has no training state: resume from the last.pth beside it")
    try:
        position = Position(**checkpoint.training["position"])
        _check_same_run(learner, checkpoint, path)
        learner.network.load_state_dict(checkpoint.training.get("network", checkpoint.state))
        if learner.average:
            learner.average.module.load_state_dict(checkpoint.state)
            learner.average.n_averaged.fill_(checkpoint.training["averaged"])
        learner.optimiser.load_state_dict(checkpoint.training["optimiser"])
        learner.scaler.load_state_dict(checkpoint.training["scaler"])
        generators = checkpoint.training["random"]
        if learner.processes.index < len(generators):  # else the run had fewer processes
            set_random_state(generators[learner.processes.index], learner.device)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise CheckpointError(
            f"{path}: its training state is damaged, or of another version ({reason:.200})"
        ) from error
    return position


def _check_same_run(learner: Learner, checkpoint: Checkpoint, path: Path) -> None:
    theirs = checkpoint.training["config"]
    for key, ours in asdict(learner.config).items():
        if key not in MAY_CHANGE and theirs[key] != ours:
            raise UsageError(f"{path}: its run has {key} {theirs[key]!r}, not {ours!r}: start a new run to change it")
    if (order := checkpoint.training["order"]) != learner.batches.order:
        raise UsageError(
            f"{path}: its run goes through the images as {order}, this one as {learner.batches.order}: give it "
            "the same images and number of processes"
        )
    if checkpoint.labels != learner.data.labels:
        raise UsageError(f"{path}: its run has other classes: the images of {learner.config.data} have changed")
    for layer, adjacency in checkpoint.masks.items():
        if not torch.equal(adjacency, learner.network.get_buffer(f"{layer}.adjacency").cpu()):
            raise UsageError(f"{path}: its run has another graph in {layer}: {learner.config.graph} has changed")
