"""What a network is compiled for: the engine, the device, the numeric type. A bundle carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rgp.engines import WholeEngine
from rgp.errors import UsageError, unknown

ENGINES = ("ort", "trt", "trt-rtx")
DEVICES = ("cpu", "cuda")
PRECISIONS = ("fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class Target:
    """The engine, the device and the numeric type; UsageError if one is unknown, or TensorRT is not to run on cuda."""

    engine: str = "ort"
    """ort (ONNX Runtime), trt (TensorRT) or trt-rtx (TensorRT-RTX)."""
    device: str = "cpu"
    """cpu or cuda."""
    precision: str = "fp32"
    """fp32, fp16, bf16 or int8: of both networks; bf16 on ONNX Runtime's CPU of the compiled one, by our kernels."""

    def __post_init__(self) -> None:
        for what, value, known in (
            ("engine", self.engine, ENGINES),
            ("device", self.device, DEVICES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise UsageError(unknown(what, value, known))
        if self.engine != "ort" and self.device != "cuda":
            raise UsageError(f"--engine {self.engine} runs on cuda only: give --device cuda, or --engine ort")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Target:
        """From a manifest; what it does not name is the default."""
        return cls(**{str(name): str(value) for name, value in values.items()})

    def to_dict(self) -> dict[str, str]:
        """The form that a manifest has."""
        return asdict(self)

    def absent(self) -> str | None:
        """Why its engines cannot run here, though they can be built; None if they can.

        Raises EngineError, with what would bring it, where not even building works.
        """
        if self.engine == "ort":
            return None
        from rgp.engines.tensorrt import cuda  # found only where an extra brought the library
        from rgp.engines.tensorrt.library import load

        if load(self.engine).tunes:
            cuda.gpu()
        return None if cuda.gpu_if_any() else "no NVIDIA GPU here"

    def describe(self, threads: int) -> dict[str, str | int]:
        """Name, version, device and threads of its engines; EngineError where they cannot even be built."""
        if self.engine == "ort":
            from rgp.engines.ort import describe

            return describe(self.device, threads)
        from rgp.engines.tensorrt.library import describe as describe_tensorrt
        from rgp.engines.tensorrt.library import load

        if (reason := self.absent()) is not None:
            return {"engine": self.engine, "version": load(self.engine).version, "device": reason, "threads": 1}
        return describe_tensorrt(self.engine)

    def start(
        self,
        onnx: bytes,
        *,
        threads: int,
        batches: Sequence[int] = (1, 8, 32),
        kept: bool = True,
        at_once: int | None = None,
    ) -> WholeEngine:
        """An engine of an ONNX file's bytes; EngineError that says what is missing, or why it cannot run them.

        ``batches``: what TensorRT tunes for. ``kept``: whether its engine is stored for the next time. ``at_once``: how
        many inputs of a batch ONNX Runtime runs together, None for all.
        """
        if self.engine == "ort":
            from rgp.engines.ort import OrtEngine

            return OrtEngine(onnx, threads=threads, device=self.device, at_once=at_once)
        from rgp.engines.tensorrt.engine import TensorRTEngine
        from rgp.engines.tensorrt.store import Store

        store = None if kept else Store(None)
        return TensorRTEngine.of(onnx, kind=self.engine, precision=self.precision, batches=tuple(batches), store=store)

    def __str__(self) -> str:
        return f"{self.engine} on {self.device}, {self.precision}"
