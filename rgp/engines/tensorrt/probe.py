"""Has the library a kernel for a grouped convolution? Its own builder is asked, on a network of one convolution.

TensorRT 11.2.1 builds none in fp16 (NVIDIA/TensorRT#4838), which costs the whole network; 10.16.1 did. Where it has
none, another lowering takes its place.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from rgp.engines.tensorrt.build import ONE_AT_A_TIME, configure, serialized, start
from rgp.engines.tensorrt.library import load
from rgp.engines.tensorrt.settings import Settings
from rgp.errors import EngineError

SIDE = 14
"""Rows and columns of the image; which kernels there are does not depend on it."""


@functools.cache
def grouped_refusal(kind: str, precision: str, *, channels: tuple[int, int], groups: int, kernel: int) -> str | None:
    """Why the library of ``kind`` cannot build such a convolution, or None if it can.

    ``channels``: (inputs, outputs), each divisible by ``groups``; ``kernel``: rows and columns. EngineError where
    nothing can be asked: no library, or for "trt" no GPU.
    """
    library, settings = load(kind), Settings(precision)
    module, (ins, outs) = library.module, channels
    with ONE_AT_A_TIME:
        builder = start(library)
        network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        dtype, numpy_type = {
            "fp32": (module.float32, np.float32),
            "fp16": (module.float16, np.float16),
            "bf16": (module.bfloat16, np.uint16),  # zeros have the same bits
            "int8": (module.float32, np.float32),  # quantised below, as QDQ does it
        }[precision]
        weight = np.zeros((outs, ins // groups, kernel, kernel), numpy_type)
        x = network.add_input("x", dtype, (-1, ins, SIDE, SIDE))
        weights = module.Weights(dtype, weight.ctypes.data, weight.size)
        if precision == "int8":
            one = np.ones((), np.float32)
            scale = network.add_constant((), module.Weights(one)).get_output(0)
            constant = network.add_constant(weight.shape, weights).get_output(0)
            conv = network.add_convolution_nd(
                _quantised(network, x, scale, module), outs, (kernel, kernel), module.Weights(dtype)
            )
            conv.set_input(1, _quantised(network, constant, scale, module))
        else:
            conv = network.add_convolution_nd(x, outs, (kernel, kernel), weights)
        conv.num_groups = groups
        network.mark_output(conv.get_output(0))
        config = builder.create_builder_config()
        profile = builder.create_optimization_profile()
        shape = (ins, SIDE, SIDE)
        profile.set_shape("x", (1, *shape), (8, *shape), (8, *shape))
        config.add_optimization_profile(profile)
        configure(config, library, settings)
        try:
            serialized(builder, network, config, library)
        except EngineError as error:
            return str(error)
    return None


def _quantised(network: Any, x: Any, scale: Any, module: Any) -> Any:
    quantised = network.add_quantize(x, scale, module.int8).get_output(0)
    return network.add_dequantize(quantised, scale, module.float32).get_output(0)
