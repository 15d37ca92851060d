"""BatchNorm that sees the whole batch when several processes train together, so that their number changes nothing.

On a GPU it is torch's SyncBatchNorm, which refuses a CPU; there it is the same sum over processes, written plainly.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rgp.errors import UsageError


def synchronised(network: nn.Module) -> None:
    """Replace every BatchNorm2d of ``network`` in place; the keys of its state stay.

    UsageError for a BatchNorm of a class of its own, as timm's, whose forward pass may do more.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d) and type(module) is not nn.BatchNorm2d:
            kind = type(module).__name__
            raise UsageError(f"{name} is a {kind}, which cannot see the whole batch: set sync_norm to false")
        if type(module) is nn.BatchNorm2d:
            device = next(module.buffers()).device
            if device.type == "cpu":
                module.__class__ = SharedBatchNorm2d  # the same parameters and buffers, another forward pass
            else:
                network.set_submodule(name, nn.SyncBatchNorm.convert_sync_batchnorm(module))  # type: ignore[no-untyped-call]


class SharedBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose mean and variance in training are those over the images of all processes."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if not self.training:
            return super().forward(input)
        count = input.numel() // input.shape[1] * dist.get_world_size()
        wide = input if input.dtype == torch.float64 else input.float()  # autocast may bring bfloat16
        mean = _total(wide.sum((0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = _total(centred.square().sum((0, 2, 3))) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * (count / (count - 1)), share)
        output = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            output = output * self.weight[:, None, None] + self.bias[:, None, None]
        return output.to(input.dtype)


def _total(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)
    return total


class _Sum(torch.autograd.Function):
    """The sum over processes; each one's gradient is then the sum of all gradients of that sum."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total
