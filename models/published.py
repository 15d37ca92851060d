"""What the networks of the published code of RGP look like in a state_dict, and which one a state_dict holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from rgp.errors import CheckpointError
from rgp.models.published_names import PUBLISHED
from rgp.models.registry import build, head_of


@dataclass(frozen=True)
class Wanted:
    """A tensor of a network: its key and shape in ours, its shape in the published code, and what it may be.

    ``maskable``: the weight of a convolution without groups. ``optional``: the bias that a graph head has not.
    """

    key: str
    shape: torch.Size
    published: torch.Size
    floating: bool
    maskable: bool
    optional: bool


Layout = dict[str, Wanted]
"""The tensors of a network by published key; those of the classifier are the last."""


@cache
def layout_of(name: str, num_classes: int = 10, conv_head: int = 0, affine: int = 1) -> Layout:
    """What the published network ``name`` consists of; the options are those of ``rgp.models.registry.build``."""
    with torch.device("meta"):
        model = build(PUBLISHED[name], num_classes=num_classes, in_channels=3, affine=affine)
        head = head_of(model)
        if conv_head:
            options = {"num_classes": num_classes, "conv_head": 1, "affine": affine}
            model = build(PUBLISHED[name], in_channels=3, **options)
    layout: Layout = {}
    for key, value in model.state_dict().items():
        layer, _, kind = key.rpartition(".")
        module = model.get_submodule(layer)
        at_head = layer in (head, f"{head}.1")
        linear = name == "resnet56"  # the classifier of all others is a 1x1 convolution
        published = f"{head}.{kind}" if at_head else key
        if name.startswith("cResNet"):
            published = published.replace(".downsample.", ".shortcut.")
        squeezed = at_head and kind == "weight" and value.ndim == 2 and not linear
        layout[published] = Wanted(
            key=key,
            shape=value.shape,
            published=torch.Size((*value.shape, 1, 1)) if squeezed else value.shape,
            floating=value.is_floating_point(),
            maskable=kind == "weight" and (squeezed or (isinstance(module, nn.Conv2d) and module.groups == 1)),
            optional=at_head and kind == "bias" and not linear,
        )
    return layout


def head_in(layout: Layout) -> str:
    """The published name of the classifier."""
    return next(reversed(layout)).rpartition(".")[0]


def recognise(state: Mapping[str, Tensor], hint: object = None) -> str:
    """The published name of the network whose convolutions are those in ``state``, or nearest to them.

    ``hint`` saves time if it is right. CheckpointError if nothing is near.
    """
    ours = {(key, value.shape) for key, value in state.items() if value.ndim == 4}

    def likeness(name: str) -> float:
        layout = layout_of(name)
        head = f"{head_in(layout)}.weight"  # depends on the classes
        theirs = {(key, w.published) for key, w in layout.items() if len(w.published) == 4 and key != head}
        found = {(key, shape) for key, shape in ours if key != head}
        return len(found & theirs) / len(found | theirs)

    if isinstance(hint, str) and hint in PUBLISHED and likeness(hint) == 1:
        return hint
    name = max(PUBLISHED, key=likeness)
    if likeness(name) < 0.5:
        raise CheckpointError(f"its state_dict is none of {', '.join(PUBLISHED)}")
    return name


def check_fits(state: Mapping[str, Tensor], scores: Mapping[str, Tensor], layout: Layout) -> None:
    """CheckpointError with the name of a tensor that is missing, superfluous or of another shape or kind."""
    for key, wanted in layout.items():
        if key not in state:
            if wanted.optional:
                continue
            raise CheckpointError(f"it has no '{key}'")
        _check_tensor(key, state[key], wanted.published, wanted.floating)
    if superfluous := sorted(state.keys() - layout.keys()):
        raise CheckpointError(f"it has '{superfluous[0]:.80}', which the network has not")
    for layer, each in scores.items():
        weight = layout.get(f"{layer}.weight")
        if weight is None or not weight.maskable:
            raise CheckpointError(f"it has '{layer:.80}.scores', but no convolution there to mask")
        _check_tensor(f"{layer}.scores", each, torch.Size((*weight.published[:2], 1, 1)), floating=True)


def _check_tensor(key: str, value: Tensor, shape: torch.Size, floating: bool) -> None:
    if value.shape != shape or value.is_floating_point() != floating or value.is_complex():
        kind = "numbers" if floating else "whole numbers"
        raise CheckpointError(f"'{key}' is {value.dtype} {tuple(value.shape)}, not {kind} {tuple(shape)}")
