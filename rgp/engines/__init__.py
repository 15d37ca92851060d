"""Engines: what runs a compiled network. One file each; they never import torch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """Runs batches; safe to call from several threads at once."""

    def run(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """(B, H, W, C) uint8, or what else the network takes, to logits (B, classes); B may differ by call."""
        ...

    def describe(self) -> dict[str, str | int]:
        """Name, version, device and threads, for reports."""
        ...


class WholeEngine(Engine, Protocol):
    """An engine that gives every output of its network, for the proof that it is equal."""

    def outputs(self, images: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The network's outputs in their order, each in the type that it has."""
        ...
