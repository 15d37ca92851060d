"""Our kernel in bfloat16, for ONNX Runtime on CPUs: its convolutions and what lies between them, the rest float32.

ONNX Runtime has no convolution in bfloat16 on most CPUs, so the whole networks of ``rgp.compile.precision.half`` do not
run there. Sums are float32; an Add and an activation are done before the one rounding of the result.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from rgp.compile.graph_conv import declare, in_bf16
from rgp.compile.onnx_bytes import serialize
from rgp.compile.precision.half import Casts
from rgp.engines.native import BF16, DOMAIN


def to_bf16_kernels(model: bytes) -> bytes:
    """An ONNX file's network with every GraphConv in bfloat16; without any, the file as it is.

    Raises CompileError that names a weight beyond the range of bfloat16.
    """
    working = ir.from_proto(onnx.load_from_string(model))
    ours = {node for node in working.graph if node.domain == DOMAIN and in_bf16(node)}
    if not ours:
        return model
    casts = Casts(working.graph, ir.DataType.BFLOAT16)
    for node in list(working.graph):
        halves = in_bf16(node) if node in ours else frozenset()
        for index, value in enumerate(node.inputs):
            if value is not None:
                casts.feed(node, index, value, half=index in halves)
        if node in ours:
            node.op_type = f"{BF16}{node.op_type}"
            node.outputs[0].type = ir.TensorType(ir.DataType.BFLOAT16)
            casts.halves.add(node.outputs[0])
    casts.finish()
    declare(working)
    return serialize(working)
