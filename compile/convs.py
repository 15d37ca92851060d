"""The convolutions of an ONNX model, with what the compiler asks about each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rgp.compile.parallel_classes import Decomposition
from rgp.compile.reduced import decomposition
from rgp.compile.structure import Structure


@dataclass(frozen=True, eq=False)
class Conv:
    """One ``Conv`` node whose weight (O, I/groups, kh, kw) and bias (O,) are constants.

    ``x`` (B, I, H, W) and ``y`` (B, O, H', W') are its tensors as the model came, also after it was rewritten.
    """

    node: ir.Node
    name: str
    x: ir.Value
    y: ir.Value
    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None

    @property
    def groups(self) -> int:
        """As the model came; the compiler lowers only convolutions with one."""
        return self.node.attributes.get_int("group", 1)

    @property
    def depthwise(self) -> bool:
        """One input channel for each output channel."""
        return self.groups == len(self.weight) and self.weight.shape[1] == 1

    @property
    def kernel(self) -> tuple[int, ...]:
        """(kh, kw)."""
        return self.weight.shape[2:]

    @property
    def channels(self) -> tuple[int, int]:
        """(I, O)."""
        return self.weight.shape[1] * self.groups, self.weight.shape[0]

    @cached_property
    def structure(self) -> Structure:
        """What the zeros of the weight say."""
        return Structure.of(self.weight)

    @cached_property
    def decomposition(self) -> Decomposition:
        """A cover of the structure by parallel classes of blocks, if one was found."""
        return decomposition(self.structure)

    @property
    def in_elements(self) -> int:
        """Numbers in one image's input."""
        return _elements(self.x)

    @property
    def out_elements(self) -> int:
        """Numbers in one image's output."""
        return _elements(self.y)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, zeros included."""
        return self.out_elements * math.prod(self.weight.shape[1:])

    @property
    def attributes(self) -> dict[str, ir.Attr]:
        """The node's attributes but ``group``."""
        return {name: attr for name, attr in self.node.attributes.items() if name != "group"}


def find(model: ir.Model) -> list[Conv]:
    """All 2-D convolutions with a constant weight, in the order in which they run."""
    found: list[Conv] = []
    names: set[str] = set()
    for node in model.graph:
        if node.op_type != "Conv" or node.domain:
            continue
        x, value, given_bias = (*node.inputs, None)[:3]
        weight, bias = constant(value), constant(given_bias)
        computed_bias = given_bias is not None and bias is None
        if x is None or value is None or weight is None or weight.ndim != 4 or computed_bias:
            continue
        base = (value.name or node.name or "conv").removesuffix(".weight")
        name = next(n for n in (base, *(f"{base}#{i}" for i in range(2, 1000))) if n not in names)  # shared weights
        names.add(name)
        found.append(Conv(node, name, x, node.outputs[0], weight, bias))
    return found


def _elements(value: ir.Value) -> int:
    assert value.shape is not None
    return math.prod(side for side in list(value.shape)[1:] if isinstance(side, int))


def constant(value: ir.Value | None) -> NDArray[np.float32] | None:
    """The array behind an initialiser, or None for a computed value."""
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()
