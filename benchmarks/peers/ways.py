"""Who is measured, each at the best settings that it has; several settings of one peer are ways of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.environments import OURS


@dataclass(frozen=True, eq=False)
class Way:
    """A peer in one precision at one of its settings.

    ``file``: of ``networks``, {threads} filled in. ``equal``: whether its answers must be the masked network's (fp32,
    and not a smaller network). ``load_once``: it takes so long to load that one process serves all builds.
    """

    peer: str
    precision: str
    engine: str
    file: str
    settings: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: str = OURS
    equal: bool = False
    load_once: bool = False

    @property
    def name(self) -> str:
        """Of no other way."""
        return f"{self.peer}, {self.precision}, {self.settings}"

    def serves(self, batch: int) -> bool:
        """Whether the setting means anything at this batch size."""
        return batch > 1 or not self.options.get("one_by_one")

    @property
    def row(self) -> str:
        """What it is one of the settings of."""
        return f"{self.peer}, {self.precision}"


RGP, DENSE = "rgp", "ONNX Runtime, dense"
REFERENCE = f"{DENSE}, fp32"
"""The row that all ratios are to, at the setting that is faster in the cell."""


def _ort(peer: str, precision: str, file: str, *, equal: bool = False) -> list[Way]:
    def way(settings: str, **options: bool) -> Way:
        return Way(peer, precision, "onnx_runtime", file, settings, options, equal=equal)

    found = []
    for word, spinning in (("off", False), ("on", True)):
        found.append(way(f"spinning {word}", spinning=spinning))
        found.append(way(f"one by one, spinning {word}", spinning=spinning, one_by_one=True))
    return found


def _openvino(precision: str, file: str, hint: str) -> Way:
    return Way(
        "OpenVINO, dense", precision, "openvino", file, f"latency, {hint}", {"hint": hint}, "openvino",
        equal=precision == "fp32",
    )  # fmt: skip


def _torch(precision: str, *, bf16: bool) -> Way:
    settings = "freezing, channels last, C++ wrapper" + (", autocast" if bf16 else "")
    options = {"bf16": bf16}
    return Way(
        "torch.compile, dense", precision, "torch_compile", "masked.pth", settings, options, equal=not bf16,
        load_once=True,
    )  # fmt: skip


WAYS = (
    *_ort(RGP, "fp32", "compiled-{threads}/compiled.onnx", equal=True),
    *_ort(DENSE, "fp32", "dense.onnx", equal=True),
    _openvino("fp32", "dense.onnx", "f32"),
    _torch("fp32", bf16=False),
    Way("DeepSparse, masked", "fp32", "deepsparse", "floats.onnx", "one stream", {}, "deepsparse", True, True),
    *_ort("ONNX Runtime, narrower", "fp32", "narrow.onnx"),
    *_ort("ONNX Runtime, Torch-Pruning", "fp32", "pruned.onnx"),
    _openvino("bf16", "dense.onnx", "bf16"),
    _torch("bf16", bf16=True),
    *_ort(RGP, "bf16", "compiled-bf16-{threads}/compiled.onnx"),
    *_ort(RGP, "int8", "compiled-int8-{threads}/compiled.onnx"),
    *_ort(DENSE, "int8", "dense-int8.onnx"),
    _openvino("int8", "nncf-int8.xml", "f32"),
)
