"""The picture of a load: latencies and goodput over the offered rate, or the latencies of one run over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from rgp.graph_plot import GREY, SERIES
from rgp.load.generator import FAILED, TIMED_OUT, Load
from rgp.load.report import PERCENTILES
from rgp.svg import STYLE

_BLACK, VERMILION, BLUE, GREEN, *_ = SERIES


@mpl.rc_context({**STYLE, "text.parse_math": False})
def sweep_figure(runs: Sequence[dict[str, Any]], about: str) -> Figure:
    """Two panels over the offered rate: percentiles of the latency, and what came of the rate."""
    runs = sorted(runs, key=lambda run: float(run["rate"]))
    offered = [run["offered"] for run in runs]
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    latency, rates = figure.subplots(1, 2)
    for (name, colour), width in zip(
        {"p50": BLUE, "p90": GREEN, "p99": VERMILION, "max": GREY}.items(), (2.5, 1.5, 2.5, 1.0), strict=True
    ):
        values = [run["latency_ms"][name] or np.nan for run in runs]
        latency.plot(offered, values, "o-", color=colour, linewidth=width, markersize=4, label=name)
    _log_scale(latency)
    latency.set_ylabel("ms, answers of 200, from the intended send")
    for run in runs:
        above, n = (run["offered"], 1.01), f"n={run['latency_ms']['n']}"
        latency.annotate(n, above, xycoords=("data", "axes fraction"), fontsize=7, rotation=40)
    rates.plot([0, max(offered)], [0, max(offered)], ":", color=GREY, linewidth=1)
    rates.plot(offered, [run["achieved"] for run in runs], "o-", color=BLUE, markersize=4, label="answered with 200")
    goodput = f"goodput: within {runs[0]['bound_ms']:g} ms"
    rates.plot(offered, [run["goodput"] for run in runs], "o--", color=GREEN, markersize=4, label=goodput)
    refused = [run["rejected"]["n"] / run["seconds"] for run in runs]
    rates.plot(offered, refused, "o-", color=VERMILION, markersize=4, label="429")
    rates.set_ylabel("requests a second")
    for axis in (latency, rates):
        axis.set_xlabel("offered requests a second")
        axis.legend(frameon=False, labelcolor="linecolor", loc="best")
        axis.spines[["top", "right"]].set_visible(False)
    rates.set_ylim(bottom=0)
    figure.suptitle(about, fontsize=10)
    return figure


@mpl.rc_context({**STYLE, "text.parse_math": False})
def run_figure(load: Load, run: dict[str, Any], about: str) -> Figure:
    """Every request of one run as a dot: when it was meant to leave, and how long its answer took."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axis = figure.subplots()
    counted = load.intended >= 0
    groups = {
        "200": (load.status == 200, BLUE, "."),
        "429": (load.status == 429, VERMILION, "."),
        "other status": ((load.status > 0) & (load.status != 200) & (load.status != 429), GREEN, "x"),
        "no answer": (load.status == FAILED, "#cc79a7", "x"),
        "timeout": (load.status == TIMED_OUT, GREY, "x"),
    }
    for name, (group, colour, marker) in groups.items():
        members = group & counted
        if members.any():
            ms = 1000 * (load.ended - load.intended)[members]
            label = f"{name}, n={members.sum()}"
            axis.plot(load.intended[members], ms, marker, color=colour, markersize=4, alpha=0.6, label=label)
    for name in PERCENTILES:
        if (ms := run["latency_ms"][name]) is not None:
            axis.axhline(ms, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
            axis.annotate(f"{name} {ms:.3g}", (1, ms), xycoords=("axes fraction", "data"), fontsize=8, va="center")
    _log_scale(axis)
    axis.set_xlabel(f"intended send, s; {run['rate']:.4g} requests a second")
    axis.set_ylabel("ms from the intended send to the answer")
    axis.legend(frameon=False, labelcolor="linecolor", loc="upper left")
    axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(about, fontsize=10)
    return figure


def _log_scale(axis: Axes) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
