"""TensorRT and TensorRT-RTX: one builder, one store, one engine, since both libraries have the same interface.

::

    library   finds the module that a kind ("trt", "trt-rtx") needs, collects what it logs
    settings  what an engine is built for: precision, batches, memory, targets
    build     ONNX bytes to engine bytes
    probe     whether the library has a kernel for a grouped convolution
    key       what an engine depends on
    store     engines on disk, each with its key and its hash
    ready     a stored engine if it is still good, else a new one, with the reason
    cuda      the GPU: memory, streams, graphs
    tensor    an input or output: its memory on both sides
    engine    runs batches
"""
