"""What a network in its ONNX form costs: multiply-accumulates and parameters, dense and remaining, layer by layer.

The same counting as rgp.cost, without torch: one MAC a multiplication of a convolution or linear layer, for one
image; a pair of an output and an input channel counts if any of its weights is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from rgp.compile.convs import find
from rgp.compile.structure import Structure
from rgp.errors import CompileError


@dataclass(frozen=True)
class LayerMacs:
    """One convolution or linear layer. Parameters are its weight and bias; a weight that two layers share counts once.

    BatchNorm is folded: in place of its scale and shift, two numbers a channel, stands one bias.
    """

    name: str
    dense_macs: int
    macs: int
    dense_parameters: int
    parameters: int


@dataclass(frozen=True)
class NetworkMacs:
    """All layers in the order in which they run, and their sums."""

    layers: tuple[LayerMacs, ...]

    @property
    def dense_macs(self) -> int:
        """MACs with the zeros multiplied out."""
        return sum(layer.dense_macs for layer in self.layers)

    @property
    def macs(self) -> int:
        """MACs of the channel pairs that are connected."""
        return sum(layer.macs for layer in self.layers)

    @property
    def dense_parameters(self) -> int:
        """Weights and biases, zeros too."""
        return sum(layer.dense_parameters for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Weights of the channel pairs that are connected, and biases."""
        return sum(layer.parameters for layer in self.layers)


def network_macs(model: ir.Model) -> NetworkMacs:
    """Count ``model`` for one image; it has shapes (see passes). Raises CompileError where a shape is not known.

    Counts each Conv, Gemm and MatMul by a constant matrix. Names are the weights' without ``.weight``, as find's.
    """
    names = {conv.node: conv.name for conv in find(model)}
    taken, counted = set(names.values()), set[ir.Value]()
    layers = []
    for node in model.graph:
        if (weight := _weight(node)) is None:
            continue
        array, value = weight
        name = names.get(node) or _unused(str(value.name).removesuffix(".weight"), taken)
        taken.add(name)
        density = Structure.of(array).density
        dense = array.size * _positions(node, model, name)
        weights, biases = (0, 0) if value in counted else (array.size, _biases(node))
        counted.add(value)
        remaining = round(weights * density) + biases
        layers.append(LayerMacs(name, dense, round(dense * density), weights + biases, remaining))
    return NetworkMacs(tuple(layers))


def _weight(node: ir.Node) -> tuple[NDArray[Any], ir.Value] | None:
    """The constant weight of a layer as (outputs, inputs of a group, ...), with its tensor."""
    if node.domain or node.op_type not in ("Conv", "Gemm", "MatMul"):
        return None
    value = node.inputs[1]
    if value is None or value.const_value is None:
        return None
    array = value.const_value.numpy()
    if node.op_type == "Conv" or node.attributes.get_int("transB", 0) == 1:
        return array, value
    return (array.T, value) if array.ndim == 2 else None


def _biases(node: ir.Node) -> int:
    """How many numbers the layer adds: its third input, or the constant of an Add that follows a MatMul."""
    uses = list(node.outputs[0].uses())
    added = list(node.inputs[2:])
    if node.op_type == "MatMul" and len(uses) == 1 and uses[0].node.op_type == "Add":
        added = list(uses[0].node.inputs)
    return sum(value.const_value.size for value in added if value is not None and value.const_value is not None)


def _positions(node: ir.Node, model: ir.Model, name: str) -> int:
    """How often the weight is applied to one image."""
    shape, given = node.outputs[0].shape, model.graph.inputs[0].shape
    assert given is not None
    batch = given[0]
    images = batch if isinstance(batch, int) else 1
    channels = 1 if node.op_type == "Conv" else -1
    dims = [] if shape is None else [*shape[:channels], *shape[channels:][1:]]
    counts = [dim if isinstance(dim, int) else dim.evaluate({str(batch): 1}) for dim in dims]
    known = [count for count in counts if isinstance(count, int)]
    if shape is None or len(known) < len(counts):
        raise CompileError(f"layer '{name}': its output has the shape {shape}, which leaves its work unknown")
    return prod(known) // images


def _unused(base: str, taken: set[str]) -> str:
    return next(name for name in (base, *(f"{base}#{i}" for i in range(2, len(taken) + 3))) if name not in taken)
