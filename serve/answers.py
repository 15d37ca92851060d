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

    label: str = Field(description="The class's name.")
    index: Count = Field(description="The class's place in the network's output.")
    probability: Share = Field(description="Softmax of the logits, in float64.")


class Timing(_Shape):
    """Where the milliseconds went for this image, from its last byte to its ranked classes."""

    queue: Milliseconds = Field(description="Waiting for a thread that decodes and for the engine.")
    decode: Milliseconds = Field(description="From the file's bytes to pixels.")
    preprocess: Milliseconds = Field(description="Resizing and cropping to the network's input.")
    inference: Milliseconds = Field(description="Of the batch that the image was in.")
    total: Milliseconds = Field(description="The four above, the softmax and the ranking.")


class Classification(_Shape):
    """What the network says about one image."""

    predictions: list[Prediction] = Field(description="The top_k classes, most probable first; equal ones by index.")
    timing_ms: Timing = Field(description="Where the image's time went.")


class Model(_Shape):
    """Which network answered."""

    name: str = Field(description="As the bundle names it: architecture and graph, or the ONNX file's name.")
    architecture: str = Field(description="The builder in rgp.models, or the name inside the ONNX file.")
    sha256: str = Field(description="Of compiled.onnx in the bundle.")


class MeasuredOn(_Shape):
    """The machine that a figure was measured on."""

    cpu: str = Field(description="The processor's own name.")
    threads: FromOne = Field(description="Of each of the two engines.")
    time: str = Field(description="ISO 8601, UTC.")


class Baseline(_Shape):
    """The dense and the compiled engine, measured interleaved: live, or when the bundle was made."""

    source: Literal["live", "bundle"] = Field(
        description="live: here, on images that were just served. bundle: when it was compiled, see environment."
    )
    batch: FromOne = Field(description="Images in one inference of either engine.")
    dense_ms_p50: Milliseconds = Field(description="The dense engine's median time of an inference.")
    compiled_ms_p50: Milliseconds = Field(description="The compiled engine's median time of an inference.")
    speedup: Ratio = Field(description="Median of the per-pair ratios dense / compiled.")
    speedup_ci95: tuple[Ratio, Ratio] = Field(description="Bootstrap 95% interval of the median.")
    pairs: FromOne = Field(description="How many pairs the figures are of.")
    age_s: float | None = Field(description="Since the newest live pair; null for the bundle's figures.")
    method: str = Field(description="How it was measured, in one line.")
    environment: MeasuredOn = Field(description="Where it was measured, and when.")


class Answer(Classification):
    """The answer to ``POST /classify``."""

    request_id: str = Field(description="As the header x-request-id and the log have it.")
    model: Model = Field(description="The network that answered.")
    baseline: Baseline | None = Field(
        description="The dense network beside the compiled one, at batch 1; null where nothing was measured."
    )


class Failure(_Shape):
    """An image of a batch that could not be classified."""

    error: str = Field(description="One line: what is wrong with the image.")


class Total(_Shape):
    """The whole request, from its last byte."""

    total: Milliseconds = Field(description="Until all images were ranked.")


class BatchAnswer(_Shape):
    """The answer to ``POST /classify/batch``: a result or an error for each image, in their order."""

    results: list[Classification | Failure] = Field(description="One for each image, in the order of the request.")
    timing_ms: Total = Field(description="The request's time; each result has its image's own.")
    request_id: str = Field(description="As the header x-request-id and the log have it.")
    model: Model = Field(description="The network that answered.")
    baseline: Baseline | None = Field(
        description="The dense network beside the compiled one, at batch 1; null where nothing was measured."
    )


class LoadedModel(Model):
    """A network in memory."""

    active: bool = Field(description="It answers; the other one is kept for a rollback.")
    loaded: str = Field(description="When. ISO 8601, UTC.")


class Loaded(_Shape):
    """The answer to ``GET /models`` and to a reload."""

    models: list[LoadedModel] = Field(description="The network that answers, then the one before it, if any.")


class Measurement(_Shape):
    """One way to share the cores among callers, tried at start."""

    threads: FromOne = Field(description="Of one inference.")
    lanes: FromOne = Field(description="Inferences at once.")
    batch: FromOne = Field(description="Images in one inference.")
    images_per_second: float = Field(description="With all lanes at work.")
    latency_ms_p50: Milliseconds = Field(description="Of a batch alone on the machine.")
    same_bits: bool = Field(description="Whether a batch answers as its images do alone, bit for bit.")


class ThreadPlan(_Shape):
    """How the engine is run: ``lanes`` callers at once, ``threads`` threads each, at most ``max_batch`` images."""

    threads: FromOne = Field(description="Of one inference.")
    lanes: FromOne = Field(description="Inferences at once.")
    max_batch: FromOne = Field(description="Most images in one inference, of those that wait.")
    gather_ms: Milliseconds = Field(description="How long a batch waits for company; 0: not at all.")
    chosen: str = Field(description="By whom, and why.")
    measured: list[Measurement] = Field(description="What was tried; empty where options decide, or on a GPU.")


