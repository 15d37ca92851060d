"""The network that a configuration describes, with its graph in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from rgp.errors import CheckpointError
from rgp.families import parse
from rgp.graph import Graph
from rgp.models import official
from rgp.models.match import budget_of, match_width
from rgp.models.registry import build
from rgp.prune import LayerDecision, prune
from rgp.train.config import TrainConfig
from rgp.train.dataset import ImageData
from rgp.train.recipe import scale_to_density_


def builder_options(config: TrainConfig, data: ImageData) -> dict[str, int]:
    """What ``rgp.models`` needs beside the architecture's name; a checkpoint keeps it.

    Where ``match_macs`` wants another width, that is searched: seconds, for large networks up to a minute.
    """
    options = {"num_classes": len(data.labels), "in_channels": data.preprocess.channels}
    chosen = {"width": config.width, "blocks": config.blocks}
    options |= {name: value for name, value in chosen.items() if value is not None}
    if config.match_macs is None:
        return options
    shape = (data.preprocess.channels, data.preprocess.size, data.preprocess.size)
    budget = budget_of(config.match_macs, config.architecture, options, shape)
    return options | match_width(config.architecture, options, _graphs(config), shape, budget, **_placing(config))


def build_network(
    config: TrainConfig, data: ImageData, options: dict[str, int]
) -> tuple[nn.Module, list[LayerDecision]]:
    """Fresh weights, or ``pretrained`` ones, under the graph's mask; and what became of each convolution.

    ``options``: those of ``builder_options``.
    """
    network = build(config.architecture, **options)
    if config.pretrained is not None:
        _start_from(Path(config.pretrained), network)
    if config.graph == "dense":
        return network, []
    decisions = prune(network, _graphs(config), **_placing(config))
    if config.init == "density" and config.pretrained is None:
        scale_to_density_(network)
    return network, decisions


def _graphs(config: TrainConfig) -> tuple[Graph, ...]:
    return () if config.graph == "dense" else parse(config.graph)


def _placing(config: TrainConfig) -> dict[str, Any]:
    """Which layers the graph goes on."""
    return {name: getattr(config, name) for name in ("first_dense", "last_dense", "skip", "narrow", "turns")}


def _start_from(path: Path, network: nn.Module) -> None:
    """Copy a checkpoint's weights; its own masks are left behind, the weights under them are zero."""
    checkpoint = official.load(path)
    weights = {key: value for key, value in checkpoint.state.items() if not key.endswith(".adjacency")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: holds another network ({checkpoint.architecture}): {reason:.300}") from error
