"""The ONNX files that we write: their operator set, and their bytes."""

from __future__ import annotations

import onnx_ir as ir

from rgp.compile.graph_conv import declare

OPSET = 20


def serialize(model: ir.Model) -> bytes:
    """The bytes of an ONNX file, with the functions of those of our own operators that it uses."""
    declare(model)
    data: bytes = ir.to_proto(model).SerializeToString()
    return data
