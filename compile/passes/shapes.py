"""shapes: every tensor gets its element type and shape.

Requires: a graph that the ONNX checker accepts. Ensures: each convolution's output has a shape, whose numbers are all
known but for the batch, and its input the channels that its weight reads. What neither ONNX nor ONNX Runtime can
tell of other operators' outputs stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir
from onnx import helper, shape_inference

from rgp.compile.reference import plain_session
from rgp.errors import EngineError

_SMALL_BYTES = 1 << 10
"""Initialisers up to this size may say a shape; larger ones are weights, whose numbers inference has no use for."""


class Shapes(ir.passes.InPlacePass):
    """Infer shapes by ONNX's own rules, and ask ONNX Runtime about operators that are not ONNX's."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fill in the main graph's tensors."""
        before = {value: (value.dtype, str(value.shape)) for value in _computed(model)}
        infer(model)
        after = {value: (value.dtype, str(value.shape)) for value in _computed(model)}
        return ir.passes.PassResult(model, before != after)

    def ensures(self, model: ir.Model) -> None:
        """Convolutions know what they write, and read as many channels as their weight has (ONNX does not look)."""
        for node in model.graph:
            if node.op_type != "Conv" or node.domain:
                continue
            (x, weight), y = node.inputs[:2], node.outputs[0]
            if y.shape is None or not all(isinstance(dim, int) for dim in y.shape[1:]):
                raise ir.passes.PostconditionError(f"the convolution that gives '{y.name}' has the shape {y.shape}")
            if x is not None and x.shape is not None and weight is not None and weight.shape is not None:
                reads, has = x.shape[1], weight.shape[1]
                if (
                    isinstance(reads, int)
                    and isinstance(has, int)
                    and reads != has * node.attributes.get_int("group", 1)
                ):
                    raise ir.passes.PostconditionError(f"the convolution that gives '{y.name}' reads {reads} channels")


def infer(model: ir.Model) -> None:
    """Infer types and shapes in place; raises InferenceError and changes nothing if they contradict each other."""
    proto = ir.to_proto(model)
    small = [tensor for tensor in proto.graph.initializer if tensor.ByteSize() <= _SMALL_BYTES]
    large = [tensor for tensor in proto.graph.initializer if tensor.ByteSize() > _SMALL_BYTES]
    proto.graph.input.extend(helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in large)
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(small)
    inferred = shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    known = ir.convenience.create_value_mapping(ir.from_proto(inferred).graph)
    for value in _computed(model):
        if value.name in known:
            value.shape, value.type = known[value.name].shape, known[value.name].type
    _ask_onnxruntime(model)


def infer_anew(model: ir.Model, shape: Sequence[int | ir.SymbolicDim]) -> None:
    """Give the one input ``shape``, forget all others and infer; raises InferenceError, with shapes forgotten.

    Where nothing can be inferred the forgotten shape comes back, unless the batch was fixed and is free now.
    """
    (x,) = model.graph.inputs
    batch_stays = x.shape is not None and isinstance(x.shape[0], int) == isinstance(shape[0], int)
    x.shape = ir.Shape(shape)
    told = {value: value.shape for node in model.graph.all_nodes() for value in node.outputs}
    for value in told:
        value.shape = None
    infer(model)
    for value, before in told.items():
        if value.shape is None and batch_stays:
            value.shape = before


def _ask_onnxruntime(model: ir.Model) -> None:
    """ONNX Runtime knows the shapes that its own operators give."""
    unknown = [value for value in _computed(model) if value.shape is None and value.uses()]
    if not unknown:
        return
    proto = ir.to_proto(model)
    proto.graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in unknown)
    try:
        answers = {answer.name: answer for answer in plain_session(proto.SerializeToString()).get_outputs()}
    except EngineError:
        return
    for value in unknown:
        answer = answers[value.name]
        if answer.type.startswith("tensor("):
            value.type = ir.TensorType(ir.DataType[answer.type[len("tensor(") : -1].upper()])
            value.shape = ir.Shape(answer.shape)


def _computed(model: ir.Model) -> list[ir.Value]:
    return [value for node in model.graph for value in node.outputs if value.name]
