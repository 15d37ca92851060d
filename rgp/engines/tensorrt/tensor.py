"""An input or output of an engine: its shape, and its memory on the host and on the GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rgp.engines.tensorrt import cuda


@dataclass(frozen=True)
class Tensor:
    """``shape`` is without the batch, which comes first; the memory holds the largest batch."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    memory: cuda.DeviceMemory
    pinned: cuda.PinnedMemory

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], most: int) -> Self:
        """With memory for a batch of ``most``."""
        size = most * int(np.prod(shape)) * dtype.itemsize
        return cls(name, shape, dtype, cuda.DeviceMemory(size), cuda.PinnedMemory(size))

    def size(self, batch: int) -> int:
        """Bytes of ``batch`` images."""
        return batch * int(np.prod(self.shape)) * self.dtype.itemsize

    def host(self, batch: int) -> NDArray[Any]:
        """(batch, *shape): a view of the pinned memory."""
        return self.pinned.bytes[: self.size(batch)].view(self.dtype).reshape(batch, *self.shape)
