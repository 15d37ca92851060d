"""Networks of timm (PyTorch Image Models) by name: its own registry, never its hub."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from torch import nn

from rgp.errors import UsageError

PREFIX = "timm:"


def timm_network(architecture: str) -> Callable[..., nn.Module]:
    """A builder(num_classes, in_channels) of ``timm:NAME``, as in timm:resnet10t, with fresh weights.

    UsageError unless NAME is one of ``timm.list_models()``. Those are classes of the installed package; the
    hub's names, paths and tags of pretrained weights are not among them, so nothing is ever downloaded.
    """
    name = architecture.removeprefix(PREFIX)

    def build(num_classes: int, in_channels: int = 3) -> nn.Module:
        try:
            import timm  # takes seconds, and rgp[compile] has none
        except ModuleNotFoundError as error:
            raise UsageError(f"{architecture}: timm is not installed: pip install 'rgp[train]'") from error
        known = timm.list_models()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() has their names"
            raise UsageError(f"timm has no network '{name:.80}': {hint}")
        try:
            # exportable: activations of plain operators, which rgp-compile can write
            return timm.create_model(
                name, pretrained=False, num_classes=num_classes, in_chans=in_channels, exportable=True
            )
        except Exception as error:  # each of timm's networks has its own way to refuse
            reason = " ".join(str(error).split())
            raise UsageError(
                f"{architecture} cannot have {num_classes} classes and {in_channels} input channels: {reason:.200}"
            ) from error

    return build
