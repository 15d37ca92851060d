"""What an engine is built for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rgp.engines.target import PRECISIONS
from rgp.errors import UsageError, unknown

DEFAULT_BATCHES = (1, 8, 32)


@dataclass(frozen=True)
class Settings:
    """``precision`` is that of the ONNX: types are explicit in it, the builder changes none.

    ``batches``: the batch sizes to be fast at. The engine takes every size up to the largest; each named one has
    an optimisation profile of its own, from the size after the one before it. (1, 8, 32) gives 1, 2..8 and 9..32.
    ``workspace``: bytes that a kernel may use beside its tensors, None for the library's own limit.
    ``targets``: compute capabilities ("8.6") that TensorRT-RTX builds for; none leaves it to the library, which
    builds for all from 8.0 where it sees no GPU.
    """

    precision: str = "fp32"
    batches: tuple[int, ...] = DEFAULT_BATCHES
    workspace: int | None = None
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(unknown("precision", self.precision, PRECISIONS))
        if not self.batches or min(self.batches) < 1:
            raise UsageError(f"batches are {self.batches}, give one or more, each at least 1")
        if self.workspace is not None and self.workspace < 1:
            raise UsageError(f"workspace is {self.workspace} bytes, give at least 1")
        for target in self.targets:
            if not re.fullmatch(r"\d+\.\d", target):
                raise UsageError(f"target '{target}' is no compute capability: give one like 8.6")
        object.__setattr__(self, "batches", tuple(sorted(set(self.batches))))
        object.__setattr__(self, "targets", tuple(sorted(set(self.targets), key=float)))

    @property
    def profiles(self) -> list[tuple[int, int]]:
        """The least and the largest batch of each optimisation profile, from small to large."""
        return [(least + 1, most) for least, most in zip((0, *self.batches), self.batches, strict=False)]
