"""A checkpoint becomes a bundle: export, plan, rewrite, verify, measure, write. Any failure leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgp.bundle import Bundle, refuse_used
from rgp.checkpoint import Checkpoint
from rgp.compile.convs import find
from rgp.compile.export import export, serialize
from rgp.compile.plan import Plan, all_dense, make_plan
from rgp.compile.report import Findings
from rgp.compile.rewrite import rewrite
from rgp.compile.spaces import find_spaces
from rgp.compile.tune import Tuner
from rgp.compile.verify import verify
from rgp.cost import cost
from rgp.engines.ort import OrtEngine
from rgp.environment import environment
from rgp.errors import DataError, RgpError
from rgp.images import decode
from rgp.measure import Comparison, compare
from rgp.models import official
from rgp.models.registry import restore

Progress = Callable[[str], None]
MAX_IMAGES = 512


def compile_checkpoint(
    path: Path,
    out: Path,
    *,
    threads: int,
    batches: Sequence[int] = (1, 8),
    images: Path | None = None,
    pairs: int = 200,
    seconds: float = 10.0,
    progress: Progress = lambda step: None,
) -> Bundle:
    """Compile the checkpoint at ``path`` for ONNX Runtime on CPU and write the bundle to ``out``.

    ``images``: a folder of real images to verify with, beside random ones. ``pairs`` and ``seconds`` bound
    the measurement at each of ``batches``. Raises RgpError and leaves no bundle if anything fails, above all
    if the compiled network is not equal to the masked one.
    """
    refuse_used(out)
    progress("reading the checkpoint")
    checkpoint = official.load(path)
    model, preprocess = restore(checkpoint), checkpoint.preprocess
    real = _read_images(images, checkpoint) if images else []
    price = cost(model, (preprocess.channels, preprocess.size, preprocess.size))

    progress("exporting to ONNX")
    working = export(model, preprocess)
    dense_onnx = serialize(working)

    convs = [conv for conv in find(working) if conv.groups == 1]
    spaces = find_spaces(working)
    plan = make_plan(convs, spaces, Tuner(threads), lambda name: progress(f"measuring lowerings: {name}"))
    compiled_onnx = dense_onnx
    if not plan.lowers_nothing:
        rewrite(working, convs, plan.choices, spaces, plan.layout)
        compiled_onnx = serialize(working)

    progress("verifying")
    dense_equivalence = verify(model, preprocess, OrtEngine(dense_onnx, threads=threads), real)
    compiled = OrtEngine(compiled_onnx, threads=threads)
    equivalence = dense_equivalence if plan.lowers_nothing else verify(model, preprocess, compiled, real)

    def measured(onnx: bytes) -> list[Comparison]:
        rng = np.random.default_rng(0)
        shape = (preprocess.size, preprocess.size, preprocess.channels)
        comparisons = []
        for batch in batches:
            progress(f"measuring dense against compiled at batch {batch}")
            dense, lowered = (partial(OrtEngine, each, threads=threads) for each in (dense_onnx, onnx))
            sample = rng.integers(0, 256, (batch, *shape), np.uint8)
            comparisons.append(compare(dense, lowered, sample, pairs=pairs, seconds=seconds))
        return comparisons

    latency = measured(compiled_onnx)
    slower = [each for each in latency if each.speedup <= 1]
    if slower and not plan.lowers_nothing:
        low, high = slower[0].speedup_ci95
        why = (
            f"dense: the whole network, when lowered, measured {slower[0].speedup:.2f}x dense "
            f"[{low:.2f}, {high:.2f}] at batch {slower[0].batch}"
        )
        plan, compiled_onnx = all_dense(plan, spaces, why), dense_onnx
        equivalence = dense_equivalence
        latency = measured(compiled_onnx)

    progress("writing the bundle")
    name = f"{checkpoint.architecture} {checkpoint.graph}"
    findings = Findings(
        name, environment(), compiled.describe(), price, equivalence, latency, plan, _verdict(plan, latency[0])
    )
    return Bundle.write(
        out,
        name=name,
        architecture=checkpoint.architecture,
        labels=checkpoint.labels,
        preprocess=preprocess,
        files={
            "dense.onnx": dense_onnx,
            "compiled.onnx": compiled_onnx,
            "report.json": findings.json(),
            "report.html": findings.html(),
        },
    )


def _verdict(plan: Plan, latency: Comparison) -> str:
    """One line that tells the truth."""
    if plan.lowers_nothing:
        masked = any(layer.conv.structure.density < 1 for layer in plan.layers)
        return "Runs dense: " + ("nothing measured faster" if masked else "its weights have no structure to use")
    low, high = latency.speedup_ci95
    where = f"at batch {latency.batch} [{low:.2f} to {high:.2f}]"
    if low <= 1:
        return f"No certain difference from dense: {latency.speedup:.2f}x {where}; measure again on a quieter machine"
    return f"{latency.speedup:.2f}x faster than dense {where}"


def _read_images(folder: Path, checkpoint: Checkpoint) -> list[NDArray[np.uint8]]:
    """The first MAX_IMAGES images below ``folder`` by name, preprocessed; what is no image is passed over."""
    found: list[NDArray[np.uint8]] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found.append(checkpoint.preprocess(decode(file.read_bytes())))
        except RgpError:
            continue
        if len(found) == MAX_IMAGES:
            break
    if not found:
        raise DataError(f"{folder}: no JPEG, PNG or WebP image in this folder: give one that has some")
    return found
