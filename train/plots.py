"""A run's pictures, as SVG text to put into a page that may be light or dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rgp.graph import Graph
from rgp.svg import ACCENT, GREY, STYLE, svg_text
from rgp.train.history import Epoch, best

SERIES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", GREY)  # Okabe and Ito's
DASHES = ((), (6, 2), (2, 2), (8, 2, 2, 2))  # on and off, in line widths
MAX_DRAWN = len(SERIES) * len(DASHES)
"""Configurations that can be told apart in one picture."""

_FEW = 25  # epochs, to which a dot is drawn for each
_STYLE = STYLE | {
    "text.parse_math": False,  # a path may hold dollars
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Stroke:
    """How the lines of one configuration look, in a picture and in the key beside it."""

    colour: str
    dashes: tuple[int, ...]

    @classmethod
    def of(cls, number: int) -> Stroke:
        """The ``number``-th of MAX_DRAWN, from 0: first all colours, then the next dashes."""
        return cls(SERIES[number % len(SERIES)], DASHES[number // len(SERIES)])


@mpl.rc_context(_STYLE)
def history_svg(rows: Sequence[Epoch]) -> str:
    """One run: losses, accuracies with the best epoch marked, learning rate and throughput over the epochs."""
    figure = Figure(figsize=(8.6, 5.6), layout="constrained")
    (losses, tops), (rates, speeds) = figure.subplots(2, 2)
    _curve(losses, rows, lambda row: row.train_loss, GREY, label="training loss")
    _curve(losses, rows, lambda row: row.loss, ACCENT, label="on held-out images")

    highest = best(rows)
    tops.plot([highest.epoch], [highest.top1], "o", color=ACCENT, markersize=8, fillstyle="none")
    _curve(tops, rows, lambda row: row.top1, ACCENT, label=f"top-1 %, best {highest.top1:.2f}")
    if rows[-1].raw_top1 is not None:
        _curve(tops, rows, lambda row: row.raw_top1, ACCENT, label="not averaged", dashes=(2, 2), width=1)
    if rows[-1].top5 is not None:
        _curve(tops, rows, lambda row: row.top5, GREY, label="top-5 %")

    _curve(rates, rows, lambda row: row.lr, GREY, label="learning rate")
    _curve(speeds, rows, lambda row: row.images_per_second, GREY, label="training images/s")
    for axis in (losses, tops, rates, speeds):
        axis.legend(
            loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=3, fontsize=8.5, handlelength=1.5, columnspacing=1
        )
    for axis in (rates, speeds):
        axis.set_ylim(bottom=0)
        axis.set_xlabel("epoch")
    return svg_text(figure)


@mpl.rc_context(_STYLE)
def overlay_svg(lines: Sequence[tuple[Sequence[Epoch], Stroke]]) -> str:
    """Several runs, each with its stroke: top-1, and the losses below."""
    figure = Figure(figsize=(8.6, 7), layout="constrained")
    axes = figure.subplot_mosaic([["top1", "top1"], ["train", "held out"]], height_ratios=[1.3, 1])
    values: dict[str, tuple[str, Callable[[Epoch], float]]] = {
        "top1": ("top-1 on the held-out images, %", lambda row: row.top1),
        "train": ("training loss", lambda row: row.train_loss),
        "held out": ("loss on the held-out images", lambda row: row.loss),
    }
    for panel, (title, value) in values.items():
        for rows, stroke in lines:
            _curve(axes[panel], rows, value, stroke.colour, dashes=stroke.dashes)
        axes[panel].set_title(title)
        axes[panel].set_xlabel("epoch")
    return svg_text(figure)


@mpl.rc_context(_STYLE)
def masks_svg(graphs: Sequence[Graph]) -> str:
    """The adjacency of up to four graphs, side by side."""
    figure = Figure(figsize=(8.6, 2.7), layout="constrained")
    for place, graph in enumerate(graphs[:4]):
        axis = figure.add_subplot(1, 4, place + 1)
        colours = mpl.colors.ListedColormap([mpl.colors.to_rgba(GREY, 0.15), mpl.colors.to_rgba(ACCENT)])
        axis.imshow(graph.adjacency, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        axis.set_xticks([0, graph.nodes - 1])
        axis.set_yticks([0, graph.nodes - 1])
        spelling = graph.spelling if len(graph.spelling) <= 32 else f"…{graph.spelling[-31:]}"
        axis.set_title(spelling, fontsize=8)
        axis.set_xlabel("input group")
        axis.set_ylabel("output group" if place == 0 else "")
    return svg_text(figure)


def _curve(
    axis: Axes,
    rows: Sequence[Epoch],
    value: Callable[[Epoch], float | None],
    colour: str,
    *,
    label: str = "",
    dashes: tuple[int, ...] = (),
    width: float = 1.5,
) -> None:
    points = [(row.epoch, number) for row in rows if (number := value(row)) is not None]
    epochs, numbers = zip(*points, strict=True)
    dot = "o" if len(points) <= _FEW else ""
    style = (0, dashes) if dashes else "-"
    axis.plot(
        epochs, numbers, color=colour, linestyle=style, linewidth=width, marker=dot, markersize=3, label=label or None
    )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
