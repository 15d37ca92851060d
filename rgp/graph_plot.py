"""Pictures of graphs: adjacency, a drawing on a circle, distances, and how far information comes layer by layer.

The same graphs give the same file. Colours are told apart by colour-blind readers (Okabe and Ito's, viridis).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rgp.files import written_whole
from rgp.graph import Graph, best_distances
from rgp.mixing import mixing_bound, mixing_depth, reach, unpacked

Colour = tuple[float, float, float, float]

INK, GREY, ACCENT = "#333333", "#8a8a8a", "#d9662c"
SERIES = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a")
MAX_COMPARED = len(SERIES)
_LAYERS_DRAWN = 4
_CELLS = 256  # of a drawn matrix, a side
_LABELLED = 8  # bars, at most
_DRAWN_EDGES = 20_000  # more take long, and cover each other
_BOUND = "a graph at the lower bound of ASPL"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "rgp",  # the same figures give the same file
    "text.parse_math": False,  # a path may hold dollars
    "font.size": 9,
    "axes.titlesize": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlecolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@mpl.rc_context(_STYLE)
def save(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG or SVG, whichever ``path`` ends in."""
    kind = path.suffix[1:].lower()
    undated = {"Date": None} if kind == "svg" else {"Software": None}
    with written_whole(path) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")  # a name may have letters that the font lacks
        figure.savefig(file, format=kind, dpi=150, facecolor="white", metadata=undated)


@mpl.rc_context(_STYLE)
def picture(graph: Graph) -> Figure:
    """One graph: its adjacency, a drawing on a circle, and the histogram of its distances."""
    figure = Figure(figsize=(12.6, 4.5), layout="constrained")
    matrix, drawing, histogram = figure.subplots(1, 3)
    _title(figure, graph.spelling, _aspl(graph))
    _matrix(matrix, graph.adjacency, "adjacency: output node i reads input node j")
    _circle(drawing, graph)
    _distances(histogram, graph, graph.distances.max())
    histogram.set_title("how far nodes are from each other")
    histogram.set_ylabel("% of ordered pairs")
    histogram.legend(loc="upper left", frameon=False)
    return figure


@mpl.rc_context(_STYLE)
def turns_picture(spelling: str, graphs: Sequence[Graph]) -> Figure:
    """Graphs that layers take in turn: the first layers' adjacency, and what each node depends on after them."""
    depth, bound = mixing_depth(graphs), mixing_bound(graphs)
    said = "never mixes" if depth is None else f"mixing depth {depth} layers, at least {bound} at these degrees"
    figure = Figure(figsize=(12.6, 7.2), layout="constrained")
    _title(figure, spelling, f"{len(graphs)} graphs in turn, {said}")
    grid = figure.add_gridspec(2, _LAYERS_DRAWN)
    for layer in range(_LAYERS_DRAWN):
        graph = graphs[layer % len(graphs)]
        _matrix(figure.add_subplot(grid[0, layer]), graph.adjacency, f"layer {layer + 1}\n{_short(graph.spelling)}")
    later = [unpacked(reached) for reached in islice(reach(graphs), 1, _LAYERS_DRAWN)]
    drawn = next((i for i, reached in enumerate(later, 1) if reached.all()), len(later) - 1)
    for i, reached in enumerate(later[:drawn]):
        title = f"read after {i + 2} layers\n{100 * reached.mean():.3g}% of pairs"
        _matrix(figure.add_subplot(grid[1, i]), reached, title)
    _mixing(figure.add_subplot(grid[1, drawn:]), [(spelling, graphs)], depth or 2 * _LAYERS_DRAWN)
    return figure


