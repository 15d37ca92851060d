"""Where a compiled network goes wrong: the first convolution whose output differs from the original's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from rgp.compile.reference import plain_session

CHUNK = 8
"""Layers whose outputs are held at once; all those of ResNet-50 at batch 8 would be 0.7 GiB."""


@dataclass(frozen=True)
class Trace:
    """The output tensor of one layer in both files; ``order``: channel (axis 1) there -> original channel."""

    layer: str
    dense_value: str
    compiled_value: str
    order: tuple[int, ...]


@dataclass(frozen=True)
class Difference:
    """The first layer that differs, by how much at most, and the original's largest magnitude there."""

    layer: str | None
    """None: every layer is equal and yet the outputs differ."""
    largest: float
    magnitude: float

    def __str__(self) -> str:
        figures = f"by up to {self.largest:.3g} where values reach {self.magnitude:.3g}"
        if self.layer is None:
            return f"every layer is equal, the fault lies after the last one: the outputs differ {figures}"
        return f"'{self.layer}' is the first layer that differs, {figures}"


def first_difference(
    dense: bytes, compiled: bytes, traces: Sequence[Trace], x: NDArray[Any], tolerance: float
) -> Difference | None:
    """Run both files on the batch ``x``, nothing optimised, and compare layer by layer; None if all is equal.

    ``traces``: in running order. ``tolerance``: the allowed difference of a tensor as a share of its largest
    magnitude in ``dense``. NaN differs from everything. Raises EngineError if ONNX Runtime refuses a file.
    """
    original, lowered = onnx.load_from_string(dense), onnx.load_from_string(compiled)
    outputs = [[value.name for value in model.graph.output] for model in (original, lowered)]
    for start in range(0, len(traces), CHUNK):
        chunk = traces[start : start + CHUNK]
        expected = _values(original, [trace.dense_value for trace in chunk], x)
        got = _values(lowered, [trace.compiled_value for trace in chunk], x)
        for trace in chunk:
            a, b = expected[trace.dense_value][:, list(trace.order)], got[trace.compiled_value]
            if found := _difference(trace.layer, a, b, tolerance):
                return found
    expected, got = (_values(model, names, x) for model, names in zip((original, lowered), outputs, strict=True))
    for a, b in zip(expected.values(), got.values(), strict=True):
        if found := _difference(None, a, b, tolerance):
            return found
    return None


def _values(model: onnx.ModelProto, names: Sequence[str], x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The tensors ``names`` that ``model`` computes of ``x``, by name; they become its outputs."""
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names))
    session = plain_session(model.SerializeToString())
    return dict(zip(names, session.run(list(names), {session.get_inputs()[0].name: x}), strict=True))


def _difference(layer: str | None, a: NDArray[Any], b: NDArray[Any], tolerance: float) -> Difference | None:
    magnitude = float(np.abs(a).max(initial=0))
    largest = float(np.abs(a.astype(np.float64) - b).max(initial=0)) if a.shape == b.shape else float("inf")
    return None if largest <= tolerance * magnitude else Difference(layer, largest, magnitude)
