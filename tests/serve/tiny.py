"""A small bundle, made by hand: a seeded network of one convolution, with a report as the compiler writes it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from rgp.bundle import Bundle
from rgp.preprocess import Preprocess

LABELS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
PREPROCESS = Preprocess(channels=3, size=12, resize=14, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
REPORT: dict[str, Any] = {
    "environment": {"cpu": "a CPU", "threads": 2, "versions": {"rgp": "0"}, "time": "2026-01-02T03:04:05+00:00"},
    "cost": {"dense_macs": 2, "macs": 1, "dense_parameters": 2, "parameters": 1},
    "latency": [
        {
            "batch": batch,
            "dense_ms_p50": 2.5 * batch,
            "compiled_ms_p50": 1.0 * batch,
            "dense_ms_p90": 3.0 * batch,
            "compiled_ms_p90": 1.5 * batch,
            "speedup": 2.5,
            "speedup_ci95": [2.25, 2.75],
            "pairs": 100,
        }
        for batch in (8, 1)
    ],
}


def network(
    classes: int = len(LABELS),
    channels: int = 3,
    input_type: int = TensorProto.UINT8,
    seed: int = 0,
    scale: float = 1,
) -> bytes:
    """ONNX: (batch, H, W, channels) to logits (batch, classes); normalise, 3x3 convolution, ReLU, mean, linear."""
    random = np.random.default_rng(seed)

    def constant(name: str, value: NDArray[Any]) -> onnx.TensorProto:
        return numpy_helper.from_array(value.astype(np.float32), name)

    std = np.resize(PREPROCESS.std, channels)
    mean = np.resize(PREPROCESS.mean, channels)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["float", "scale"], ["scaled"]),
            helper.make_node("Add", ["scaled", "shift"], ["normal"]),
            helper.make_node("Transpose", ["normal"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["planes", "kernel"], ["conv"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["conv"], ["relu"]),
            helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["features"]),
            helper.make_node("Gemm", ["features", "weight", "bias"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", input_type, ["batch", "height", "width", channels])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [
            constant("scale", 1 / 255 / std),
            constant("shift", -mean / std),
            constant("kernel", random.normal(size=(16, channels, 3, 3))),
            constant("weight", random.normal(size=(16, classes))),
            constant("bias", scale * random.normal(size=classes)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def write_bundle(path: Path, *, model: bytes | None = None, report: dict[str, Any] = REPORT) -> Bundle:
    """Write the tiny bundle to ``path``; ``model`` stands in for both engines."""
    model = network() if model is None else model
    return Bundle.write(
        path,
        name="tiny-net",
        architecture="tiny",
        labels=LABELS,
        preprocess=PREPROCESS,
        files={"dense.onnx": model, "compiled.onnx": model, "report.json": json.dumps(report).encode()},
    )


def picture(mode: str = "RGB", size: tuple[int, int] = (37, 29), seed: int = 0) -> Image.Image:
    """Seeded noise, coarse enough to survive JPEG. Modes: 1, L, LA, I;16, P, RGB, RGBA, CMYK."""
    random = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(random.integers(65536, size=size[::-1], dtype=np.uint16))
    coarse = Image.fromarray(random.integers(256, size=(5, 7, 4), dtype=np.uint8), "RGBA").resize(size)
    if mode == "P":
        return coarse.convert("RGB").quantize(16)
    return coarse.convert("RGB").convert(mode) if mode == "CMYK" else coarse.convert(mode)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The file's bytes."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
