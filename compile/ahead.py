"""Engines that are built here and run elsewhere: TensorRT-RTX builds without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from rgp import report_form
from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.stages import Progress
from rgp.engines import native
from rgp.engines.target import Target


def missing_kernel(target: Target, conv: Conv, choice: Choice) -> str | None:
    """Why the engine has no kernel for ``choice``; None if it has. Grouped convolutions and our own may be missing."""
    if choice.lowering == "native":
        if (target.engine, target.device) != ("ort", "cpu"):
            return "our kernels run in ONNX Runtime on CPUs"
        return native.missing(target.precision)
    if target.engine == "ort" or choice.lowering != "grouped":
        return None
    from rgp.engines.tensorrt.probe import grouped_refusal  # found only where an extra brought the library

    (term, *_) = choice.terms
    kernel = max(conv.kernel)
    return grouped_refusal(target.engine, target.precision, channels=conv.channels, groups=len(term), kernel=kernel)


def build_ahead(
    files: Mapping[str, bytes], target: Target, batches: tuple[int, ...], progress: Progress
) -> dict[str, report_form.Built]:
    """Build an engine of each ONNX file and keep it in the store; what the library made of each, by file name.

    Raises EngineError if one cannot be built.
    """
    from rgp.engines.tensorrt.library import load
    from rgp.engines.tensorrt.ready import ready
    from rgp.engines.tensorrt.settings import Settings
    from rgp.engines.tensorrt.store import Store, default_folder

    library, settings, store = load(target.engine), Settings(target.precision, batches), Store(default_folder())
    built: dict[str, report_form.Built] = {}
    for name, onnx in files.items():
        found = ready(onnx, library, settings, store, progress=partial(_tell, progress, name))
        built[name] = {"engine_bytes": len(found.engine), "stored": found.summary is None}
        if (summary := found.summary) is not None:
            built[name] |= {
                "layers": summary.layers,
                "convolutions": summary.convolutions,
                "grouped": summary.grouped,
                "types": list(summary.types),
                "quantised": summary.quantised,
            }
    return built


def _tell(progress: Progress, name: str, line: str) -> None:
    progress(f"building engines: {name}: {line}")
