"""The picture of ``rgp-bench``: every run as a dot, and each network's speed-up with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from rgp.bench import Measured
from rgp.graph_plot import GREY, SERIES
from rgp.svg import STYLE


@mpl.rc_context({**STYLE, "text.parse_math": False})  # a path may hold dollars
def comparison_figure(measured: Sequence[Measured]) -> Figure:
    """A row of two panels for each number of threads and batch size: milliseconds, and the ratio to the first.

    All have the same contestants. Dense networks are grey.
    """
    entered = measured[0].contestants
    colours = cycle(SERIES[1:-1])
    colour_of = [GREY if each.network == "dense" else next(colours) for each in entered]
    labels = [f"{_short(str(each.bundle.path))}\n{each}, {each.bundle.target.precision}" for each in entered]
    height = len(measured) * (0.9 + 0.55 * len(entered))
    figure = Figure(figsize=(11, height), layout="constrained")
    for each, (times, ratios) in zip(measured, figure.subplots(len(measured), 2, squeeze=False), strict=True):
        rng = np.random.default_rng(0)
        slowest = 0.0
        for row, (comparison, colour) in enumerate(zip(each.comparisons, colour_of, strict=True)):
            ms = comparison.compiled_ms
            times.scatter(ms, row + rng.uniform(-0.25, 0.25, len(ms)), s=7, color=colour, alpha=0.35, linewidths=0)
            median = float(np.median(ms))
            times.plot([median, median], [row - 0.36, row + 0.36], color=colour, linewidth=2.5)
            slowest = max(slowest, float(np.quantile(ms, 0.98)))
            (low, high), middle = comparison.speedup_ci95, comparison.speedup
            ratios.plot([low, high], [row, row], color=colour, linewidth=2.5, solid_capstyle="butt")
            ratios.plot([middle], [row], "o", color=colour, markersize=7)
            note = f"{median:.2f} ms, {middle:.2f}x [{low:.2f}, {high:.2f}]"
            ratios.annotate(note, (middle, row), (0, 7), textcoords="offset points", ha="center", color=colour)
        times.set_xlim(0, slowest * 1.08)
        times.set_xlabel(f"ms a run, {each.setting}")
        ratios.axvline(1, color=GREY, linewidth=1, linestyle=":", zorder=0)
        ratios.set_xlim(0, 1.25 * max(comparison.speedup_ci95[1] for comparison in each.comparisons))
        ratios.set_xlabel(f"speed-up over {entered[0]}, {each.setting}; 95% interval")
        times.set_yticks(range(len(entered)), labels)
        ratios.set_yticks(range(len(entered)), [""] * len(entered))
        for axis in (times, ratios):
            axis.set_ylim(len(entered) - 0.45, -0.75)  # the first on top
            axis.spines[["top", "right"]].set_visible(False)
    return figure


def _short(text: str, most: int = 36) -> str:
    """The end of a long path says most."""
    return text if len(text) <= most else f"…{text[1 - most :]}"
