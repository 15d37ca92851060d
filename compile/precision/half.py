"""fp16 and bf16 as explicit types: in the file, every convolution and what lies between them has the half type.

An engine that honours the types of a file (TensorRT 11 knows no other way) then computes as the file says. Bytes
come in and float32 goes out, as before. In float32, between casts, stay: the head (``rgp.compile.precision.head``),
the long sums and the exponentials of KEPT, operators that ONNX does not define for the half type, and those that are
not ONNX's own.

``onnxruntime.transformers.float16`` is not used: it knows no bf16, and turns a weight beyond the range of fp16 into
65504 without a word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.defs import OpSchema, SchemaError, get_schema
from onnx_ir.passes.common import LiftConstantsToInitializersPass
from onnxscript import version_converter

from rgp.compile.onnx_bytes import serialize
from rgp.compile.passes.shapes import infer
from rgp.compile.precision.head import head
from rgp.errors import CompileError

KEPT = frozenset(
    {
        *("GlobalAveragePool", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "CumSum"),
        *("Softmax", "LogSoftmax", "ReduceLogSumExp", "Exp", "Log", "Pow"),
        *("InstanceNormalization", "GroupNormalization", "Cast"),
    }
)
_NONE: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
BF16_OPSET = 22
"""The first in which convolutions and poolings are defined for bfloat16."""


def to_fp16(model: bytes) -> bytes:
    """An ONNX file's network in float16; weights below its range become subnormal or 0.

    Raises CompileError that names a constant beyond 65504, or an operator with a network inside (If, Loop).
    """
    return _converted(ir.from_proto(onnx.load_from_string(model)), ir.DataType.FLOAT16)


def to_bf16(model: bytes) -> bytes:
    """An ONNX file's network in bfloat16 (float32's range, 8 significant bits), at BF16_OPSET at least."""
    working = ir.from_proto(onnx.load_from_string(model))
    if working.opset_imports[""] < BF16_OPSET:
        version_converter.convert_version(working, BF16_OPSET)
    return _converted(working, ir.DataType.BFLOAT16)


def _converted(model: ir.Model, half: ir.DataType) -> bytes:
    LiftConstantsToInitializersPass(lift_all_constants=True)(model)
    infer(model)
    graph, casts = model.graph, Casts(model.graph, half)
    stays = set(head(graph))
    for node in list(graph):
        if any(attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attr in node.attributes.values()):
            raise CompileError(f"{node.op_type} '{node.name}' has a network inside: only --precision fp32 compiles it")
        inputs, outputs = _NONE if node in stays else _half_places(node, half, model.opset_imports[""])
        for index, value in enumerate(node.inputs):
            if value is not None:
                casts.feed(node, index, value, half=index in inputs)
        for index in outputs:
            node.outputs[index].type = ir.TensorType(half)
            casts.halves.add(node.outputs[index])
    casts.finish()
    return serialize(model)


def _half_places(node: ir.Node, half: ir.DataType, opset: int) -> tuple[frozenset[int], frozenset[int]]:
    """Which inputs and outputs of ``node`` are to have the half type; none if ONNX does not define it so."""
    try:
        schema = get_schema(node.op_type, opset, node.domain)
    except SchemaError:
        return _NONE
    if node.op_type in KEPT or any(value is not None and value.dtype is None for value in node.inputs):
        return _NONE
    tensor = f"tensor({half.name.lower()})"
    allowed = {each.type_param_str for each in schema.type_constraints if tensor in each.allowed_type_strs}
    inputs = {
        index: variable
        for index, value in enumerate(node.inputs)
        if value is not None
        and value.dtype in (ir.DataType.FLOAT, half)
        and (variable := _type_of(schema.inputs, index)) in allowed
    }
    outputs = {
        index
        for index, value in enumerate(node.outputs)
        if value.dtype == ir.DataType.FLOAT and _type_of(schema.outputs, index) in inputs.values()
    }
    return frozenset(inputs), frozenset(outputs)


def _type_of(formals: Sequence[OpSchema.FormalParameter], index: int) -> str:
    """The type variable of an argument; the last formal one may stand for many."""
    return str(formals[min(index, len(formals) - 1)].type_str)


class Casts:
    """Feeds nodes with tensors of the type that they ask for; each tensor is cast once."""

    def __init__(self, graph: ir.Graph, half: ir.DataType) -> None:
        self.halves: set[ir.Value] = set()
        """Tensors that were float32 and are of the half type now."""
        self._graph, self._half = graph, half
        self._cast: dict[ir.Value, ir.Value] = {}

    def feed(self, node: ir.Node, index: int, value: ir.Value, *, half: bool) -> None:
        """Let input ``index`` of ``node`` be ``value`` in the half type, or in the type that the file gave it."""
        if half == (value in self.halves) or (half and value.dtype == self._half):
            return
        if value not in self._cast:
            if value.is_initializer():
                self._cast[value] = self._constant(value)
            else:
                cast = self._cast_node(value, self._half if half else ir.DataType.FLOAT)
                self._graph.insert_before(node, cast)
                self._cast[value] = cast.outputs[0]
        node.replace_input_with(index, self._cast[value])

    def finish(self) -> None:
        """Outputs are float32 again, under their names; constants that nobody reads in float32 leave theirs."""
        for index, value in enumerate(self._graph.outputs):
            if value in self.halves:
                name, value.name = value.name, f"{value.name}.{self._half.name.lower()}"
                cast = self._cast_node(value, ir.DataType.FLOAT)
                cast.outputs[0].name = name
                self._graph.append(cast)
                self._graph.outputs[index] = cast.outputs[0]
        for value, constant in self._cast.items():
            if value.is_initializer() and not value.uses() and not value.is_graph_output():
                name = str(value.name)
                del self._graph.initializers[name]
                constant.name = name

    def _cast_node(self, value: ir.Value, to: ir.DataType) -> ir.Node:
        name = f"{value.name}.{to.name.lower()}"
        output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(to))
        return ir.Node("", "Cast", [value], [ir.AttrInt64("to", to.value)], outputs=[output], name=name)

    def _constant(self, value: ir.Value) -> ir.Value:
        assert value.const_value is not None
        array: NDArray[np.float32] = value.const_value.numpy()
        with np.errstate(over="ignore"):
            halved = array.astype(self._half.numpy())
        if (np.isinf(halved) & np.isfinite(array)).any():
            largest = float(np.abs(array[np.isfinite(array)]).max())
            raise CompileError(
                f"'{value.name}' reaches {largest:.6g}, more than {self._half.name.lower()} can hold: "
                "use --precision bf16 or fp32"
            )
        name = f"{value.name}.{self._half.name.lower()}"
        tensor = ir.tensor(halved, name=name)
        new = ir.Value(name=name, shape=value.shape, type=ir.TensorType(self._half), const_value=tensor)
        self._graph.register_initializer(new)
        return new
