"""Bytes in, logits out: the form that exported checkpoints have, for a network that came as an ONNX file."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import NameFixPass

from rgp.errors import CompileError
from rgp.preprocess import Preprocess


def with_image_input(model: ir.Model, preprocess: Preprocess) -> ir.Model:
    """Let ``model`` take ``image`` (batch, H, W, C) uint8 and call its first output ``logits``; changed in place.

    A model that takes float32 (batch, C, H, W) gets ``preprocess``'s normalisation before its first node, in the
    arithmetic of rgp.normalise; one that takes uint8 (batch, H, W, C) normalises inside already. Raises
    CompileError if the model takes images of another shape than ``preprocess`` makes.
    """
    (x,) = model.graph.inputs
    size, channels = preprocess.size, preprocess.channels
    takes_bytes = x.dtype == ir.DataType.UINT8
    expected = [size, size, channels] if takes_bytes else [channels, size, size]
    assert x.shape is not None  # read_onnx
    batch, *taken = x.shape
    if taken != expected:
        raise CompileError(
            f"input '{x.name}' takes {'x'.join(map(str, taken))} after the batch, the preprocessing makes "
            f"{'x'.join(map(str, expected))}: give the model's own channels and image size"
        )
    if not takes_bytes:
        image = ir.Value(
            name="image", type=ir.TensorType(ir.DataType.UINT8), shape=ir.Shape([batch, *taken[1:], channels])
        )
        nodes = _normalise(model.graph, image, preprocess)
        normalised = nodes[-1].outputs[0]
        x.replace_all_uses_with(normalised, replace_graph_outputs=True)
        model.graph.insert_before(model.graph[0], nodes)
        model.graph.inputs[0] = image
        normalised.name, normalised.shape = "normalised", x.shape
    model.graph.inputs[0].name = "image"
    model.graph.outputs[0].name = "logits"
    NameFixPass()(model)  # another tensor may have one of these names; inputs and outputs keep theirs
    return model


def _normalise(graph: ir.Graph, image: ir.Value, preprocess: Preprocess) -> list[ir.Node]:
    """Floats, as TensorRT takes bytes into a cast only; planes, as engines scale them fast; pixel * scale + shift."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (preprocess.mean, preprocess.std))
    scale = _constant(graph, "normalise.scale", np.reciprocal(255 * std))
    shift = _constant(graph, "normalise.shift", -mean / std)
    floats = ir.node("Cast", [image], {"to": ir.DataType.FLOAT})
    channels_first = ir.node("Transpose", [floats.outputs[0]], {"perm": [0, 3, 1, 2]})
    scaled = ir.node("Mul", [channels_first.outputs[0], scale])
    shifted = ir.node("Add", [scaled.outputs[0], shift])
    assert image.shape is not None
    batch, height, width, channels = image.shape
    nodes = [floats, channels_first, scaled, shifted]
    for node in nodes:
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        node.outputs[0].shape = image.shape if node is floats else ir.Shape([batch, channels, height, width])
    return nodes


def _constant(graph: ir.Graph, name: str, array: NDArray[np.float32]) -> ir.Value:
    while name in graph.initializers:
        name += "_"
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name), shape=ir.Shape(array.shape))
    value.type = ir.TensorType(ir.DataType.FLOAT)
    graph.register_initializer(value)
    return value
