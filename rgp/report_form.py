"""The form of a bundle's ``report.json`` and ``plan.json``: every field with its type and its text.

What writes them returns these types, so that a field which is missing here does not pass the type checker; the
reference is made from the texts. MACs are multiply-accumulates for one image.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from rgp.environment import Environment


class EngineEnvironment(Environment):
    """Where a compilation ran, and on what engine."""

    engine: str
    """ort, trt or trt-rtx."""
    version: str
    """The engine's."""
    device: str
    """cpu, cuda or the GPU; where an engine was only built, why none can run."""
    threads: int
    """Of one inference, on the CPU."""
    kernels: NotRequired[str]
    """What runs rgp's own operators, where there are any: an instruction set, or stock operators and why."""


class Cost(TypedDict):
    """What the network takes, dense and compiled."""

    dense_macs: int
    """MACs with the zeros multiplied out."""
    macs: int
    """MACs of the channel pairs that are connected."""
    compiled_macs: int
    """MACs that the compiled network runs: zeros too, where a layer stayed dense."""
    dense_parameters: int
    """Weights and biases, zeros too."""
    parameters: int
    """Weights of the channel pairs that are connected, and biases."""


class Equivalence(TypedDict):
    """How far the compiled network's outputs are from the original's; of several outputs, the worst."""

    max_abs_diff: float
    """The largest difference."""
    max_abs_logit: float
    """The original's largest magnitude."""
    top1_agreement: float | None
    """Share of the judged inputs with the same class; null unless the only output is (batch, classes)."""
    ties: int
    """Judged inputs whose class differs, but the original holds the two very nearly equal."""
    judged: int
    """Inputs that the agreement is of: all in fp32; else the real images, if there are any."""
    inputs: int
    """How many were compared."""
    real_images: int
    """How many of them are images, from ``--images``; the others are seeded noise."""
    batches: list[int]
    """The batch sizes that were compared."""
    precision: str
    """fp32, fp16, bf16 or int8: what the compiled network computes in."""
    min_agreement: float
    """The least agreement that was asked for, ties aside."""
    tolerance: float | None
    """The largest difference that was allowed, as a share of max_abs_logit; null: any."""


class Latency(TypedDict):
    """Dense against compiled at one batch size: pairs of inferences, back to back, in random order."""

    batch: int
    """Images, or inputs, in one inference."""
    dense_ms_p50: float
    """Median of the dense engine's times, in ms."""
    compiled_ms_p50: float
    """Median of the compiled engine's times, in ms."""
    dense_ms_p90: float
    """9 of 10 of the dense engine's times were no longer, in ms."""
    compiled_ms_p90: float
    """9 of 10 of the compiled engine's times were no longer, in ms."""
    speedup: float
    """Median of the pairs' ratios dense / compiled."""
    speedup_ci95: list[float]
    """Bootstrap 95% interval of that median, over builds, then pairs: low, high."""
    pairs: int
    """How many were measured."""
    builds: int
    """How often both engines were built anew for them."""


class Built(TypedDict):
    """What TensorRT made of one ONNX file that was built here to run elsewhere."""

    engine_bytes: int
    """Size of the engine."""
    stored: bool
    """Whether it was in the store already; then what follows is absent."""
    layers: NotRequired[int]
    """Layers of the network as the library read it."""
    convolutions: NotRequired[int]
    """Convolutions among them."""
    grouped: NotRequired[int]
    """Convolutions with more than one group."""
    types: NotRequired[list[str]]
    """Types that convolutions and matrix products compute in, as the library names them."""
    quantised: NotRequired[bool]
    """Whether it has quantised tensors."""


