"""The picture of the peers: requests a second beside the bare loop, and latencies at half of each one's rate."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from rgp.graph_plot import GREY, SERIES
from rgp.svg import STYLE

_BLACK, VERMILION, BLUE, *_ = SERIES


@mpl.rc_context({**STYLE, "text.parse_math": False})
def figure(result: dict[str, Any]) -> Figure:
    """Two panels of horizontal bars, from what ``peers.run`` gives."""
    services = sorted(result["services"].items(), key=lambda item: float(item[1]["per_second"]))
    base = result["bare"]["per_second"]
    names = [name for name, _ in services]
    drawn = Figure(figsize=(11, 1.6 + 0.5 * len(names)), layout="constrained")
    rates, latency = drawn.subplots(1, 2, sharey=True)
    rates.barh(names, [of["per_second"] for _, of in services], color=[_colour(name) for name in names], height=0.6)
    rates.axvline(base, color=GREY, linestyle=":", linewidth=1.5)
    rates.annotate(f"bare loop {base:.0f}", (base, 1.01), xycoords=("data", "axes fraction"), ha="right", fontsize=8)
    for row, (_, of) in enumerate(services):
        low, high = of["of_bare_ci95"]
        text = f"{of['per_second']:.0f}: {of['of_bare']:.0%} ({low:.0%} to {high:.0%})"
        rates.annotate(text, (0, row), (6, 0), textcoords="offset points", va="center", color="white", fontsize=8)
        for key, marker in (("p50_ms_at_half", "o"), ("p99_ms_at_half", "D")):
            if of[key] is not None:
                latency.plot([of[key]], [row], marker, color=_colour(names[row]), markersize=6)
                above = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center", "fontsize": 8}
                latency.annotate(f"{key[:3]} {of[key]:.3g}", (of[key], row), **above)
    rates.set_xlabel("answers of 200 a second when saturated; share of the bare loop, 95% interval over rounds")
    latency.set_xlabel("ms at half of each one's rate, open loop")
    latency.set_xscale("log")
    latency.xaxis.set_major_formatter("{x:g}")
    latency.xaxis.set_minor_formatter("{x:g}")
    latency.margins(0.15)
    about = result["environment"]
    drawn.suptitle(
        f"{result['bundle']} on {about['cpu']}, {about['cores']} cores, callers on the same ones", fontsize=10
    )
    return drawn


def _colour(name: str) -> str:
    return VERMILION if name == "rgp-serve" else BLUE
