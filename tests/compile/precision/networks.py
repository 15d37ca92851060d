"""A small network of everything that compiled networks are made of, as an ONNX file, and what it gives."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx.shape_inference import infer_shapes
from torch import Tensor, nn

from rgp.compile.export import export
from rgp.compile.onnx_bytes import serialize
from rgp.compile.reference import plain_session
from rgp.preprocess import Preprocess

COLOUR = Preprocess(channels=3, size=12, resize=12, mean=(0.5, 0.4, 0.3), std=(0.25,) * 3)


class Mixed(nn.Module):
    """Grouped and depthwise convolutions, a sum of two, slices, a shuffle, a residual, a clip, pooling and a Gemm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.a = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.b = nn.Conv2d(16, 16, 3, padding=1, groups=2, bias=False)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, stride=2, groups=16)
        self.left, self.right = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(16, 10)
        self.register_buffer("order", torch.tensor([5, 2, 9, 0, 15, 7, 1, 12, 3, 11, 4, 14, 6, 13, 8, 10]))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.stem(x)), 2)
        shuffled = x.index_select(1, self.get_buffer("order"))
        x = torch.relu(self.a(shuffled) + self.b(x) + x)
        x = nn.functional.relu6(self.depthwise(x))
        x = torch.cat([self.left(x[:, :8]), self.right(x[:, 8:])], 1)
        logits: Tensor = self.head(torch.relu(x).mean((2, 3)))
        return logits


@cache
def mixed() -> bytes:
    torch.manual_seed(0)
    return serialize(export(Mixed().eval(), COLOUR))


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 12, 12, 3), np.uint8)


def run(model: bytes, batch: NDArray[Any]) -> NDArray[Any]:
    """The first output."""
    session = plain_session(model)
    found: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: batch})[0]
    return found


def typed(model: bytes) -> ir.Model:
    """The model with every tensor's type told, as the ONNX checker finds it."""
    proto = onnx.load_from_string(model)
    onnx.checker.check_model(proto, full_check=True)
    del proto.graph.value_info[:]
    return ir.from_proto(infer_shapes(proto, check_type=True, strict_mode=True))


def difference(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The largest, as a share of the largest magnitude in ``a``."""
    return float(np.abs(a - b).max() / np.abs(a).max())
