"""The report's pictures, as SVG text to put into a page that may be light or dark."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from rgp.compile.plan import LayerPlan, Plan
from rgp.measure import Comparison
from rgp.svg import ACCENT, GREY, STYLE, svg_text


def latency_svg(comparisons: Sequence[Comparison]) -> str:
    """For each batch size, every measured run of the dense and the compiled engine, and their medians."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.8 + 1.25 * len(comparisons)), layout="constrained")
        for axis, comparison in zip(
            figure.subplots(len(comparisons), 1, squeeze=False)[:, 0], comparisons, strict=True
        ):
            rng = np.random.default_rng(0)
            slowest = 0.0
            for row, (times, colour) in enumerate(((comparison.compiled_ms, ACCENT), (comparison.dense_ms, GREY))):
                heights = row + rng.uniform(-0.3, 0.2, len(times))
                axis.scatter(times, heights, s=7, color=colour, alpha=0.35, linewidths=0)
                median = float(np.median(times))
                axis.plot([median, median], [row - 0.38, row + 0.38], color=colour, linewidth=2.5)
                axis.annotate(f"{median:.2f} ms", (median, row + 0.45), ha="center", va="bottom", color=colour)
                slowest = max(slowest, float(np.quantile(times, 0.98)))
            axis.set_xlim(0, slowest * 1.08)
            axis.set_ylim(-0.55, 1.95)
            axis.set_yticks([0, 1], ["compiled", "dense"])
            axis.set_xlabel(f"ms a run, batch {comparison.batch}")
            axis.spines[["top", "right"]].set_visible(False)
        return svg_text(figure)


def support_svg(plan: Plan) -> str:
    """Which input channels each output channel reads, as trained and as compiled, for the largest masked layer."""
    masked = [layer for layer in plan.layers if layer.conv.structure.density < 1]
    if not masked:
        return ""
    layer = max(masked, key=lambda layer: (layer.choice.constrains, layer.conv.weight.size))
    wiring = plan.layout.wirings[layer.conv.name]
    ins, outs = layer.conv.channels
    panels = [("as trained", range(outs), range(ins)), ("as compiled", wiring.writes, wiring.reads)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 4.2), layout="constrained")
        for axis, (title, rows, columns) in zip(figure.subplots(1, 2), panels, strict=True):
            picture = _support(layer)[np.ix_(list(rows), list(columns))]
            shown = np.where(picture[..., None], mpl.colors.to_rgba(ACCENT), mpl.colors.to_rgba(GREY, 0.15))
            axis.imshow(shown, interpolation="nearest", aspect="auto")
            axis.set_title(f"{layer.conv.name}, {title}")
            axis.set_xlabel("input channel")
            axis.set_ylabel("output channel")
        return svg_text(figure)


def _support(layer: LayerPlan) -> np.ndarray:
    structure = layer.conv.structure
    return structure.biadjacency[np.ix_(structure.out_class, structure.in_class)]
