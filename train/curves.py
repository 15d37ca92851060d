"""A run's curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from torch.utils.tensorboard import SummaryWriter


class Curves:
    """Values by step, in ``folder``; nothing is written without one, as in all processes but the first.

    ``begin``: the first step to come; what a run that was cut off wrote from there on is no longer shown.
    """

    def __init__(self, folder: Path | None, begin: int) -> None:
        self._writer = SummaryWriter(folder, purge_step=begin) if folder else None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()