class Limits(_Shape):
    """What a request may be."""

    max_body_bytes: FromOne = Field(description="Of one image; a request of several may have up to four times as many.")
    max_pixels: FromOne = Field(description="Width times height of one image.")
    max_images: FromOne = Field(description="In one request of several.")
    max_waiting: int = Field(description="Images admitted at once; more are refused with 429.")
    timeout_ms: Milliseconds = Field(description="The deadline of a request that names none.")
    formats: list[str] = Field(description="Of image files, as Pillow names them.")


class Info(Model):
    """The answer to ``GET /info``."""

    version: str = Field(description="Of rgp.")
    classes: FromOne = Field(description="How many the network tells apart.")
    labels: list[str] = Field(description="Their names, in the order of the network's output.")
    preprocess: dict[str, Any] = Field(
        description="From an image to the network's input: channels, size, resize, mean, std, as in the bundle."
    )
    target: str = Field(description="What the bundle was compiled for, in words: engine, device, precision.")
    engine: dict[str, str | int] = Field(description="What runs: engine, version, device, threads; kernels, if ours.")
    plan: ThreadPlan = Field(description="How the cores are shared among callers.")
    limits: Limits = Field(description="What more than that is refused.")
    authentication: bool = Field(description="Whether requests need an API key.")
    cost: dict[str, Any] = Field(description="Multiply-accumulates and parameters, as in the bundle's report.json.")
    has_graph: bool = Field(description="Whether GET /graph.svg has a drawing.")
    samples: list[str] = Field(description="Images to try: GET /samples/NAME.")


class Agreement(_Shape):
    """How often the dense and the compiled engine name the same class, on live images."""

    agree: Count = Field(description="Images that both name alike.")
    n: FromOne = Field(description="Images that both have named.")
    share: Share = Field(description="agree / n.")
    ci95: tuple[Share, Share] = Field(description="Wilson score interval of the share.")


class SelfTest(_Shape):
    """Whether measuring in pairs changes what is measured: the ratio alone, and interleaved, at start."""

    alone: Ratio = Field(description="Median time dense / compiled, each engine run by itself.")
    interleaved: Ratio = Field(description="Median of the ratios dense / compiled, in pairs.")
    agrees: bool = Field(description="Whether the two are the same within their noise: else do not trust live figures.")


class Lane(_Shape):
    """The baseline lane: what it measured and what it let go."""

    on: bool = Field(description="Whether the dense network is measured beside the compiled one.")
    pairs: Count = Field(description="Measured since the network was loaded.")
    budget: Share = Field(description="Share of all cores' time that it may use.")
    dropped: dict[str, int] = Field(
        description="busy: a request came; budget: too soon; failed: an engine did; stale: waited too long."
    )


class Pair(_Shape):
    """One image, both engines, back to back."""

    dense_ms: Milliseconds = Field(description="The dense engine's time.")
    compiled_ms: Milliseconds = Field(description="The compiled engine's time.")


class EndToEnd(_Shape):
    """What the faster network makes of whole requests, decoding included."""

    speedup: Ratio = Field(description="How many times faster requests are than with the dense network.")
    overhead_ms_p50: Milliseconds = Field(description="Total less inference, of live requests.")
    method: str = Field(description="How it was reckoned, in one line.")


class Percentiles(_Shape):
    """Of the last requests."""

    p50: Milliseconds = Field(description="The median.")
    p90: Milliseconds = Field(description="9 of 10 took no longer.")
    p99: Milliseconds = Field(description="99 of 100 took no longer.")
    n: FromOne = Field(description="How many these are.")


class Latency(_Shape):
    """The answer to ``GET /latency``."""

    live: Baseline | None = Field(description="Measured here, on images that were served; null while there are few.")
    bundle: list[Baseline] = Field(description="As the bundle's report.json has them, one for each batch size.")
    end_to_end: EndToEnd | None = Field(description="What it means for whole requests; null without live figures.")
    agreement: Agreement | None = Field(description="Of both engines on live images; null before the first.")
    self_test: SelfTest | None = Field(description="Of the baseline lane; null where it is off.")
    lane: Lane = Field(description="What measuring costs, and what was let go.")
    recent: list[Pair] = Field(description="The pairs behind `live`, oldest first.")
    stages_ms: dict[str, Percentiles] = Field(
        description="Of the last images, by stage: queue, decode, preprocess, inference, total; empty before the first."
    )


class Status(_Shape):
    """A probe that succeeded."""

    status: Literal["ok"] = Field(description="Always so: a probe that fails answers with another status.")


class Error(_Shape):
    """Every answer that is not 200."""

    error: str = Field(description="One line: what is wrong, the value, and what to do.")
    request_id: str | None = Field(None, description="As the header x-request-id and the log have it.")
