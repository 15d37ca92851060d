"""The processes that train together: torchrun starts them, Accelerate joins them, DDP averages their gradients.

Each takes its share of every batch (``rgp.train.batches``). One process alone is the same, with ``count`` 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, broadcast, broadcast_object_list, gather_object
from torch import Tensor, nn

from rgp.errors import UsageError
from rgp.train.config import TrainConfig
from rgp.train.device import choose_device
from rgp.train.sync_norm import synchronised

T = TypeVar("T")
_PLAIN = (DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


def speaks() -> bool:
    """Whether this is the process that speaks for all."""
    first: bool = PartialState().is_main_process
    return first


def part() -> None:
    """Leave the group of processes, if there is one.

    Left to the interpreter's end, its threads can abort the process.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class Processes:
    """All processes of a run, as seen by the one with ``index`` of ``count``; ``first`` writes and speaks for all.

    Methods that let the processes meet must be called by every one of them.
    """

    def __init__(self, config: TrainConfig) -> None:
        device = choose_device(config)
        self._accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")  # not what its launcher says
        if (kind := self._accelerator.distributed_type) not in (*_PLAIN, DistributedType.NO):
            raise UsageError(f"accelerate is set up for {kind.value}: start with torchrun")
        self.index: int = self._accelerator.process_index
        self.count: int = self._accelerator.num_processes
        self.first = self.index == 0
        self.device: torch.device = device if device.type == "cpu" else self._accelerator.device

    def first_before_the_others(self) -> AbstractContextManager[None]:
        """The others enter it when the first has left it."""
        context: AbstractContextManager[None] = self._accelerator.main_process_first()
        return context

    def joined(self, network: nn.Module, sync_norm: bool) -> nn.Module:
        """What to call in training instead of ``network``, whose parameters it shares."""
        if self.count == 1:
            return network
        if sync_norm:
            synchronised(network)
        # a 1x1 convolution's gradient may come with other strides than its weight: DDP copies it, and says so each time
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        wrapped: nn.Module = self._accelerator.prepare_model(network)
        return wrapped

    def apart(self, network: nn.Module) -> AbstractContextManager[None]:
        """A backward pass in it keeps its gradients in this process."""
        context: AbstractContextManager[None] = self._accelerator.no_sync(network)
        return context

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        return value if self.count == 1 else self._accelerator.reduce(value, "sum")

    def mean(self, value: Tensor) -> float:
        """The mean of a scalar over all processes."""
        return self.total(value).item() / self.count

    def gathered(self, value: T) -> list[T]:
        """Every process's ``value``, in order; it is pickled, and stays among them."""
        values: list[T] = gather_object([value])
        return values

    def made_once(self, make: Callable[[], T]) -> T:
        """What ``make`` returns in the first process, which alone calls it; it is pickled, and stays among them."""
        values: list[Any] = [make() if self.first else None]
        made: T = broadcast_object_list(values)[0]
        return made

    def share_buffers(self, network: nn.Module) -> None:
        """Give every process the first one's buffers: BatchNorm's statistics, where each has seen its own share."""
        for buffer in network.buffers() if self.count > 1 else ():
            buffer.copy_(broadcast(buffer))
