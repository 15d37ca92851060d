"""One function for each engine: load a network, give what runs a batch. Imported in the peers' own environments.

Each takes the file, threads, the batch and the way's options, and gives a function from images (batch, H, W, 3) uint8
to logits (batch, classes) float32; normalising is part of it, but for DeepSparse. What an engine needs is imported in
its function: no environment has them all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Logits = NDArray[np.float32]
Run = Callable[[Images], Logits]


def onnx_runtime(file: Path, threads: int, batch: int, *, spinning: bool, one_by_one: bool = False) -> Run:
    """All graph optimisations, prepacked weights, the batch fixed; our kernels, where the file has them.

    ``one_by_one``: a batch is run image after image.
    """
    import onnxruntime as ort

    from rgp.engines import native

    data = file.read_bytes()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_free_dimension_override_by_name("batch", 1 if one_by_one else batch)
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    if native.used_by(data):
        native.register(options)
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(images: Images) -> Logits:
        parts = np.split(images, batch) if one_by_one else [images]
        return np.concatenate([session.run(None, {"image": part})[0] for part in parts])

    return run


def openvino(file: Path, threads: int, batch: int, *, hint: str) -> Run:
    """Hint: f32 or bf16, what it computes in where the file does not say int8. One request, latency, batch fixed."""
    import openvino as ov  # type: ignore[import-not-found]

    core = ov.Core()
    model = core.read_model(file)
    model.reshape({0: [batch, *list(model.inputs[0].partial_shape)[1:]]})
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda images: np.array(request.infer([images], share_inputs=True)[0])


def torch_compile(file: Path, threads: int, batch: int, *, bf16: bool) -> Run:
    """Inductor with frozen weights and C++ wrapper, channels last, sizes fixed; ``file``: a checkpoint."""
    import torch
    import torch._inductor.config as inductor

    from rgp.checkpoint import Checkpoint
    from rgp.compile.export import ImageNetwork, folded
    from rgp.models.registry import restore

    torch.set_num_threads(threads)
    inductor.freezing = inductor.cpp_wrapper = True
    checkpoint = Checkpoint.load(file)
    network = ImageNetwork(folded(restore(checkpoint)), checkpoint.preprocess).eval()
    network.to(memory_format=torch.channels_last)
    compiled = torch.compile(network, dynamic=False)

    def run(images: Images) -> Logits:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return np.asarray(compiled(torch.from_numpy(images)).float().numpy())

    return run


def deepsparse(file: Path, threads: int, batch: int) -> Run:
    """One stream. Its numbers are normalised before: it has no operators for bytes."""
    from deepsparse import Engine  # type: ignore[import-not-found]

    engine = Engine(str(file), batch_size=batch, num_cores=threads, scheduler="single_stream")
    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))

    known: list[Any] = [None, None]

    def run(images: Images) -> Logits:
        if known[0] is not images:
            known[:] = images, np.ascontiguousarray(((images / 255 - mean) / std).transpose(0, 3, 1, 2), np.float32)
        return np.asarray(engine.run([known[1]])[0])

    return run


ENGINES: dict[str, Callable[..., Run]] = {
    each.__name__: each for each in (onnx_runtime, openvino, torch_compile, deepsparse)
}
