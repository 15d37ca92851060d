"""report.json for programs, report.html for people: the same figures, with where they were measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2

from rgp.compile.plan import Plan
from rgp.compile.plots import latency_svg, support_svg
from rgp.compile.verify import Equivalence
from rgp.cost import Cost
from rgp.measure import Comparison


@dataclass(frozen=True)
class Findings:
    """All that a compilation found out."""

    name: str
    environment: dict[str, Any]
    engine: dict[str, Any]
    cost: Cost
    equivalence: Equivalence
    latency: Sequence[Comparison]
    plan: Plan
    verdict: str

    @property
    def compiled_macs(self) -> int:
        """MACs that the compiled engine runs for one image: zeros too, where a convolution stayed dense."""
        share = {layer.conv.name: layer.macs_share for layer in self.plan.layers}
        return sum(round(layer.dense_macs * share.get(layer.name, 1)) for layer in self.cost.layers)

    def to_dict(self) -> dict[str, Any]:
        """The contents of ``report.json``; times in milliseconds."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "environment": {**self.environment, **self.engine},
            "cost": {
                "dense_macs": self.cost.dense_macs,
                "macs": self.cost.macs,
                "compiled_macs": self.compiled_macs,
                "dense_parameters": self.cost.dense_parameters,
                "parameters": self.cost.parameters,
            },
            "equivalence": self.equivalence.to_dict(),
            "latency": [comparison.to_dict() for comparison in self.latency],
            "layers": [layer.to_dict() for layer in self.plan.layers],
        }

    def json(self) -> bytes:
        """``report.json``."""
        return (json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n").encode()

    def html(self) -> bytes:
        """``report.html``: one file that needs no network."""
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        template = environment.from_string(resources.files("rgp.compile").joinpath("report.html").read_text())
        report = self.to_dict()
        timed = [layer["dense_ms"] for layer in report["layers"] if layer["dense_ms"]]
        page = template.render(
            report=report,
            slowest=max(timed, default=1.0),
            latency=latency_svg(self.latency),
            support=support_svg(self.plan),
        )
        return page.encode()