@mpl.rc_context(_STYLE)
def comparison(compared: Sequence[tuple[str, Sequence[Graph]]]) -> Figure:
    """Up to MAX_COMPARED graphs, or sequences of them, side by side: adjacency, distances, spectra, mixing."""
    assert 1 <= len(compared) <= MAX_COMPARED
    figure = Figure(figsize=(max(9.0, 2.6 * len(compared)), 9), layout="constrained")
    matrices, histograms, curves = figure.subfigures(3, 1, squeeze=False, height_ratios=(1.1, 0.9, 1.2))[:, 0]
    longest = max(graphs[0].distances.max() for _, graphs in compared)
    panels = zip(
        compared,
        SERIES,
        matrices.subplots(1, len(compared), squeeze=False)[0],
        histograms.subplots(1, len(compared), squeeze=False, sharey=True)[0],
        strict=False,
    )
    spectra, mixing = curves.subplots(1, 2)
    for (spelling, graphs), colour, matrix, histogram in panels:
        one = graphs[0]
        said = _aspl(one, short=True) if len(graphs) == 1 else f"the first of {len(graphs)} in turn"
        _matrix(matrix, one.adjacency, f"{_short(spelling, 30)}\n{said}", colour=colour)
        if len(graphs) == 1:
            _distances(histogram, one, longest)
        else:
            _first_met(histogram, graphs, longest)
        spectra.plot(np.linspace(0, 1, one.nodes), one.eigenvalues[::-1] / one.degree, color=colour, linewidth=1.4)
    histograms.axes[0].set_ylabel("% of ordered pairs")
    spectra.set_title("eigenvalues / d: the first drop is the spectral gap")
    spectra.set_xlabel("share of the eigenvalues")
    _mixing(mixing, compared, max(mixing_depth(graphs) or _LAYERS_DRAWN for _, graphs in compared))
    handles, labels = mixing.get_legend_handles_labels()
    if any(len(graphs) == 1 for _, graphs in compared):
        handles, labels = [*handles, Line2D([], [], color=ACCENT, linewidth=2)], [*labels, _BOUND]
    curves.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _title(figure: Figure, spelling: str, said: str) -> None:
    figure.suptitle(f"{_short(spelling, 90)}\n{said}", fontsize=11)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(h_pad=0.08)  # type: ignore[call-arg]  # in inches, between the title and the panels


def _short(spelling: str, most: int = 36) -> str:
    """The end of a long path says most."""
    return spelling if len(spelling) <= most else f"…{spelling[1 - most :]}"


def _aspl(graph: Graph, *, short: bool = False) -> str:
    if graph.parts > 1:
        return f"{graph.parts} separate parts"
    gap = f"{graph.gap_percent:.2f}%"
    if short:
        return f"ASPL {graph.aspl:.4f}, gap {gap}"
    return f"ASPL {graph.aspl:.4f}, lower bound {graph.aspl_bound:.4f}, gap {gap}"


def _matrix(axis: Axes, matrix: NDArray[np.bool_], title: str, colour: str = INK) -> None:
    nodes = len(matrix)
    palette = mpl.colors.LinearSegmentedColormap.from_list("cells", ["#f4f2ee", INK])
    starts = np.arange(0, nodes, -(-nodes // _CELLS))  # of squares of nodes that share one cell where there are many
    cells = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0, dtype=float), starts, axis=1)
    edges = (-0.5, nodes - 0.5)
    axis.imshow(cells, cmap=palette, vmin=0, interpolation="nearest", extent=(*edges, *edges[::-1]))
    axis.set_title(title, color=colour)
    axis.set_xticks([0, nodes - 1])
    axis.set_yticks([0, nodes - 1])
    axis.spines[["top", "right"]].set_visible(True)


def _shades(longest: int) -> list[Colour]:
    """A colour for each distance from 1 on; the nearest are the darkest."""
    return [tuple(shade) for shade in mpl.colormaps["viridis"](np.linspace(0.05, 0.9, max(longest, 4)))]


