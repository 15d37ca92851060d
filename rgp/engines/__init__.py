"""Engines: what runs a compiled network. One file each; they never import torch."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """Runs batches; safe to call from several threads at once."""

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, H, W, C) uint8 to logits (B, classes) float32; B may differ from call to call."""
        ...

    def describe(self) -> dict[str, str | int]:
        """Name, version, device and threads, for reports."""
        ...