class Candidate(TypedDict):
    """One way to run a layer that was tried, alone or as it stands in the network."""

    lowering: str
    """grouped, sliced, matmul or native."""
    parts: int
    """Parts that the channels are split into."""
    terms: int
    """Convolutions whose results are added."""
    macs_share: float
    """Share of the layer's dense MACs that it computes."""
    estimated_speedup: float
    """Expected before anything was measured."""
    shuffles: int
    """Reorderings of channels around it."""
    dense_ms: float | None
    """Median time of the dense layer beside it, in ms; null: not measured."""
    ms: float | None
    """Its own median time, shuffles included, in ms; null: not measured."""
    speedup: float
    """Median of the ratios dense / lowered; the estimate where nothing was measured."""
    speedup_ci95: list[float] | None
    """Bootstrap 95% interval of that median: low, high; null: not measured."""


class Layer(TypedDict):
    """A convolution, or a linear layer that runs as one."""

    name: str
    """That of its weight, without ``.weight``."""
    in_channels: int
    """Channels of its input."""
    out_channels: int
    """Channels of its output."""
    kernel: list[int]
    """Height, width."""
    stride: list[int]
    """Down, across."""
    image: list[int | None]
    """Height and width of its input; null where the network leaves them free."""
    nodes: int
    """Classes of channels that read, or are read, alike: of outputs or inputs, whichever are more."""
    density: float
    """Share of the (output, input) channel pairs that are connected."""
    regular: bool
    """Whether all classes of outputs read equally many classes of inputs."""
    structure: str
    """The same in words."""
    lowering: str
    """How it runs: dense, grouped, sliced, matmul or native."""
    terms: int
    """Convolutions that it became, whose results are added."""
    parts: int
    """Parts that the channels of the first of them are split into."""
    macs_share: float
    """Share of its dense MACs that it computes as it runs."""
    dense_macs: int
    """MACs with the zeros multiplied out."""
    shuffles: int
    """Reorderings of channels that are left around it."""
    dense_ms: float | None
    """Median time of the dense layer, measured by itself, in ms; null: not measured."""
    chosen_ms: float | None
    """Median time of what was chosen, shuffles included, in ms; null: not measured."""
    candidates: list[Candidate]
    """What was tried."""
    refusals: list[str]
    """Why other lowerings do not apply, or were not to be used."""
    why: str
    """Why it runs so."""
    shuffled: NotRequired[list[str]]
    """In report.json: on which sides the shuffles stand, of which term where there are several."""
    fingerprint: NotRequired[str]
    """In plan.json: a hash of its shape and of where its zeros are; a plan holds for the same ones only."""


class Report(TypedDict):
    """``report.json``: what was found, measured and proved."""

    name: str
    """What the network is called: architecture and graph, or the ONNX file's name."""
    verdict: str
    """What came of it, in one line."""
    source: Literal["checkpoint", "onnx"]
    """What was compiled."""
    precision: str
    """fp32, fp16, bf16 or int8: of both networks, but for bf16 on CPUs, where the dense one stays float32."""
    engine: str
    """ort, trt or trt-rtx."""
    tune: str
    """How much was measured to choose: off, quick or full."""
    environment: EngineEnvironment
    """Where it was measured, on what engine, and when."""
    cost: Cost
    """What the network takes, dense and compiled."""
    equivalence: Equivalence
    """The proof that the compiled network is equal to the original, or as close as the precision allows."""
    latency: list[Latency]
    """Dense against compiled, one for each batch size; empty where the engine could only be built."""
    built: dict[str, Built]
    """By ONNX file, the engines that were built here to run elsewhere."""
    sizes: dict[str, int]
    """Bytes of the bundle's files, by name."""
    stages: dict[str, float]
    """Seconds that the compilation spent on each stage, in order."""
    layers: list[Layer]
    """The convolutions that could have been lowered, in running order."""


class PlanFile(TypedDict):
    """``plan.json``: how each layer runs, to make the same choices again."""

    format: str
    """rgp-plan/1; a reader refuses any other."""
    environment: EngineEnvironment
    """Where it was measured, on what engine, and when."""
    target: dict[str, str]
    """What it was compiled for: engine, device, precision."""
    tune: str
    """How much was measured to choose: off, quick or full."""
    layers: list[Layer]
    """The convolutions that could have been lowered, in running order; with a fingerprint each."""
