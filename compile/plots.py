"""The report's pictures, as SVG text to put into a page that may be light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rgp.measure import Comparison
from rgp.svg import ACCENT, GREY, STYLE, svg_text

LOOK = {**STYLE, "text.parse_math": False}  # a layer's name may hold dollars
TERMS = (ACCENT, "#2f8fd0", "#009e73", "#b86fd0", "#c9a400")
MOST_TERMS = 7  # drawn, of a sum
CELLS = 256  # of a drawn matrix, a side


@dataclass(frozen=True, eq=False)
class Term:
    """One of the convolutions that add up to a layer, or the only one.

    ``support`` (O, I) bool: the pairs of channels that it computes, in the order of the checkpoint; ``writes`` and
    ``reads``: the compiled order of its outputs and inputs, position -> original channel.
    """

    support: NDArray[np.bool_]
    writes: Sequence[int]
    reads: Sequence[int]


def latency_svg(comparisons: Sequence[Comparison]) -> str:
    """For each batch size, every measured run of the dense and the compiled engine, and their medians."""
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(9, 0.8 + 1.25 * len(comparisons)), layout="constrained")
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


def support_svg(name: str, terms: Sequence[Term]) -> str:
    """Which input channels each output channel reads, as trained, and as compiled: a panel for each term.

    The pairs that a term computes have its colour; in the panel of another term they are pale.
    """
    owner = np.zeros(terms[0].support.shape, np.int64)  # 0: a zero of the weight; else the number of a term, from 1
    for number, term in enumerate(terms, 1):
        owner[term.support & (owner == 0)] = number
    shown = terms[:MOST_TERMS]
    columns = min(4, 1 + len(shown))
    rows = -(-(1 + len(shown)) // columns)
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(11 if columns > 2 else 8, rows * (4.2 if columns <= 2 else 3.9)), layout="constrained")
        figure.suptitle(name)
        trained, *panels = figure.subplots(rows, columns, squeeze=False).flat
        _matrix(trained, owner, "as trained", None)
        for number, (axis, term) in enumerate(zip(panels, shown, strict=False), 1):
            title = "as compiled" if len(terms) == 1 else f"as compiled, term {number} of {len(terms)}"
            _matrix(axis, owner[np.ix_(list(term.writes), list(term.reads))], title, number)
        for axis in panels[len(shown) :]:
            axis.axis("off")
        return svg_text(figure)


def _matrix(axis: Axes, owner: NDArray[np.int64], title: str, only: int | None) -> None:
    """Draw who computes each (output, input) pair; many share a cell where they are more than CELLS."""
    outs, ins = owner.shape
    shown = np.broadcast_to(np.array(mpl.colors.to_rgba(GREY, 0.12)), (*_shared(owner == 0).shape, 4)).copy()
    for number, colour in zip(range(1, int(owner.max()) + 1), cycle(TERMS), strict=False):
        part = _shared(owner == number)[..., None] * (1.0 if only in (None, number) else 0.25)
        shown = shown * (1 - part) + np.array(mpl.colors.to_rgba(colour)) * part
    axis.imshow(shown, interpolation="nearest", aspect="auto", extent=(-0.5, ins - 0.5, outs - 0.5, -0.5))
    axis.set_title(title)
    axis.set_xlabel("input channel")
    axis.set_ylabel("output channel")


def _shared(cells: NDArray[np.bool_]) -> NDArray[Any]:
    """The share of true cells in squares, so that at most CELLS are left on a side."""
    starts = [np.arange(0, size, -(-size // CELLS)) for size in cells.shape]
    summed = np.add.reduceat(np.add.reduceat(cells, starts[0], axis=0, dtype=float), starts[1], axis=1)
    counts = [np.diff([*start, size]) for start, size in zip(starts, cells.shape, strict=True)]
    return np.asarray(summed / np.outer(*counts))
