"""An ONNX file that somebody gives us: read, checked, and refused with a reason where the compiler cannot use it."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

import onnx
import onnx.inliner
import onnx.version_converter
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx.shape_inference import InferenceError
from onnx_ir.passes.common import RemoveInitializersFromInputsPass

from rgp.compile.external_data import MAX_BYTES, load_external_data, nodes_of
from rgp.compile.onnx_bytes import OPSET
from rgp.compile.passes.batch import BATCH
from rgp.compile.passes.shapes import infer_anew
from rgp.compile.reference import plain_session
from rgp.errors import CompileError, EngineError, RgpError, UsageError

MAX_NODES = 100_000
LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
_DOMAINS = frozenset({"", "ai.onnx.ml", "com.microsoft"})
_QUANTISED = re.compile(r"(Dynamic)?QuantizeLinear|DequantizeLinear|QLinear\w+|QGemm|ConvInteger|MatMulInteger")


def read_onnx(path: Path, size: tuple[int, int] | None = None) -> ir.Model:
    """Read the ONNX file at ``path``, with all its data, at operator set 20 or later.

    The model has one input, (batch, C, H, W) float32 or (batch, H, W, C) uint8, and at least one convolution or
    linear layer. A free batch is called ``batch``; one that the file fixes stays (passes free it where they can).
    ``size``: (H, W), which a file that leaves them free needs. Raises CompileError, in one line, for a file that
    is no such model, and UsageError for a ``size`` that is missing or wrong.
    """
    try:
        return _read(path, size)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except RgpError as error:
        raise CompileError(f"{path}: {error}") from error
    except Exception as error:  # what onnx and onnx-ir raise on damaged files has no common base
        raise CompileError(f"{path}: not a valid ONNX model: {_line(error)}") from error


def _read(path: Path, size: tuple[int, int] | None) -> ir.Model:
    proto = _parse(path)
    _refuse_foreign_operators(proto)
    load_external_data(proto, path.parent)
    onnx.checker.check_model(proto)
    proto = _inlined(proto)
    _refuse_unfit_operators(proto)
    _refuse_what_onnxruntime_refuses(proto)
    model = ir.from_proto(_lifted(proto))
    RemoveInitializersFromInputsPass()(model)
    _fix_input(model, size)
    for node in model.graph:
        x = node.inputs[0] if node.op_type in LAYERS and not node.domain else None
        if x is not None and x.dtype != ir.DataType.FLOAT:
            raise CompileError(f"{node.op_type} '{node.outputs[0].name}' computes in {x.dtype}: give the float32 model")
    return model


def _parse(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise CompileError("a folder: name the .onnx file in it" if path.is_dir() else "no such file: check the path")
    if not 0 < (size := path.stat().st_size) <= MAX_BYTES:
        raise CompileError(f"{size} bytes: an ONNX file has 1 byte to 2 GiB, weights beyond that as external data")
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise CompileError("not an ONNX model, or cut short: export it again") from error
    if not proto.ir_version or not proto.graph.node or not proto.graph.output:
        raise CompileError("not an ONNX model, or one without nodes or outputs: export it again")
    imports = (each for body in (proto, *proto.functions) for each in body.opset_import)
    for each in (*imports, *nodes_of(proto)):
        if each.domain == "ai.onnx":  # the long name of ONNX's own domain
            each.domain = ""
    return proto


def _refuse_foreign_operators(proto: onnx.ModelProto) -> None:
    """Only operators that ONNX Runtime may know, and that work on plain tensors."""
    defined = {(function.domain, function.name) for function in proto.functions}
    for node in nodes_of(proto):
        if (node.domain, node.op_type) not in defined and node.domain not in _DOMAINS:
            raise CompileError(f"custom op {node.domain}::{node.op_type} is not known here: export without it")
    if proto.graph.sparse_initializer:
        name = proto.graph.sparse_initializer[0].values.name
        raise CompileError(f"initializer '{name}' is stored sparse: store it dense, zeros are found there too")


def _inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Without the model's own functions. A few of them that call each other twice would make a graph without end."""
    bodies = {(each.domain, each.name, each.overload): each for each in proto.functions}
    calls = {
        key: [call for node in nodes_of(body) if (call := _callee(node)) in bodies] for key, body in bodies.items()
    }
    written_out: dict[tuple[str, str, str], int] = {}
    for key in TopologicalSorter(calls).static_order():  # the checker refuses circles
        written_out[key] = sum(written_out.get(_callee(node), 1) for node in nodes_of(bodies[key]))
    nodes = sum(written_out.get(_callee(node), 1) for node in nodes_of(proto.graph))
    if nodes > MAX_NODES:
        raise CompileError(f"{nodes} nodes once its functions are written out: at most {MAX_NODES} are compiled")
    inlined: onnx.ModelProto = onnx.inliner.inline_local_functions(proto, convert_version=True) if bodies else proto
    return inlined