def _circle(axis: Axes, graph: Graph) -> None:
    angles = np.linspace(0, 2 * np.pi, graph.nodes, endpoint=False)
    places = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    edges = np.argwhere(np.triu(graph.adjacency, 1))
    first = edges[:, 0] == 0
    crowd = max(1, len(edges))  # none where each node reads itself alone
    if crowd <= _DRAWN_EDGES:
        lines = LineCollection(
            list(places[edges[~first]]),
            colors=INK,
            linewidths=float(np.clip(50 / np.sqrt(crowd), 0.4, 0.7)),
            alpha=float(np.clip(100 / crowd, 0.015, 0.7)),
            rasterized=crowd > 2000,  # as lines they would make an SVG of many megabytes
        )
        axis.add_collection(lines)
    width = float(np.clip(40 / graph.degree, 0.3, 1.3))
    axis.add_collection(LineCollection(list(places[edges[first]]), colors=ACCENT, linewidths=width))
    distances = graph.distances[0]
    far = mpl.colors.to_rgba("#dddddd")  # distance -1: there is no path
    shades = [mpl.colors.to_rgba(ACCENT), *_shades(int(graph.distances.max())), far]
    size = float(np.clip(4000 / graph.nodes, 3, 90))
    x, y = places.T
    axis.scatter(x, y, s=size, c=[shades[distance] for distance in distances], zorder=3, linewidths=0)
    axis.scatter(x[:1], y[:1], s=2 * size, color=ACCENT, zorder=4, edgecolors="white", linewidths=0.8)
    title = "on a circle; orange: node 0 and its edges" + (" (the others are too many)" if crowd > _DRAWN_EDGES else "")
    axis.set_title(f"{title}; each reads itself" if graph.self_loops else title)
    axis.set_aspect("equal")
    axis.set_xlim(-1.08, 1.08)
    axis.set_ylim(-1.08, 1.08)
    axis.axis("off")


def _distances(axis: Axes, graph: Graph, longest: int) -> None:
    """The share of ordered pairs at each distance, and that of a graph at the lower bound."""
    counts = np.bincount(graph.distances[graph.distances > 0].astype(np.int64), minlength=2)[1:]
    best = np.array(best_distances(graph.nodes, graph.degree - graph.self_loops)) / (graph.nodes - 1)
    _bars(axis, 100 * counts / (graph.nodes * (graph.nodes - 1)), _shades(longest), 100 * best)
    axis.set_xlabel("distance")


def _first_met(axis: Axes, graphs: Sequence[Graph], longest: int) -> None:
    """The share of pairs that first meet after each layer."""
    shares = np.diff(_reached(graphs, mixing_depth(graphs) or 2 * len(graphs)), prepend=0)
    _bars(axis, shares, _shades(max(longest, len(shares))), np.array([]))
    axis.set_xlabel("layers until i depends on j")


def _bars(axis: Axes, shares: NDArray[np.float64], shades: Sequence[Colour], best: NDArray[np.float64]) -> None:
    """Bars of ``shares`` (%) at 1, 2, ...; a mark where each of ``best`` lies; what is left never meets."""
    never = 100 - float(shares.sum())
    count = max(len(shares), len(best))
    top = 1.3 * max(*shares, *best, never)
    axis.bar(range(1, len(shares) + 1), shares, color=shades[: len(shares)])
    places = np.arange(1, len(best) + 1)
    axis.hlines(best, places - 0.46, places + 0.46, color=ACCENT, linewidth=2, label=_BOUND)
    if count <= _LABELLED:
        marks = np.pad(best, (0, count - len(best)))
        for place, share in enumerate(shares, 1):
            close = share <= marks[place - 1] <= share + 0.08 * top  # the mark would cross the number
            height = marks[place - 1] if close else share
            axis.annotate(f"{share:.3g}", (place, height), (0, 3), textcoords="offset points", ha="center")
        axis.set_xticks(range(1, count + 1))
    if never > 1e-9:
        axis.bar([count + 1], [never], color="white", edgecolor=GREY, hatch="///")
        axis.annotate(f"never\n{never:.3g}", (count + 1, never), (0, 3), textcoords="offset points", ha="center")
    axis.set_xlim(0.4, count + (1.6 if never > 1e-9 else 0.6))
    axis.set_ylim(0, max(axis.get_ylim()[1], top))


def _mixing(axis: Axes, compared: Sequence[tuple[str, Sequence[Graph]]], layers: int) -> None:
    """The share of pairs in which one depends on the other, after each layer."""
    for (spelling, graphs), colour in zip(compared, SERIES, strict=False):
        shares = _reached(graphs, layers)
        axis.plot(range(1, layers + 1), shares, color=colour, marker="o", markersize=4, label=_short(spelling))
    axis.set_title("i depends on j, after each layer")
    axis.set_xlabel("layers")
    axis.set_ylabel("% of pairs")
    axis.set_ylim(0, 105)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _reached(graphs: Sequence[Graph], layers: int) -> list[float]:
    """% of all (i, j), i = j included, after 1, 2, ... layers."""
    return [100 * float(unpacked(reached).mean()) for reached in islice(reach(graphs), layers)]
