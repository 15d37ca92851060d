"""What an engine depends on. Another library, driver, GPU, precision, shape or network: another engine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from rgp.engines.tensorrt.cuda import Gpu
from rgp.engines.tensorrt.library import Library
from rgp.engines.tensorrt.settings import Settings


@dataclass(frozen=True)
class Key:
    """``library`` and ``driver`` are versions; ``hardware`` the GPU, or the targets of an engine built for several.

    ``onnx``: the sha256 of the network. A timing cache has a key too, of nothing but library, driver and hardware.
    """

    library: str
    driver: str
    hardware: str
    precision: str = ""
    batches: tuple[int, ...] = ()
    workspace: int | None = None
    onnx: str = ""

    @classmethod
    def of(cls, onnx: bytes, library: Library, settings: Settings, gpu: Gpu | None) -> Self:
        """The key of the engine that ``build`` makes; ``gpu`` None: built ahead of time, without one."""
        return cls(
            library=str(library),
            driver=f"CUDA {gpu.driver}" if gpu and library.tunes else "any",
            hardware=", ".join(settings.targets) or str(gpu or "8.0 and newer"),
            precision=settings.precision,
            batches=settings.batches,
            workspace=settings.workspace,
            onnx=hashlib.sha256(onnx).hexdigest(),
        )

    def of_timings(self) -> Key:
        """The key of the timing cache that the engine is built with."""
        return Key(self.library, self.driver, self.hardware)

    @property
    def name(self) -> str:
        """Where it is stored: the same for all versions of the library and the driver, which make it stale."""
        lasting = (self.library.partition(" ")[0], self.hardware, self.precision, self.batches, self.workspace)
        digest = hashlib.sha256(json.dumps([*lasting, self.onnx]).encode()).hexdigest()
        return f"{'-'.join(filter(None, (lasting[0], self.precision or 'timings')))}-{digest[:32]}"

    def stale(self, stored: dict[str, Any]) -> str:
        """What changed since ``stored`` (another key's ``to_dict``), in a few words; empty if nothing did."""
        changed = [
            f"{part} was {stored.get(part)}, is {now}"
            for part, now in self.to_dict().items()
            if stored.get(part) != now
        ]
        return "; ".join(changed)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "batches": list(self.batches)}