def _callee(node: onnx.NodeProto) -> tuple[str, str, str]:
    return node.domain, node.op_type, node.overload


def _refuse_unfit_operators(proto: onnx.ModelProto) -> None:
    """Neither quantised nor in training, and with something to compile."""
    for node in nodes_of(proto):
        if _QUANTISED.fullmatch(node.op_type):
            raise CompileError(f"already quantised ({node.op_type}): give the float32 model it was made from")
        training = any(each.name == "training_mode" and each.i for each in node.attribute)
        if node.op_type == "BatchNormalization" and (training or any(node.output[1:])):
            raise CompileError(f"BatchNormalization '{node.output[0]}' is in training: export in evaluation mode")
    if not any(node.op_type in LAYERS and not node.domain for node in proto.graph.node):
        raise CompileError("no convolution and no linear layer: nothing to compile")


def _refuse_what_onnxruntime_refuses(proto: onnx.ModelProto) -> None:
    """What cannot run as it is, nothing can be compared with."""
    try:
        plain_session(proto.SerializeToString())
    except EngineError as error:
        if known := re.search(r"support for domain ai\.onnx is till opset (\d+)", str(error)):
            version = _opset(proto)
            raise CompileError(
                f"its opset {version} is newer than ONNX Runtime knows ({known[1]}): export with opset {OPSET}"
            ) from error
        raise


def _opset(proto: onnx.ModelProto) -> int:
    version: int = next(each.version for each in proto.opset_import if not each.domain)
    return version


def _lifted(proto: onnx.ModelProto) -> onnx.ModelProto:
    """At OPSET, if the file is older."""
    if (version := _opset(proto)) >= OPSET:
        return proto
    try:
        lifted: onnx.ModelProto = onnx.version_converter.convert_version(proto, OPSET)
    except Exception as error:  # RuntimeError, ConvertError and others
        raise CompileError(
            f"its opset {version} cannot be lifted to {OPSET} ({_line(error)}): export with opset 13 or later"
        ) from error
    return lifted


def _fix_input(model: ir.Model, size: tuple[int, int] | None) -> None:
    """Leave it with one input of images, whose only free number is the batch, and all shapes that follow from it."""
    if len(model.graph.inputs) != 1:
        names = ", ".join(f"'{value.name}'" for value in model.graph.inputs) or "none"
        raise CompileError(f"{len(model.graph.inputs)} inputs ({names}): give a model that takes one, the images")
    (x,) = model.graph.inputs
    if x.dtype == ir.DataType.FLOAT16:
        raise CompileError(f"input '{x.name}' is float16: give the float32 model")
    axes = {ir.DataType.FLOAT: (1, 2, 3), ir.DataType.UINT8: (3, 1, 2)}.get(x.dtype or ir.DataType.UNDEFINED)
    if axes is None or x.shape is None or len(x.shape) != 4:
        raise CompileError(
            f"input '{x.name}' is {x.type} of shape {x.shape}: give a model that takes (batch, C, H, W) float32 or "
            "(batch, H, W, C) uint8"
        )
    dims, (channels, *sides) = list(x.shape), axes
    if not isinstance(dims[channels], int):
        raise CompileError(f"input '{x.name}' has a free number of channels, {x.shape}: export it with a fixed one")
    for axis, side, what in zip(sides, size or (None, None), ("height", "width"), strict=True):
        if not isinstance(dims[axis], int):
            if side is None:
                raise UsageError(f"input '{x.name}' has a free {what}, {x.shape}: give the image size with --size")
            dims[axis] = side
        elif side not in (None, dims[axis]):
            raise UsageError(f"input '{x.name}' has {what} {dims[axis]}, not {side}: leave --size out")
    shape = [dims[0] if isinstance(dims[0], int) else BATCH, *dims[1:]]
    try:
        infer_anew(model, shape)
    except InferenceError as error:
        raise CompileError(f"images of shape {ir.Shape(shape)} do not pass through it: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
