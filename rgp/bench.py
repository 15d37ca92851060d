"""Measure the networks of one or more bundles side by side: all in the same rounds, against one dense baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.engines.ort import session
from rgp.engines.target import Target
from rgp.errors import UsageError
from rgp.measure import Comparison, Run, interleave_all


@dataclass(frozen=True)
class Contestant:
    """One network to measure, "dense" or "compiled" of ``bundle``, which is called ``letter``: A, B, C..."""

    bundle: Bundle
    letter: str
    network: str

    def __str__(self) -> str:
        return f"{self.letter} {self.network}"

    @property
    def onnx(self) -> bytes:
        """Its ONNX file."""
        return self.bundle.files[f"{self.network}.onnx"]

    def engine(self, threads: int) -> Engine:
        """Start what runs it."""
        return self.bundle.start(self.network, threads=threads)


@dataclass(frozen=True)
class Measured:
    """The contestants, and each compared with the first: a Comparison each, at one number of threads."""

    threads: int
    contestants: tuple[Contestant, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def batch(self) -> int:
        """Inputs in each run."""
        return self.comparisons[0].batch

    @property
    def setting(self) -> str:
        """For people."""
        return f"batch {self.batch}, {self.threads} thread{'s' * (self.threads > 1)}"

    def rows(self) -> list[dict[str, Any]]:
        """A row for each contestant; times in milliseconds a batch."""
        return [
            {
                "bundle": str(contestant.bundle.path),
                "network": contestant.network,
                "precision": contestant.bundle.target.precision,
                "threads": self.threads,
                "batch": self.batch,
                "n": len(comparison.compiled_ms),
                "builds": len(np.unique(comparison.build)),
                "ms_p50": float(np.median(comparison.compiled_ms)),
                "ms_p90": float(np.quantile(comparison.compiled_ms, 0.9)),
                "images_per_second": 1000 * self.batch / float(np.median(comparison.compiled_ms)),
                "speedup": comparison.speedup,
                "speedup_ci95": list(comparison.speedup_ci95),
            }
            for contestant, comparison in zip(self.contestants, self.comparisons, strict=True)
        ]


def contestants(bundles: Sequence[Bundle]) -> list[Contestant]:
    """Each bundle's compiled network, after its dense one unless that has been entered; the first is the baseline.

    Raises UsageError that names both bundles if two of them do not take the same input.
    """
    for other in bundles[1:]:
        if (one := _input(bundles[0])) != (two := _input(other)):
            raise UsageError(
                f"{bundles[0].path} takes {_spelt(*one)}, {other.path} {_spelt(*two)}: give bundles with the same input"
            )
    seen: set[tuple[bytes, Target]] = set()
    found = []
    for number, bundle in enumerate(bundles):
        letter = ascii_uppercase[number] if number < len(ascii_uppercase) else str(number + 1)
        dense = Contestant(bundle, letter, "dense")
        if (dense.onnx, bundle.target) not in seen:
            seen.add((dense.onnx, bundle.target))
            found.append(dense)
        found.append(Contestant(bundle, letter, "compiled"))
    return found


def sample(bundle: Bundle, batch: int) -> NDArray[Any]:
    """A batch of random inputs that the bundle takes, (batch, H, W, C) uint8 for images, the same at every call."""
    shape, dtype = _input(bundle)
    rng = np.random.default_rng(0)
    if np.issubdtype(dtype, np.floating):
        return rng.standard_normal((batch, *shape)).astype(dtype)
    return rng.integers(0, 256, (batch, *shape)).astype(dtype)


def measure(
    entered: Sequence[Contestant],
    inputs: NDArray[Any],
    *,
    threads: int,
    rounds: int,
    seconds: float,
    on_round: Callable[[], None] = lambda: None,
) -> Measured:
    """Run all on a batch of ``inputs`` in ``rounds`` rounds, fewer if ``seconds`` run out."""

    def running(contestant: Contestant) -> Run:
        return partial(contestant.engine(threads).run, inputs)

    makes = [partial(running, contestant) for contestant in entered]
    ms, build = interleave_all(makes, rounds=rounds, seconds=seconds, on_round=on_round)
    comparisons = tuple(Comparison(len(inputs), ms[:, 0], column, build) for column in ms.T)
    return Measured(threads, tuple(entered), comparisons)


def _input(bundle: Bundle) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape of one input, without the batch, and its type."""
    if preprocess := bundle.preprocess:
        return (preprocess.size, preprocess.size, preprocess.channels), np.dtype(np.uint8)
    (given,) = session(bundle.files["dense.onnx"], threads=1).get_inputs()
    name = given.type.removeprefix("tensor(").removesuffix(")")  # as ONNX Runtime spells it: tensor(float)
    return tuple(given.shape[1:]), np.dtype({"float": "float32", "double": "float64"}.get(name, name))


def _spelt(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{' x '.join(map(str, shape))} {dtype}"
