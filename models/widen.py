"""Wider and narrower forms of any network: all channel counts scaled together (graph2nn, arXiv 2007.06559).

A graph saves multiplications; graph2nn spends them on width, until the masked network costs what the dense one
did. The rule is one function of a channel count (``widened``), so layers of equal width, which residual networks
add, stay of equal width; what a layer reads is what arrives there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import gcd, lcm, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rgp.errors import UsageError

LEAST, MOST = 5, 2000
"""Bounds of width_percent."""
SIDE = 224  # of the image that is sent through; networks for smaller ones take it too


def widened(channels: int, percent: int, multiple: int = 1) -> int:
    """``percent`` of ``channels``, to the nearest multiple (at least one) of what they share with ``multiple``.

    Channels that N nodes share equally still do with ``multiple`` N; and 100% changes nothing.

    >>> widened(256, 130, 64), widened(96, 130, 64), widened(33, 130, 64)
    (320, 128, 43)
    >>> [widened(64, percent, 64) for percent in (1, 100, 149, 150)]
    [64, 64, 64, 128]
    """
    step = gcd(channels, multiple)
    return max(1, (2 * channels * percent + 100 * step) // (200 * step)) * step


def widen_(model: nn.Module, again: Callable[[], nn.Module], percent: int, multiple: int = 1) -> None:
    """Scale every channel count of a fresh ``model``, in place, but the images' channels and the classes.

    ``again()`` builds the same network once more, to be tried on the meta device. Grouped convolutions keep the
    width of their groups, so depthwise ones stay depthwise. Weights that change their shape are drawn again, as
    the old ones are distributed. UsageError for a network whose channels do not simply follow one another.
    """
    if not LEAST <= percent <= MOST or multiple < 1:
        raise UsageError(f"width_percent {percent}, width_multiple {multiple}: give {LEAST} to {MOST}, and 1 or more")
    with torch.device("meta"):
        trial = again().eval()
    sized = {name: module for name, module in trial.named_modules() if isinstance(module, _SIZED)}
    try:
        _fit_together(trial, sized, percent, multiple)
    except Exception as error:  # whatever a network's own code raises when shapes no longer agree
        reason = " ".join(str(error).split())
        raise UsageError(f"it cannot be widened, its channels are tied in ways of its own: {reason:.200}") from error
    for name, module in model.named_modules():
        if name in sized:
            _resize(module, *_sizes(sized[name]))


_SIZED = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


def _fit_together(trial: nn.Module, sized: Mapping[str, nn.Module], percent: int, multiple: int) -> None:
    """Send an image through ``trial``, of which each layer is resized, once, to what arrives there."""
    layers = {name: module for name, module in sized.items() if not isinstance(module, nn.BatchNorm2d)}
    classifier, classes = next((name, _sizes(module)[1]) for name, module in reversed(layers.items()))
    for module in layers.values():  # groups of 8 channels need a multiple of 8
        channels, _, groups = _sizes(module)
        multiple = lcm(multiple, channels // groups if groups > 1 else 1)
    reached: set[str] = set()

    def fit(name: str, module: nn.Module, arriving: tuple[Tensor, ...]) -> None:
        if name in reached:  # a layer may be applied more than once
            return
        reached.add(name)
        before, outputs, groups = _sizes(module)
        inputs = arriving[0].shape[-1 if isinstance(module, nn.Linear) else 1]
        if isinstance(module, nn.BatchNorm2d):
            outputs = inputs
        elif groups > 1:
            if inputs * groups % before:
                raise ValueError(f"{name} has groups of {before // groups} channels, {inputs} arrive")
            outputs, groups = outputs * inputs // before, groups * inputs // before
        elif name != classifier:
            outputs = widened(outputs, percent, multiple)
        _resize(module, inputs, outputs, groups)

    for name, module in sized.items():
        module.register_forward_pre_hook(partial(fit, name))
    channels = next(module.in_channels for module in layers.values() if isinstance(module, nn.Conv2d))
    side = getattr(trial, "default_cfg", {}).get("input_size", (3, SIDE, SIDE))[1]  # some of timm take one size only
    with torch.no_grad(), _NothingTakenApart():  # type: ignore[no-untyped-call]
        logits = trial(torch.empty(1, channels, side, side, device="meta"))
    if logits.shape != (1, classes) or reached != sized.keys():
        raise ValueError(f"{classifier} does not give the classes, or a layer is not used")


def _sizes(module: nn.Module) -> tuple[int, int, int]:
    """Input channels, output channels, groups."""
    match module:
        case nn.Conv2d():
            return module.in_channels, module.out_channels, module.groups
        case nn.Linear():
            return module.in_features, module.out_features, 1
        case nn.BatchNorm2d():
            return module.num_features, module.num_features, 1
    raise AssertionError(type(module))


def _resize(module: nn.Module, inputs: int, outputs: int, groups: int) -> None:
    """Set the sizes, and draw again each tensor whose shape changes."""
    shapes: dict[str, tuple[int, ...]] = {"weight": (outputs,), "bias": (outputs,)}
    match module:
        case nn.Conv2d():
            module.in_channels, module.out_channels, module.groups = inputs, outputs, groups
            shapes["weight"] = (outputs, inputs // groups, *module.kernel_size)
        case nn.Linear():
            module.in_features, module.out_features = inputs, outputs
            shapes["weight"] = (outputs, inputs)
        case nn.BatchNorm2d():
            module.num_features = outputs
            shapes |= {"running_mean": (outputs,), "running_var": (outputs,)}
    for name, old in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        if name not in shapes:
            if old.ndim:  # BatchNorm's count of batches has no size
                raise ValueError(f"{type(module).__name__} has a {name}")
        elif old.shape != shapes[name]:
            new = torch.empty(shapes[name], device=old.device, dtype=old.dtype)
            if not new.is_meta:
                was = old.detach()
                share = sqrt(old.shape[1] / inputs) if old.ndim == 2 else 1.0  # a linear layer's outputs vary as before
                new.normal_(float(was.mean()), float(was.std(correction=0)) * share)  # ones stay ones, zeros zeros
            setattr(module, name, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)


_PICKS = (torch.ops.aten.slice, torch.ops.aten.split, torch.ops.aten.split_with_sizes)


class _NothingTakenApart(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Refuses what picks some channels by number: of a wider tensor it would silently drop the rest."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket in _PICKS:
            pieces = [found] if isinstance(found, Tensor) else found
            if any(piece.shape[1:2] != args[0].shape[1:2] for piece in pieces):
                raise ValueError(f"{func} picks channels by their number")
        return found
