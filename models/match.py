"""How wide a network may be under a graph for a number of MACs (`--match-macs`, graph2nn, arXiv 2007.06559)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from rgp.errors import PruneError, UsageError
from rgp.graph import Graph
from rgp.models.price import price
from rgp.models.widen import LEAST, MOST

CLOSE = 0.97  # of the budget: from here on, equal nodes are worth more than what is missing
ALIGNED = 8  # channels in a multiple where no graph asks for one: what vector units like


def budget_of(text: str, architecture: str, options: Mapping[str, int], input_shape: tuple[int, int, int]) -> int:
    """MACs for one image (C, H, W): those of the network as it is for "dense", else ``text`` in millions."""
    if text == "dense":
        return price(architecture, options, (), input_shape).cost.dense_macs
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", text) or float(text) == 0:
        raise UsageError(f"match_macs is '{text:.40}': give dense, or millions of MACs above 0, as in 555.4")
    return round(float(text) * 1e6)


def match_width(
    architecture: str,
    options: Mapping[str, int],
    graphs: Sequence[Graph],
    input_shape: tuple[int, int, int],
    budget: int,
    **pruning: Any,
) -> dict[str, int]:
    """The options width_percent and width_multiple that bring the MACs nearest to ``budget``, but not above it.

    Widths are multiples of the graph's nodes where the network's own are, so that all nodes stay equal. Where steps
    as coarse as that leave more than 3% of the budget unused, multiples of half the nodes are tried, and so on.
    The search halves an interval: MACs grow with the width, but for layers that become wide enough for the graph,
    and which then are masked. ``graphs`` may be none; ``pruning`` is what ``price`` takes. UsageError if no width fits.
    """

    @cache
    def macs(percent: int, multiple: int) -> int:
        widths = {"width_percent": percent, "width_multiple": multiple}
        try:
            return price(architecture, {**options, **widths}, graphs, input_shape, **pruning).cost.macs
        except PruneError:  # too narrow for the graph: only more can be right
            return 0

    own = price(architecture, options, graphs, input_shape, **pruning).cost.macs
    multiple = max((graph.nodes for graph in graphs), default=ALIGNED)
    guess = round(100 * math.sqrt(budget / own))  # MACs are nearly quadratic in the width
    found: list[tuple[int, int]] = []
    while multiple and not any(macs(*each) >= CLOSE * budget for each in found):
        if percent := _widest(partial(macs, multiple=multiple), budget, guess):
            found.append((percent, multiple))
            guess = percent
        multiple //= 2
    percent, multiple = max(found, key=lambda each: macs(*each), default=(MOST, 1))
    if percent == MOST or not macs(percent, multiple):
        raise UsageError(
            f"{architecture} has no width from {LEAST}% to {MOST}% of its own that comes near {budget / 1e6:g} million "
            "MACs: give another number"
        )
    return {"width_percent": percent, "width_multiple": multiple}


def _widest(macs: Callable[[int], int], budget: int, guess: int) -> int | None:
    """The largest percent within the budget, or None: growing steps from ``guess``, then halves."""
    low, high = LEAST - 1, MOST + 1  # below what fits, or fits; does not fit
    at, step = min(max(guess, LEAST), MOST), max(1, guess // 32)
    while low < at < high:
        if macs(at) <= budget:
            low, at = at, at + step
        else:
            high, at = at, at - step
        step *= 2
    while high - low > 1:
        at = (low + high) // 2
        if macs(at) <= budget:
            low = at
        else:
            high = at
    return low if low >= LEAST else None
