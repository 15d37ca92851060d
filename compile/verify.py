"""The proof: an engine gives the original network's outputs, or there is no bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgp import report_form
from rgp.engines import WholeEngine
from rgp.errors import VerificationError

Array = NDArray[Any]
Network = Callable[[Array], tuple[Array, ...]]
"""A batch to all outputs of a network."""

TOLERANCES = {"fp32": 1e-4, "fp16": 64 * 2.0**-11, "bf16": 64 * 2.0**-8}
"""Largest allowed |difference| of an output, as a share of its largest magnitude in the original.

A half type is allowed 64 roundings (2^-11 of a value each in fp16, 2^-8 in bf16): each layer rounds its outputs once,
and such errors add up like the root of the number of layers. Seen with no network trained to the end: 1 to 13 roundings
in ResNet-18, -50 and -56; where BatchNorm's statistics are of 2 or 4 noise images only, up to 63 in MobileNetV2 and 81
in ResNet-50, which is refused. A wrong channel order is about 1. int8 has no bound but its classes.
"""
TIES = {"fp32": 1e-4, "fp16": 4 * 2.0**-11, "bf16": 4 * 2.0**-8, "int8": 0.0}
"""Classes that the original holds closer than this share of its largest logit may change places."""
AGREEMENTS = {"fp32": 1.0, "fp16": 0.99, "bf16": 0.99, "int8": 0.97}
"""Least share of images with the same top-1 class, unless ``--min-agreement`` says another (fp32: always all)."""
BATCHES = (1, 2, 7)
ROUNDS = 4
"""Batches of seeded random inputs at each batch size."""


@dataclass(frozen=True)
class Samples:
    """Batches to compare two networks on: noise, and real images if there are any."""

    random: list[Array]
    real: list[Array]
    real_images: int

    @property
    def sizes(self) -> list[int]:
        """The batch sizes; the last real batch may be smaller."""
        return sorted({len(batch) for batch in self.random})


def sample_batches(
    shape: tuple[int, ...], dtype: Any, images: Sequence[Array], *, batch: int | None = None, seed: int = 0
) -> Samples:
    """Seeded noise of ``shape`` (one input, without the batch) and ``images``, at batch 1, 2 and 7.

    Noise is uniform bytes for whole-number types, normal for floats. ``batch``: the only size that the network takes,
    if it is fixed; the last real batch is then filled up with the first images.
    """
    rng = np.random.default_rng(seed)

    def noise(size: int) -> Array:
        if np.issubdtype(dtype, np.floating):
            return rng.standard_normal((size, *shape)).astype(dtype)
        return rng.integers(0, min(255, np.iinfo(dtype).max), (size, *shape), dtype, endpoint=True)

    sizes = BATCHES if batch is None else (batch,)
    real: list[Array] = []
    next_size, start = cycle(sizes), 0
    while start < len(images):
        size = next(next_size)
        stop = start + size if batch is not None else min(start + size, len(images))
        real.append(np.stack([images[index % len(images)] for index in range(start, stop)]))
        start = stop
    return Samples([noise(size) for size in sizes for _ in range(ROUNDS)], real, len(images))


@dataclass(frozen=True)
class Equivalence:
    """How far two networks' outputs differ over ``inputs`` images; of several outputs, the worst is told."""

    max_abs_diff: float
    max_abs_logit: float
    """The original's largest magnitude."""
    top1_agreement: float | None
    """Share of the ``judged`` images with the same class; None unless the only output is (B, classes)."""
    ties: int
    """Judged images whose class differs, but the original holds the two closer than TIES."""
    judged: int
    """All images in fp32; else the real ones, if there are any: noise is far from what int8 was calibrated on."""
    inputs: int
    real_images: int
    batches: list[int]
    precision: str
    min_agreement: float

    @property
    def tolerance(self) -> float | None:
        """The allowed difference as a share of the largest magnitude; None: any."""
        return TOLERANCES.get(self.precision)

    @property
    def near(self) -> bool:
        """Whether the differences are within the tolerance."""
        return self.tolerance is None or self.max_abs_diff <= self.tolerance * self.max_abs_logit

    @property
    def agrees(self) -> bool:
        """Whether enough images have the same class."""
        if self.top1_agreement is None:
            return self.tolerance is not None
        return self.top1_agreement * self.judged + self.ties >= self.min_agreement * self.judged - 1e-6

    def to_dict(self) -> report_form.Equivalence:
        """The form that ``report.json`` has."""
        return {
            "max_abs_diff": self.max_abs_diff,
            "max_abs_logit": self.max_abs_logit,
            "top1_agreement": self.top1_agreement,
            "ties": self.ties,
            "judged": self.judged,
            "inputs": self.inputs,
            "real_images": self.real_images,
            "batches": self.batches,
            "precision": self.precision,
            "min_agreement": self.min_agreement,
            "tolerance": self.tolerance,
        }


