"""Weights that an ONNX file keeps in other files: only beside it, and only as many bytes as their tensors have."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import onnx
import onnx_ir as ir

from rgp.errors import CompileError

MAX_BYTES = (1 << 31) - 1
"""Of a protobuf message, and so of a model with all its weights."""


def load_external_data(proto: onnx.ModelProto, folder: Path) -> None:
    """Read all external tensors of ``proto``, a file in ``folder``, into it.

    Raises CompileError, which names the tensor, for data that is missing, too short, too much, or not in ``folder``:
    a model from elsewhere must not make us read other files.
    """
    total = proto.ByteSize()
    for tensor in _tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        needed = _bytes_of(tensor)
        if (total := total + needed) > MAX_BYTES:
            raise CompileError(f"tensor '{tensor.name}' and those before it have {total} bytes: 2 GiB is the most")
        path, offset = _place(tensor, folder.resolve(), needed)
        with path.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(needed)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def nodes_of(body: onnx.ModelProto | onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """All nodes, also those inside If, Loop and Scan; of a whole model, also those of its functions."""
    if isinstance(body, onnx.ModelProto):
        for part in (body.graph, *body.functions):
            yield from nodes_of(part)
        return
    for node in body.node:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from nodes_of(graph)


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from proto.graph.initializer
    for node in nodes_of(proto):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for graph in (attribute.g, *attribute.graphs):
                yield from graph.initializer


def _place(tensor: onnx.TensorProto, folder: Path, needed: int) -> tuple[Path, int]:
    """The file in ``folder``, and where in it the tensor's ``needed`` bytes begin."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    path = (folder / location).resolve()
    if not location or not path.is_relative_to(folder):  # absolute, through .., or by a link
        raise CompileError(f"tensor '{tensor.name}' has its data in {location!r}, outside the model's folder: refused")
    if not path.is_file():
        raise CompileError(f"tensor '{tensor.name}' has its data in {location!r}, which is missing: copy it as well")
    held = path.stat().st_size
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", needed))
    except ValueError as error:
        raise CompileError(f"tensor '{tensor.name}' has no number for its offset or length: export it again") from error
    if length != needed or not 0 <= offset <= held - length:
        raise CompileError(
            f"tensor '{tensor.name}' needs {needed} bytes, {location!r} gives {length} at {offset} of {held}: "
            "copy the whole file, or export again"
        )
    return path, offset


def _bytes_of(tensor: onnx.TensorProto) -> int:
    """What its element type and shape ask for."""
    try:
        bits: int = prod(tensor.dims) * ir.DataType(tensor.data_type).bitwidth
    except (ValueError, TypeError) as error:
        raise CompileError(f"tensor '{tensor.name}' has the element type {tensor.data_type}: not supported") from error
    return -(-bits // 8)
