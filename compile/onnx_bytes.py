"""The ONNX files that we write: their operator set, and their bytes."""

from __future__ import annotations

import onnx_ir as ir

OPSET = 20


def serialize(model: ir.Model) -> bytes:
    """The bytes of an ONNX file."""
    data: bytes = ir.to_proto(model).SerializeToString()
    return data
