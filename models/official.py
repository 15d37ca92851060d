"""Checkpoints of the published code of RGP, read into ours: its state_dict alone says what the network is.

The file is a dict with ``state_dict``; the data set, N, the matrix and the flags of the run are not in it. Each
masked convolution X has ``X.weight`` (O, I, k, k), not zero under the mask, and ``X.scores`` (O, I, 1, 1).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rgp.checkpoint import Checkpoint, load_plain
from rgp.errors import CheckpointError
from rgp.models.published import Layout, check_fits, head_in, layout_of, recognise
from rgp.models.published_names import PUBLISHED
from rgp.models.scores import adjacencies, is_mask, spelled
from rgp.preprocess import Preprocess

LOG = logging.getLogger("rgp")
SMALL = Preprocess(3, 32, 32, mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))  # its CIFAR runs
LARGE = Preprocess(3, 224, 256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))  # ImageNet, Tiny-ImageNet
State = dict[str, Tensor]


def load(path: Path) -> Checkpoint:
    """Read a checkpoint of ours or of the published code; raises CheckpointError that says why a file is neither.

    What is not in a published file is assumed, and logged: classes are numbered, images prepared as for CIFAR or
    ImageNet. Weights under a mask are zeroed. Where scores are not 0 and 1 the layer is dense: its weights are
    multiplied by them, in float64 so that no digit is lost, and that is logged.
    """
    values = load_plain(path)
    if "state_dict" not in values or "format" in values:
        return Checkpoint.of(values, path)
    try:
        return _imported(values, path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}: damaged, or not written by the published code") from error


def unnamed(classes: int) -> tuple[str, ...]:
    """Labels for classes whose names are not known.

    >>> unnamed(2)
    ('class 0', 'class 1')
    """
    return tuple(f"class {number}" for number in range(classes))


def _imported(values: Mapping[str, Any], path: Path) -> Checkpoint:
    published = _tensors(values["state_dict"])
    scores = {key.removesuffix(".scores"): published.pop(key) for key in list(published) if key.endswith(".scores")}
    name = recognise(published, values.get("arch"))
    options = _options(name, published, scores)
    layout = layout_of(name, **options)
    check_fits(published, scores, layout)

    trained = {layer: each for layer, each in scores.items() if not is_mask(each)}
    masks = adjacencies({layer: each for layer, each in scores.items() if layer not in trained and not each.all()})
    if trained:
        LOG.warning(
            "%s: the scores of %d of %d layers are not 0 and 1 (trained without --freeze-subnet): these layers are "
            "dense, their weights multiplied by the scores",
            *(path, len(trained), len(scores)),
        )
    graph, classes = spelled(masks), options["num_classes"]
    small = PUBLISHED[name].startswith("cifar_") and classes not in (200, 1000)
    LOG.warning(
        "%s: %s of the published code, %d classes, graph %s; it does not say which data set it is for: assuming "
        "images as in %s, classes without names",
        *(path, name, classes, graph, "CIFAR" if small else "ImageNet"),
    )
    accuracies = {"top1": values.get("curr_acc1"), "top5": values.get("curr_acc5")}
    return Checkpoint(
        architecture=PUBLISHED[name],
        options={"in_channels": 3} | options,
        labels=unnamed(classes),
        preprocess=SMALL if small else LARGE,
        graph=graph,
        state=_translated(published, scores, trained, masks, layout),
        metrics={key: float(value) for key, value in accuracies.items() if isinstance(value, int | float)},
    )


def _tensors(values: object) -> State:
    """The state_dict without "module."; CheckpointError unless it is names and tensors that are really stored."""
    if not isinstance(values, dict) or not values:
        raise CheckpointError("its state_dict is no dict of tensors")
    state: State = {}
    for key, value in values.items():
        name = str(key).removeprefix("module.")
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"its state_dict has {name!r:.80}, a {type(value).__name__}, not a named tensor")
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise CheckpointError(f"'{name:.80}' is not a plain tensor")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():  # a few numbers, repeated
            raise CheckpointError(f"'{name:.80}' has shape {tuple(value.shape)}, but fewer numbers are stored")
        if name in state:
            raise CheckpointError(f"it has '{name:.80}' twice, with and without 'module.'")
        state[name] = value.detach()
    return state


def _options(name: str, state: State, scores: State) -> dict[str, int]:
    """The options of our builder with which the published network ``name`` is the one in ``state``."""
    layout = layout_of(name)
    head = head_in(layout)
    weight = state.get(f"{head}.weight")
    if weight is None or weight.ndim == 0 or len(weight) == 0:
        raise CheckpointError(f"it has no '{head}.weight'")
    options = {"num_classes": len(weight)}
    if layout[f"{head}.weight"].maskable and head in scores and is_mask(scores[head]):
        options["conv_head"] = 1
    norms = [key for key, wanted in layout.items() if key.endswith(".weight") and len(wanted.shape) == 1]
    if not any(norm in state for norm in norms):
        options["affine"] = 0
    return options


def _translated(published: State, scores: State, trained: State, masks: State, layout: Layout) -> State:
    """Our state: our keys and shapes, adjacencies instead of scores."""
    state: State = {}
    for key, wanted in layout.items():
        layer, _, kind = key.rpartition(".")
        if key not in published:  # the bias of a graph head
            value = torch.zeros(wanted.published)
        elif kind == "weight" and layer in trained:
            value = published[key].double() * trained[layer].double()
        elif kind == "weight" and layer in masks:
            value = torch.where(scores[layer].bool(), published[key], 0)
            state[f"{wanted.key.removesuffix('.weight')}.adjacency"] = masks[layer]
        else:
            value = published[key]
        state[wanted.key] = value.reshape(wanted.shape)
    return state
