"""The picture of the peers: how much faster than dense, a panel for each cell of the network measured last."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.peers.table import rows
from rgp.graph_plot import GREY, SERIES
from rgp.svg import STYLE

_BLACK, VERMILION, BLUE, GREEN, PINK, *_ = SERIES
COLOURS = {"fp32": BLUE, "bf16": GREEN, "int8": PINK}
OURS = VERMILION


@mpl.rc_context({**STYLE, "text.parse_math": False})
def figure(results: dict[str, Any]) -> Figure:
    """Horizontal bars with their intervals, colours by precision, ours in a colour of its own."""
    last = max(results["cells"].values(), key=lambda cell: str(cell["environment"]["time"]))
    cells = [cell for cell in results["cells"].values() if _measured(cell) == _measured(last)]
    columns = 2 if len(cells) > 1 else 1
    lines = -(-len(cells) // columns)
    drawn = Figure(figsize=(6.5 * columns, 0.6 + 3.6 * lines), layout="constrained")
    panels = drawn.subplots(lines, columns, squeeze=False, sharex=True).flat
    for axis, cell in zip(panels, cells, strict=False):
        found = sorted(rows(cell), key=lambda row: row.ratio)
        for place, row in enumerate(found):
            low, high = row.ratio_ci95
            precision = row.row.rpartition(", ")[2]
            axis.barh(place, row.ratio, color=OURS if row.row.startswith("rgp") else COLOURS[precision], height=0.65)
            axis.plot([low, high], [place, place], color=GREY, linewidth=1.5)
            text = f"{row.ratio:.2f}x, {row.ms:.3g} ms"
            axis.annotate(text, (max(row.ratio, high), place), (4, 0), textcoords="offset points", va="center", size=8)
        axis.set_yticks(range(len(found)), [row.row for row in found], fontsize=8)
        axis.axvline(1, color=GREY, linestyle=":", linewidth=1.2)
        axis.set_title(f"batch {cell['batch']}, {cell['threads']} thread{'s' * (cell['threads'] > 1)}", fontsize=9)
        axis.margins(x=0.4)
    network, cpu = _measured(last)
    drawn.suptitle(f"{network}: times as fast as ONNX Runtime, dense, fp32. {cpu}", fontsize=10)
    return drawn


def _measured(cell: dict[str, Any]) -> tuple[str, str]:
    return f"{cell['architecture']} {cell['graph']}", cell["environment"]["cpu"]
