"""A network becomes a bundle: plan, rewrite, convert, verify, measure, write. Any failure leaves nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir

from rgp import report_form
from rgp.bundle import Bundle, refuse_used
from rgp.compile.ahead import build_ahead, missing_kernel
from rgp.compile.at_once import MOST, fastest
from rgp.compile.bisect import Trace
from rgp.compile.choice import Choice
from rgp.compile.circle import circle_svg
from rgp.compile.convert import convert, refuse_unsupported
from rgp.compile.convs import Conv, find
from rgp.compile.fuse import fuse
from rgp.compile.images import read_images, samples
from rgp.compile.lowerings import LOWERINGS
from rgp.compile.macs import network_macs
from rgp.compile.onnx_bytes import serialize
from rgp.compile.plan import Plan, all_dense, given_plan, make_plan
from rgp.compile.plan_file import plan_json, read_plan
from rgp.compile.precision.int8 import LEAST_IMAGES
from rgp.compile.proof import Proof
from rgp.compile.report import Findings
from rgp.compile.rewrite import rewrite
from rgp.compile.source import Source
from rgp.compile.spaces import find_spaces
from rgp.compile.sparse_linear import as_convolutions
from rgp.compile.stages import Progress, Stages
from rgp.compile.threshold import drop_small
from rgp.compile.tune import BUDGETS, Tuner
from rgp.compile.tune_cache import TuneCache
from rgp.compile.verify import sample_batches
from rgp.engines import native
from rgp.engines.target import Target
from rgp.environment import cpu_name, environment
from rgp.errors import CompileError, UsageError, unknown
from rgp.measure import Comparison, compare

MAX_BATCH = 1024
HARDLY = 0.95
"""More of the multiply-accumulates than this: a few zeros by chance, as trained weights have them."""


@dataclass(frozen=True)
class Settings:
    """How to compile. ``pairs`` and ``seconds`` bound the measurement at each of ``batches``.

    Weights up to ``threshold`` count as zero. ``without``: lowerings that are not to be used. ``plan``: a plan.json
    whose choices are made again, without tuning. ``images``: a folder of real images, to verify with beside random
    ones, and to calibrate int8; ``samples`` of them go into the bundle, for the service's page to show. ``cache``:
    where single measurements are kept.
    """

    threads: int
    target: Target = field(default_factory=Target)
    batches: Sequence[int] = (1, 8)
    tune: str = "quick"
    threshold: float = 0.0
    without: Collection[str] = ()
    plan: Path | None = None
    images: Path | None = None
    samples: int = 0
    min_agreement: float | None = None
    pairs: int = 200
    seconds: float = 8.0
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.tune not in BUDGETS:
            raise UsageError(unknown("choice for --tune", self.tune, BUDGETS))
        for name in self.without:
            if name not in LOWERINGS or name == "dense":
                raise UsageError(
                    unknown("lowering for --without", name, [each for each in LOWERINGS if each != "dense"])
                )
        if self.samples and self.images is None:
            raise UsageError(f"--samples {self.samples} are taken from --images: give a folder")
        if not self.batches or not all(1 <= batch <= MAX_BATCH for batch in self.batches):
            raise UsageError(f"batches are {list(self.batches)}: give sizes from 1 to {MAX_BATCH}")


def compile_source(
    source: Source, out: Path, settings: Settings, *, baseline: Source | None = None, stages: Stages | None = None
) -> Bundle:
    """Compile ``source`` and write the bundle to ``out``.

    ``baseline``: the dense network to be compared with, if it is not ``source`` with its zeros multiplied out.
    Raises RgpError and leaves no bundle if anything fails, above all if the compiled network is not equal.
    """
    refuse_used(out)
    stages = stages or Stages()
    target, dense = settings.target, baseline or source
    if (dense.labels, dense.preprocess, dense.shape) != (source.labels, source.preprocess, source.shape):
        raise UsageError(
            f"the dense baseline {dense.name} takes other images or has other labels than {source.name}: "
            "give the dense network of the same task"
        )
    refuse_unsupported(target)
    if target.precision == "int8" and settings.images is None:
        raise UsageError("--precision int8 is calibrated on real images: give a folder of them with --images")
    absent = target.absent()
    images = read_images(settings.images, source.preprocess) if settings.images is not None else []
    shown = samples(settings.images, settings.samples) if settings.images is not None else {}

    with stages("planning"):
        working, plan, traces = _planned(source, settings, stages.progress)

    if target.precision == "int8" and len(images) < 2 * LEAST_IMAGES:
        raise UsageError(
            f"{settings.images}: {len(images)} images: int8 needs at least {2 * LEAST_IMAGES}, half of them to be "
            "calibrated on and half to be judged by"
        )
    # int8 is judged on images that it was not calibrated on
    calibration, judged = (images[::2], images[1::2]) if target.precision == "int8" else ([], images)
    numbers = partial(convert, target=target, calibration=calibration)
    with stages(f"converting to {target.precision}"):
        dense_fp32, compiled_fp32 = serialize(dense.model), serialize(working)
        dense_onnx = numbers(dense_fp32)
        same = plan.lowers_nothing and dense is source
        compiled_onnx = dense_onnx if same else numbers(compiled_fp32)

    inputs = sample_batches(source.shape, source.dtype, judged, batch=source.batch)
    proof = Proof(inputs, target, settings.threads, settings.min_agreement)
    with stages("verifying"):
        equivalence = proof(dense, dense_fp32, dense_onnx)
        if not same:
            equivalence = proof(source, compiled_fp32, compiled_onnx, traces)

    built: dict[str, report_form.Built] = {}
    if absent is not None:
        with stages("building engines"):
            onnx = {"dense.onnx": dense_onnx, "compiled.onnx": compiled_onnx}
            built = build_ahead(onnx, target, tuple(settings.batches), stages.progress)
    networks = {"dense": dense_onnx, "compiled": compiled_onnx}
    at_once = _at_once(networks, source, settings, stages) if absent is None else {}
    latency = _measured(networks, at_once, source, settings, stages) if absent is None else []
    slower = [each for each in latency if each.speedup <= 1]
    if slower and not plan.lowers_nothing:
        low, high = slower[0].speedup_ci95
        why = (
            f"dense: the whole network, when lowered, measured {slower[0].speedup:.2f}x dense "
            f"[{low:.2f}, {high:.2f}] at batch {slower[0].batch}"
        )
        plan = all_dense(plan, why)
        source_fp32 = serialize(source.model)
        compiled_onnx = dense_onnx if dense is source else numbers(source_fp32)
        with stages("verifying"):
            equivalence = proof(source, source_fp32, compiled_onnx)
        networks["compiled"] = compiled_onnx
        at_once = _at_once(networks, source, settings, stages)
        latency = _measured(networks, at_once, source, settings, stages)

    where = {**environment(), **target.describe(settings.threads)}
    if native.used_by(compiled_onnx):
        where["kernels"] = native.describe(compiled_onnx)
    about = {"environment": where, "target": target.to_dict(), "tune": settings.tune}
    files = {"dense.onnx": dense_onnx, "compiled.onnx": compiled_onnx, "plan.json": plan_json(plan, about)}
    if (drawing := circle_svg([layer.conv for layer in plan.layers])) is not None:
        files["graph.svg"] = drawing
    cost = network_macs(source.model)
    findings = Findings(
        name=source.name,
        source=source.kind,
        environment=where,
        target=target,
        tune=settings.tune,
        cost=cost,
        equivalence=equivalence,
        latency=latency,
        built=built,
        plan=plan,
        verdict=_verdict(plan, latency[0], cost.macs / max(1, cost.dense_macs), target)
        if latency
        else f"Built for {where['engine']} {where['version']}, not measured: {absent}",
        sizes={name: len(data) for name, data in files.items()},
        stages=stages.seconds,
        model=source.model,
    )
    stages.progress("writing the bundle")
    return Bundle.write(
        out,
        name=source.name,
        architecture=source.architecture,
        labels=source.labels,
        preprocess=source.preprocess,
        target=target,
        at_once=at_once,
        files=files | shown | {"report.json": findings.json(), "report.html": findings.html()},
    )


def _planned(source: Source, settings: Settings, progress: Progress) -> tuple[ir.Model, Plan, tuple[Trace, ...]]:
    """The rewritten model, how it was, and what became of each layer. Linear layers that stay dense are left alone."""
    tuner = _tuner(settings) if settings.plan is None else None
    left: set[str] = set()
    while True:
        working = source.model.clone()
        drop_small(working, settings.threshold)
        linear = as_convolutions(working, keep=left)
        convs = [conv for conv in find(working) if conv.groups == 1]
        output_of = {conv.name: output for output, node in linear.items() for conv in convs if conv.node is node}
        spaces = find_spaces(working)
        if tuner is not None:
            plan = make_plan(convs, spaces, tuner, lambda name: progress(f"planning: {name}"))
        else:
            assert settings.plan is not None
            choices = read_plan(settings.plan, convs, optional=output_of)
            for conv in convs:
                if (reason := missing_kernel(settings.target, conv, choices[conv.name])) is not None:
                    raise CompileError(
                        f"{settings.plan}: layer '{conv.name}' cannot run as {choices[conv.name]} here: {reason}: "
                        "compile without --plan"
                    )
            plan = given_plan(convs, spaces, choices, f"as {settings.plan} says")
        dense = {output for name, output in output_of.items() if plan.choices[name].lowering == "dense"}
        if not dense:
            break
        left |= dense
    if plan.lowers_nothing:
        return working, plan, ()
    traces = list(rewrite(working, convs, plan.choices, spaces, plan.layout))
    traces = list(fuse(working, traces))
    for number, trace in enumerate(traces):  # a linear layer is compared by its own output
        if (output := output_of.get(trace.layer)) is not None:
            traces[number] = replace(trace, dense_value=output, compiled_value=output)
    return working, plan, tuple(traces)


def _tuner(settings: Settings) -> Tuner:
    """Single layers are measured in the network's numbers on ONNX Runtime's CPU, elsewhere in fp32."""
    on_cpu = replace(settings.target, precision="fp32") == Target()
    precision = settings.target.precision if on_cpu else "fp32"
    target = replace(settings.target, precision=precision)
    identity: dict[str, Any] = {**target.describe(settings.threads), "cpu": cpu_name(), "kernels": native.identity()}
    if precision != "fp32":
        identity["precision"] = precision
    start = partial(target.start, threads=settings.threads, batches=(1,), kept=False)
    budget = BUDGETS[settings.tune] if target.absent() is None else None

    def refusal(conv: Conv, choice: Choice) -> str | None:
        if choice.lowering in settings.without:
            return f"excluded by --without {choice.lowering}"
        return missing_kernel(settings.target, conv, choice)

    return Tuner(start, identity, budget, TuneCache(settings.cache), refusal, precision=precision)


def _at_once(networks: dict[str, bytes], source: Source, settings: Settings, stages: Stages) -> dict[str, int]:
    """How many inputs of a batch each network had better run together, where that is not all of them."""
    most = max(settings.batches)
    if source.batch is not None or most == 1 or settings.target.device != "cpu":
        return {}
    inputs = sample_batches(source.shape, source.dtype, [], batch=min(most, MOST)).random[0]
    found: dict[str, int | None] = {}
    with stages("measuring how many images to run together"):
        for name, onnx in networks.items():
            if name == "compiled" and onnx == networks["dense"]:
                found[name] = found["dense"]
                break
            engine = settings.target.start(onnx, threads=settings.threads)
            found[name] = fastest(engine, inputs, seconds=settings.seconds / 4)
    return {name: size for name, size in found.items() if size is not None}


def _measured(
    networks: dict[str, bytes], at_once: dict[str, int], source: Source, settings: Settings, stages: Stages
) -> list[Comparison]:
    comparisons = []
    for batch in [source.batch] if source.batch else settings.batches:
        with stages(f"measuring dense against compiled at batch {batch}"):
            sample = sample_batches(source.shape, source.dtype, [], batch=batch).random[0]
            start = partial(settings.target.start, threads=settings.threads, batches=settings.batches)
            first, second = (
                partial(start, networks[name], at_once=at_once.get(name)) for name in ("dense", "compiled")
            )
            comparisons.append(compare(first, second, sample, pairs=settings.pairs, seconds=settings.seconds))
    return comparisons


def _verdict(plan: Plan, latency: Comparison, kept: float, target: Target) -> str:
    """One line that tells the truth; ``kept``: the share of the dense multiply-accumulates that count."""
    dense = "dense float32" if target == Target(precision="bf16") else "dense"  # which is all that there is
    if plan.lowers_nothing:
        masked = any(layer.conv.structure.density < 1 for layer in plan.layers)
        measured = any(timing.ms is not None for layer in plan.layers for timing in layer.timings)
        nothing = "nothing measured faster" if measured else "no form of its layers promises to be faster"
        if masked and kept > HARDLY:
            return (
                f"Runs dense: hardly any structure to use ({kept:.1%} of its multiply-accumulates count), and {nothing}"
            )
        return "Runs dense: " + (nothing if masked else "its weights have no structure to use")
    low, high = latency.speedup_ci95
    where = f"at batch {latency.batch} [{low:.2f} to {high:.2f}]"
    if low <= 1:
        return f"No certain difference from {dense}: {latency.speedup:.2f}x {where}; measure again on a quieter machine"
    return f"{latency.speedup:.2f}x faster than {dense} {where}"
