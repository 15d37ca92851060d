"""The shapes of what the service says. ``/openapi.json`` is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
FromOne = Annotated[int, Field(ge=1)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Prediction(_Shape):
    """One class and how probable it is."""

    label: str
    index: Annotated[int, Field(ge=0, description="The class's place in the network's output.")]
    probability: Annotated[float, Field(ge=0, le=1, description="Softmax of the logits, in float64.")]


class Timing(_Shape):
    """Where the milliseconds went for this image, from its last byte to its ranked classes."""

    queue: Annotated[Milliseconds, Field(description="Waiting for a thread that decodes and for the engine.")]
    decode: Milliseconds
    preprocess: Milliseconds
    inference: Annotated[Milliseconds, Field(description="Of the batch that the image was in.")]
    total: Annotated[Milliseconds, Field(description="The four above, the softmax and the ranking.")]


class Classification(_Shape):
    """What the network says about one image."""

    predictions: Annotated[
        list[Prediction], Field(description="The top_k classes, most probable first; equal ones by index.")
    ]
    timing_ms: Timing


class Model(_Shape):
    """Which network answered."""

    name: str
    architecture: str
    sha256: Annotated[str, Field(description="Of compiled.onnx in the bundle.")]


class MeasuredOn(_Shape):
    """The machine that a figure was measured on."""

    cpu: str
    threads: FromOne
    time: Annotated[str, Field(description="ISO 8601, UTC.")]


class Baseline(_Shape):
    """The dense and the compiled engine, measured interleaved: live, or when the bundle was made."""

    source: Annotated[
        Literal["live", "bundle"],
        Field(
            description="live: here, on images that were just served. bundle: when it was compiled, see environment."
        ),
    ]
    batch: FromOne
    dense_ms_p50: Milliseconds
    compiled_ms_p50: Milliseconds
    speedup: Annotated[Ratio, Field(description="Median of the per-pair ratios dense / compiled.")]
    speedup_ci95: Annotated[tuple[Ratio, Ratio], Field(description="Bootstrap 95% interval of the median.")]
    pairs: FromOne
    age_s: Annotated[float | None, Field(description="Since the newest live pair; null for the bundle's figures.")]
    method: str
    environment: MeasuredOn


class Answer(Classification):
    """The answer to ``POST /classify``."""

    request_id: str
    model: Model
    baseline: Annotated[Baseline | None, Field(description="null where nothing was measured.")]


class Failure(_Shape):
    """An image of a batch that could not be classified."""

    error: str


class Total(_Shape):
    """The whole request, from its last byte."""

    total: Milliseconds


class BatchAnswer(_Shape):
    """The answer to ``POST /classify/batch``: a result or an error for each image, in their order."""

    results: list[Classification | Failure]
    timing_ms: Total
    request_id: str
    model: Model
    baseline: Baseline | None


class LoadedModel(Model):
    """A network in memory."""

    active: Annotated[bool, Field(description="It answers; the other one is kept for a rollback.")]
    loaded: Annotated[str, Field(description="ISO 8601, UTC.")]


class Loaded(_Shape):
    """The answer to ``GET /models`` and to a reload."""

    models: list[LoadedModel]


class Measurement(_Shape):
    """One way to share the cores among callers, tried at start."""

    threads: FromOne
    lanes: FromOne
    batch: FromOne
    images_per_second: float
    latency_ms_p50: Annotated[Milliseconds, Field(description="Of a batch alone on the machine.")]
    same_bits: Annotated[bool, Field(description="Whether a batch answers as its images do alone, bit for bit.")]


class ThreadPlan(_Shape):
    """How the engine is run: ``lanes`` callers at once, ``threads`` threads each, at most ``max_batch`` images."""

    threads: FromOne
    lanes: FromOne
    max_batch: FromOne
    gather_ms: Annotated[Milliseconds, Field(description="How long a batch waits for company; 0: not at all.")]
    chosen: Annotated[str, Field(description="By whom, and why.")]
    measured: list[Measurement]


class Limits(_Shape):
    """What a request may be."""

    max_body_bytes: FromOne
    max_pixels: FromOne
    max_images: FromOne
    max_waiting: Annotated[int, Field(description="Images admitted at once; more are refused with 429.")]
    timeout_ms: Milliseconds
    formats: list[str]


class Info(Model):
    """The answer to ``GET /info``."""

    version: str
    classes: FromOne
    labels: list[str]
    preprocess: dict[str, Any]
    target: str
    engine: dict[str, str | int]
    plan: ThreadPlan
    limits: Limits
    authentication: bool
    cost: dict[str, Any]
    has_graph: Annotated[bool, Field(description="Whether GET /graph.svg has a drawing.")]
    samples: Annotated[list[str], Field(description="Images to try: GET /samples/NAME.")]


class Agreement(_Shape):
    """How often the dense and the compiled engine name the same class, on live images."""

    agree: Count
    n: FromOne
    share: Share
    ci95: Annotated[tuple[Share, Share], Field(description="Wilson score interval.")]


class SelfTest(_Shape):
    """Whether measuring in pairs changes what is measured: the ratio alone, and interleaved, at start."""

    alone: Ratio
    interleaved: Ratio
    agrees: bool


class Lane(_Shape):
    """The baseline lane: what it measured and what it let go."""

    on: bool
    pairs: Count
    budget: Annotated[Share, Field(description="Share of all cores' time that it may use.")]
    dropped: Annotated[
        dict[str, int],
        Field(description="busy: a request came; budget: too soon; failed: an engine did; stale: waited too long."),
    ]


class Pair(_Shape):
    """One image, both engines, back to back."""

    dense_ms: Milliseconds
    compiled_ms: Milliseconds


class EndToEnd(_Shape):
    """What the faster network makes of whole requests, decoding included."""

    speedup: Ratio
    overhead_ms_p50: Annotated[Milliseconds, Field(description="Total less inference, of live requests.")]
    method: str


class Percentiles(_Shape):
    """Of the last requests."""

    p50: Milliseconds
    p90: Milliseconds
    p99: Milliseconds
    n: FromOne


class Latency(_Shape):
    """The answer to ``GET /latency``."""

    live: Baseline | None
    bundle: list[Baseline]
    end_to_end: EndToEnd | None
    agreement: Agreement | None
    self_test: SelfTest | None
    lane: Lane
    recent: Annotated[list[Pair], Field(description="The pairs behind `live`, oldest first.")]
    stages_ms: dict[str, Percentiles]


class Status(_Shape):
    """A probe that succeeded."""

    status: Literal["ok"]


class Error(_Shape):
    """Every answer that is not 200."""

    error: Annotated[str, Field(description="One line: what is wrong, the value, and what to do.")]
    request_id: str | None = None
