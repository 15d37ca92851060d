"""The figures of ``GET /metrics``: read off a service where everything was counted once, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

from docs.reference.markdown import code, prose
from rgp.serve.answers import Agreement, Baseline, Lane, MeasuredOn, Model, Timing
from rgp.serve.keys import Keys
from rgp.serve.metrics import Metrics
from rgp.serve.models import Models
from rgp.serve.service import Service
from rgp.serve.settings import Settings

LIVE = Baseline(
    source="live",
    batch=1,
    dense_ms_p50=1,
    compiled_ms_p50=1,
    speedup=1,
    speedup_ci95=(1, 1),
    pairs=1,
    age_s=1,
    method="",
    environment=MeasuredOn(cpu="", threads=1, time=""),
)


def service() -> Service:
    """Of a network of a thousand classes that is not there; its baseline lane has measured."""
    network = SimpleNamespace(
        bundle=SimpleNamespace(labels=tuple(map(str, range(1000)))),
        model=Model(name="", architecture="", sha256=""),
        plan=SimpleNamespace(lanes=1, max_batch=1),
        queue=SimpleNamespace(depth=0),
        lane=SimpleNamespace(
            live=lambda: LIVE,
            state=lambda: Lane(on=True, pairs=1, budget=1, dropped={"busy": 1}),
            agreement=lambda: Agreement(agree=1, n=1, share=1, ci95=(1, 1)),
        ),
    )
    models = SimpleNamespace(active=network, problem=None)
    return Service(cast("Models", models), Settings(), Metrics(), Keys())


def figures() -> Iterator[list[str]]:
    """Each figure in a row: name, kind, labels, text."""
    metrics = service().metrics
    metrics.request("/classify", 200, 1)
    metrics.refused("queue")
    metrics.image(Timing(queue=1, decode=1, preprocess=1, inference=1, total=4))
    metrics.batch(1)
    for family in metrics.registry.collect():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield [code(name), family.type, ", ".join(map(code, sorted(labels))), prose(family.documentation)]