def verify(
    reference: Network,
    engine: WholeEngine,
    samples: Samples,
    *,
    precision: str = "fp32",
    min_agreement: float | None = None,
) -> Equivalence:
    """Compare all outputs of ``engine``, which computes in ``precision``, with ``reference`` on ``samples``.

    ``min_agreement``: instead of AGREEMENTS, in every precision but fp32. Raises VerificationError with the figures
    if the outputs differ by more than TOLERANCES, too few classes agree, a shape differs or anything is not finite.
    """
    differences: list[float] = []  # one an output, over all batches
    magnitudes: list[float] = []
    margins: list[float] = []  # one an image of another class: how far the original holds the two classes apart
    judges = samples.real if samples.real and precision != "fp32" else samples.random + samples.real
    batches = samples.random + samples.real
    classes = True
    for number, batch in enumerate(batches):
        expected, got = reference(batch), engine.outputs(batch)
        _refuse_unlike(expected, got, len(batch), precision)
        pairs = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(expected, got, strict=True)]
        differences = _largest(differences, [a - b for a, b in pairs])
        magnitudes = _largest(magnitudes, [a for a, _ in pairs])
        original, compiled = pairs[0]
        classes = len(pairs) == 1 and original.ndim == 2 and original.shape[1] > 1 and len(original) == len(batch)
        if classes and number >= len(batches) - len(judges):
            rows, chosen = np.arange(len(batch)), compiled.argmax(1)
            margin = original.max(1) - original[rows, chosen]
            margins += margin[chosen != original.argmax(1)].tolist()

    worst = int(np.argmax([_ratio(*pair) for pair in zip(differences, magnitudes, strict=True)]))
    judged = sum(map(len, judges)) if classes else 0
    tie = TIES[precision] * magnitudes[worst]
    found = Equivalence(
        max_abs_diff=differences[worst],
        max_abs_logit=magnitudes[worst],
        top1_agreement=1 - len(margins) / judged if judged else None,
        ties=sum(margin <= tie for margin in margins),
        judged=judged,
        inputs=sum(map(len, batches)),
        real_images=samples.real_images,
        batches=samples.sizes,
        precision=precision,
        min_agreement=AGREEMENTS[precision] if min_agreement is None or precision == "fp32" else min_agreement,
    )
    if not found.near or not found.agrees:
        raise VerificationError(_refusal(found))
    return found


def _largest(so_far: list[float], arrays: Sequence[Array]) -> list[float]:
    """The largest magnitude of each output, that of earlier batches among them."""
    found = [float(np.abs(array).max(initial=0)) for array in arrays]
    return [max(pair) for pair in zip(so_far, found, strict=True)] if so_far else found


def _ratio(difference: float, magnitude: float) -> float:
    return difference / magnitude if magnitude else float("inf" if difference else 0)


def _refuse_unlike(expected: Sequence[Array], got: Sequence[Array], batch: int, precision: str) -> None:
    """Raise VerificationError unless both are finite and of the same shapes."""
    shapes, others = ([array.shape for array in arrays] for arrays in (expected, got))
    if shapes != others:
        raise VerificationError(f"a batch of {batch} gave outputs of shapes {others}, not {shapes}")
    if not all(np.isfinite(array).all() for array in expected):
        raise VerificationError(
            f"the original network gives NaN or infinity on a batch of {batch}: look at its weights"
        )
    if not all(np.isfinite(array).all() for array in got):
        remedy = "" if precision == "fp32" else f": its values do not fit {precision}, use --precision fp32"
        raise VerificationError(f"the compiled network gives NaN or infinity on a batch of {batch}{remedy}")


def _refusal(found: Equivalence) -> str:
    """One line with the figures, and with what to do in a precision where agreement is a matter of choice."""
    what = f"the compiled network ({found.precision}) differs from the original: "
    if found.top1_agreement is None:
        agreement = "its outputs are not classes"
    else:
        agreement = f"top-1 agreement {found.top1_agreement:.2%} over {found.judged} images"
    if found.tolerance is None and found.top1_agreement is None:
        return f"{agreement}, by which int8 is judged: use --precision fp16 or fp32; no bundle was written"
    if not found.near:
        figures = f"max |difference| {found.max_abs_diff:.3g} with max |logit| {found.max_abs_logit:.3g}"
        return f"{what}{figures} (allowed: {found.tolerance:.2g} of it), {agreement}; no bundle was written"
    remedy = "" if found.precision == "fp32" else f": use --precision fp32 or --min-agreement {_below(found):.3g}"
    return f"{what}{agreement}, at least {found.min_agreement:.2%} is asked for{remedy}; no bundle was written"


def _below(found: Equivalence) -> float:
    """An agreement that this network has, rounded down to a tenth of a percent."""
    assert found.top1_agreement is not None
    return float(np.floor((found.top1_agreement + found.ties / found.judged) * 1000) / 1000)
