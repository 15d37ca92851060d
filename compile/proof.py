"""The proof for one compilation: first that the lowering is right, in fp32, then that the numbers are good enough.

What a network gave is asked once, and a fault is traced to its layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rgp.compile.bisect import Trace, first_difference
from rgp.compile.onnx_bytes import serialize
from rgp.compile.source import Outputs, Source
from rgp.compile.verify import TOLERANCES, Array, Equivalence, Samples, verify
from rgp.engines.target import Target
from rgp.errors import EngineError, VerificationError

PLAIN = Target()
"""ONNX Runtime on CPU in fp32: close enough to show the slightest wrong lowering, which fp16 or int8 would hide."""


@dataclass
class Proof:
    """Compares networks with what they were made of, on ``samples``, as ``target`` runs them."""

    samples: Samples
    target: Target
    threads: int
    min_agreement: float | None
    _known: dict[tuple[int, int], Outputs] = field(default_factory=dict)

    def __call__(self, source: Source, fp32: bytes, onnx: bytes, traces: Sequence[Trace] = ()) -> Equivalence:
        """Compare two ONNX files with ``source``: ``fp32``, and ``onnx``, the same in the target's numbers.

        ``traces``: what became of each convolution. Raises VerificationError, with the first layer that differs, if
        any does. What cannot run here is proved on ONNX Runtime, but for whole networks in bfloat16, which it has not.
        """
        found = None
        if onnx is not fp32 or self.target != PLAIN:
            found = self._equal(source, fp32, PLAIN, fp32, traces)
        absent = self.target.absent() is not None
        if found is not None and absent and self.target.precision == "bf16":
            return found
        runs_on = Target(precision=self.target.precision) if absent else self.target
        return self._equal(source, onnx, runs_on, fp32, traces)

    def _equal(self, source: Source, onnx: bytes, target: Target, fp32: bytes, traces: Sequence[Trace]) -> Equivalence:
        def reference(batch: Array) -> Outputs:
            key = id(source), id(batch)
            if key not in self._known:
                self._known[key] = source.reference(batch)
            return self._known[key]

        engine = target.start(onnx, threads=self.threads)
        try:
            return verify(reference, engine, self.samples, precision=target.precision, min_agreement=self.min_agreement)
        except VerificationError as error:
            if not traces or target != PLAIN:
                raise
            raise VerificationError(f"{error}; {self._first_difference(source, fp32, traces)}") from error

    def _first_difference(self, source: Source, fp32: bytes, traces: Sequence[Trace]) -> str:
        try:
            found = first_difference(serialize(source.model), fp32, traces, self.samples.random[0], TOLERANCES["fp32"])
        except EngineError as error:  # the proof has failed already: that is what must be told
            return f"the layer could not be found: {error}"
        return str(found or "no single layer differs on the first random input")
