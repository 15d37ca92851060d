"""report.json for programs, report.html for people: the same figures, with where they were measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, cast

import jinja2
import onnx_ir as ir

from rgp import report_form
from rgp.compile.choice import shares
from rgp.compile.drawing import COLOURS, network_svg, read_blocks
from rgp.compile.layout import Wiring
from rgp.compile.macs import NetworkMacs
from rgp.compile.plan import Plan
from rgp.compile.plots import Term, latency_svg, support_svg
from rgp.compile.verify import Equivalence
from rgp.engines.target import Target
from rgp.measure import Comparison


@dataclass(frozen=True)
class Findings:
    """All that a compilation found out.

    ``environment``: where it ran, on what engine; ``built``: engines that were
    built but cannot run here, by ONNX file (then there is no ``latency``); ``sizes``: bytes of the bundle's files, by
    name; ``stages``: seconds of each, in their order; ``model``: the network before any lowering.
    """

    name: str
    verdict: str
    source: Literal["checkpoint", "onnx"]
    target: Target
    tune: str
    environment: Mapping[str, Any]
    cost: NetworkMacs
    equivalence: Equivalence
    latency: Sequence[Comparison]
    built: Mapping[str, report_form.Built]
    plan: Plan
    sizes: Mapping[str, int]
    stages: Mapping[str, float]
    model: ir.Model

    def to_dict(self) -> report_form.Report:
        """The contents of ``report.json``."""
        layers = self._layers()
        left_out = sum(layer["dense_macs"] * (1 - layer["macs_share"]) for layer in layers)
        return {
            "name": self.name,
            "verdict": self.verdict,
            "source": self.source,
            "precision": self.target.precision,
            "engine": self.target.engine,
            "tune": self.tune,
            "environment": cast("report_form.EngineEnvironment", dict(self.environment)),
            "cost": {
                "dense_macs": self.cost.dense_macs,
                "macs": self.cost.macs,
                "compiled_macs": self.cost.dense_macs - round(left_out),  # zeros too, where a layer stayed dense
                "dense_parameters": self.cost.dense_parameters,
                "parameters": self.cost.parameters,
            },
            "equivalence": self.equivalence.to_dict(),
            "latency": [comparison.to_dict() for comparison in self.latency],
            "built": dict(self.built),
            "sizes": dict(self.sizes),
            "stages": dict(self.stages),
            "layers": layers,
        }

    def _layers(self) -> list[report_form.Layer]:
        """The plan's layers, each with ``shuffled``: on which sides of which of its terms its shuffles stand."""
        wirings = self.plan.layout.wirings
        return [
            {**layer.to_dict(), "shuffled": list(_shuffled(wirings[layer.conv.name]))} for layer in self.plan.layers
        ]

    def json(self) -> bytes:
        """``report.json``."""
        return (json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n").encode()

    def html(self) -> bytes:
        """``report.html``: one file that needs no network."""
        report = self.to_dict()
        return page(
            report,
            latency=latency_svg(self.latency) if self.latency else "",
            network=network_svg(read_blocks(self.model), report["layers"]),
            support=_largest_support(self.plan),
        )


def page(report: Mapping[str, Any], *, latency: str, network: str, support: str) -> bytes:
    """Fill in report.html with a ``report`` and three pictures, <svg> elements; ``support`` may be ""."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(resources.files("rgp.compile").joinpath("report.html").read_text())
    layers = report["layers"]
    timed = [layer for layer in layers if layer["dense_ms"] is not None]
    filled = template.render(
        report=report,
        colours=COLOURS,
        counts={name: sum(layer["lowering"] == name for layer in layers) for name in COLOURS},
        fallen=_fallen(layers),
        shuffles=sum(layer["shuffles"] for layer in layers),
        slowest=max((layer["dense_ms"] for layer in timed), default=1.0),
        left=list(_left(report)),
        stacks=list(_stacks(timed)) if timed else [],
        latency=latency,
        network=network,
        support=support,
    )
    return filled.encode()


def _fallen(layers: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The layers that have zeros and stayed dense, by reason."""
    fallen: dict[str, list[str]] = {}
    for layer in layers:
        if layer["lowering"] == "dense" and layer["density"] < 1:
            fallen.setdefault(layer["why"], []).append(layer["name"])
    return fallen


def _left(report: Mapping[str, Any]) -> Iterator[tuple[str, float, str, bool]]:
    """What compiling left of the dense network: (what, share, in figures, whether it is a time)."""
    cost, sizes = report["cost"], report["sizes"]
    rows = [
        ("multiply-accumulates that count", cost["dense_macs"] / 1e6, cost["macs"] / 1e6, "million"),
        ("multiply-accumulates that run", cost["dense_macs"] / 1e6, cost["compiled_macs"] / 1e6, "million"),
        ("parameters", cost["dense_parameters"] / 1e6, cost["parameters"] / 1e6, "million"),
        ("size on disk", sizes["dense.onnx"] / 1e6, sizes["compiled.onnx"] / 1e6, "MB"),
        *(
            (f"time at batch {row['batch']}", row["dense_ms_p50"], row["compiled_ms_p50"], "ms")
            for row in report["latency"]
        ),
    ]
    for what, dense, compiled, unit in rows:
        share = compiled / dense
        yield what, share, f"{_figure(compiled)} of {_figure(dense)} {unit}, {share:.1%}", unit == "ms"


def _stacks(timed: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, list[tuple[str, str, float]]]]:
    """MACs and time of the measured layers, dense and as chosen: (title, total, [(lowering, told, share of dense)])."""
    kinds = [
        ("MACs", "million", [(layer["dense_macs"] / 1e6, layer["macs_share"]) for layer in timed]),
        ("time", "ms", [(layer["dense_ms"], layer["chosen_ms"] / layer["dense_ms"]) for layer in timed]),
    ]
    for kind, unit, values in kinds:
        whole = sum(dense for dense, _ in values)
        for form in ("dense", "as chosen"):
            pieces = [dense * (share if form == "as chosen" else 1) for dense, share in values]
            yield (
                f"{kind}, {form}",
                f"{_figure(sum(pieces))} {unit}, {sum(pieces) / whole:.0%}",
                [
                    (
                        layer["lowering"] if form == "as chosen" else "dense",
                        f"{layer['name']}: {_figure(piece)} {unit}",
                        piece / whole,
                    )
                    for layer, piece in zip(timed, pieces, strict=True)
                ],
            )


def _figure(value: float) -> str:
    """Three digits or more, never a power of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _shuffled(wiring: Wiring) -> Iterator[str]:
    for number, term in enumerate(wiring.terms, 1):
        of = f" of term {number}" if len(wiring.terms) > 1 else ""
        if term.reads != wiring.x:
            yield f"input{of}"
        if term.writes != wiring.y:
            yield f"output{of}"


def _largest_support(plan: Plan) -> str:
    """The picture of the largest layer that was lowered, or else of the largest with zeros; "" if none has any."""
    masked = [layer for layer in plan.layers if layer.conv.structure.density < 1]
    if not masked:
        return ""
    layer = max(masked, key=lambda layer: (layer.choice.constrains, layer.conv.weight.size))
    wirings = plan.layout.wirings[layer.conv.name].terms
    return support_svg(
        layer.conv.name,
        [
            Term((share.weight != 0).any(axis=(2, 3)), wiring.writes, wiring.reads)
            for share, wiring in zip(shares(layer.conv, layer.choice), wirings, strict=True)
        ],
    )
