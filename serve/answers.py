"""The shapes of what the service says. ``/openapi.json`` is made from these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Prediction(_Shape):
    """One class and how probable it is."""

    label: str
    index: Annotated[int, Field(ge=0, description="The class's place in the network's output.")]
    probability: Annotated[float, Field(ge=0, le=1, description="Softmax of the logits, in float64.")]


class Timing(_Shape):
    """Where the milliseconds went for this image; reading the request and waiting for a worker are not in it."""

    decode: Milliseconds
    preprocess: Milliseconds
    inference: Milliseconds
    total: Annotated[Milliseconds, Field(description="The three above, the softmax and the ranking.")]


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
    threads: Count
    time: Annotated[str, Field(description="ISO 8601, UTC.")]


class Baseline(_Shape):
    """The dense and the compiled engine, measured interleaved when the bundle was made."""

    batch: Count
    dense_ms_p50: Milliseconds
    compiled_ms_p50: Milliseconds
    speedup: Annotated[Ratio, Field(description="Median of the per-pair ratios dense / compiled.")]
    speedup_ci95: Annotated[tuple[Ratio, Ratio], Field(description="Bootstrap 95% interval of the median.")]
    pairs: Count
    source: Literal["bundle"]
    environment: MeasuredOn


class Answer(Classification):
    """The answer to ``POST /classify``."""

    model: Model
    baseline: Annotated[Baseline | None, Field(description="null if the bundle holds no figure for batch 1.")]


class Status(_Shape):
    """A probe that succeeded."""

    status: Literal["ok"]


class Error(_Shape):
    """Every answer that is not 200."""

    error: Annotated[str, Field(description="One line: what is wrong, the value, and what to do.")]
