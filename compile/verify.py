"""The proof: an engine gives the masked torch network's outputs, or there is no bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rgp.compile.export import ImageNetwork
from rgp.engines import Engine
from rgp.errors import VerificationError
from rgp.preprocess import Preprocess

TOLERANCE = 1e-4
"""Largest allowed |difference| of logits in fp32, as a share of the largest |logit|."""
BATCHES = (1, 2, 7)
ROUNDS = 4
"""Batches of seeded random images at each batch size."""


@dataclass(frozen=True)
class Equivalence:
    """How far two networks' logits differ over ``inputs`` images."""

    max_abs_diff: float
    max_abs_logit: float
    top1_agreement: float
    inputs: int
    real_images: int

    @property
    def holds(self) -> bool:
        """Whether they count as equal. NaN never does."""
        return self.max_abs_diff <= TOLERANCE * self.max_abs_logit and self.top1_agreement == 1

    def to_dict(self) -> dict[str, Any]:
        """The form that ``report.json`` has."""
        return {**self.__dict__, "batches": list(BATCHES), "tolerance": TOLERANCE}


def verify(
    model: nn.Module, preprocess: Preprocess, engine: Engine, images: Sequence[NDArray[np.uint8]], *, seed: int = 0
) -> Equivalence:
    """Compare ``engine`` with ``model`` on seeded random bytes and on ``images`` (H, W, C), at batch 1, 2 and 7.

    Raises VerificationError with the figures if they differ by more than TOLERANCE or in any top-1 class.
    """
    reference = ImageNetwork(model, preprocess).eval()
    rng = np.random.default_rng(seed)
    shape = (preprocess.size, preprocess.size, preprocess.channels)
    differences, logits, agreeing, inputs = [0.0], [0.0], 0, 0
    for batch in _batches(rng, shape, images):
        with torch.no_grad():
            expected = reference(torch.from_numpy(batch)).numpy()
        got = engine.run(batch)
        if got.shape != expected.shape:
            raise VerificationError(f"a batch of {len(batch)} gave logits of shape {got.shape}, not {expected.shape}")
        differences.append(float(np.abs(got - expected).max()))
        logits.append(float(np.abs(expected).max()))
        agreeing += int((got.argmax(1) == expected.argmax(1)).sum())
        inputs += len(batch)
    found = Equivalence(float(np.max(differences)), float(np.max(logits)), agreeing / inputs, inputs, len(images))
    if not found.holds:
        raise VerificationError(
            f"the compiled network differs from the masked one: max |difference| {found.max_abs_diff:.3g} with "
            f"max |logit| {found.max_abs_logit:.3g} (allowed: {TOLERANCE:g} of it), top-1 agreement "
            f"{found.top1_agreement:.2%} over {inputs} images; no bundle was written"
        )
    return found


def _batches(
    rng: np.random.Generator, shape: tuple[int, int, int], images: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.uint8]]:
    random = [rng.integers(0, 256, (size, *shape), np.uint8) for size in BATCHES for _ in range(ROUNDS)]
    real: list[NDArray[np.uint8]] = []
    sizes, start = cycle(BATCHES), 0
    while start < len(images):
        size = next(sizes)
        real.append(np.stack(images[start : start + size]))
        start += size
    return random + real
