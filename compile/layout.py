"""One order of channels for each tensor, so that as little as possible is shuffled.

A grouped convolution wants the channels of each part together, on both sides, and in the same sequence of
parts. A space (see ``rgp.compile.spaces``) has one order; weights absorb it for free. Where a convolution
disagrees, its input or its output is shuffled, whichever is smaller.

The candidates for a space are its present order and every order that a convolution around it asks for, the
sequence of parts handed on from the other side. Among all combinations the one is taken that moves the fewest
elements (``rgp.compile.assign``: the proved least for residual networks, a local optimum where too many spaces
meet in one place). A concatenation has the order of its pieces; what reads it is shuffled if it disagrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rgp.compile.assign import Table, minimise
from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.spaces import Spaces
from rgp.compile.structure import Channels

MAX_ORDERS = 12
"""Candidates for one space; networks of one graph have as many as it has parallel classes."""
FIXED_COST = 20_000
"""A shuffle of nothing costs about as much as moving so many elements (2 threads, ONNX Runtime: 20 to 30 us)."""


@dataclass(frozen=True)
class TermWiring:
    """The orders inside one term: x -> (shuffle) -> reads, writes -> (shuffle) -> y."""

    reads: Channels
    writes: Channels


@dataclass(frozen=True)
class Wiring:
    """Orders of channels around one convolution, position -> original channel, and inside each of its terms."""

    x: Channels
    y: Channels
    terms: tuple[TermWiring, ...]

    @property
    def shuffles(self) -> int:
        """How many shuffles stand around it."""
        return sum((term.reads != self.x) + (term.writes != self.y) for term in self.terms)


@dataclass(frozen=True)
class Layout:
    """``orders``: for each space, position -> original channel; ``wirings``: for each convolution, by name.

    ``least``: whether it is proved that no other choice among the candidates moves less.
    """

    orders: Mapping[int, Channels]
    wirings: Mapping[str, Wiring]
    least: bool = True


def lay_out(convs: Sequence[Conv], choices: Mapping[str, Choice], spaces: Spaces) -> Layout:
    """Decide every order; ``choices``: how each of ``convs`` is to run, by name."""
    pieces, fixed = spaces.pieces, spaces.fixed_ones()
    candidates: dict[int, list[Channels]] = {
        space: [tuple(range(spaces.channels[space]))] for space in spaces.all() if space not in pieces
    }
    demanding = [(conv, choices[conv.name]) for conv in convs if choices[conv.name].constrains]
    _propose(demanding, spaces, fixed, candidates)
    tables = []
    for conv, choice in demanding:
        x, y = spaces.of(conv.x), spaces.of(conv.y)
        if x in pieces or y in pieces:
            continue  # what reads a concatenation is shuffled whatever its pieces' orders, or never
        cost = np.array([[_moved(conv, choice, a, b) for b in candidates[y]] for a in candidates[x]])
        tables.append(Table((x,), cost.diagonal()) if x == y else Table((x, y), cost))
    sizes = {space: len(candidates[space]) for table in tables for space in table.variables}
    chosen, least = minimise(sizes, tables)  # what no convolution asks about keeps its order
    orders = {space: known[chosen.get(space, 0)] for space, known in candidates.items()}
    for space, parts in pieces.items():  # in running order: the pieces of a concatenation come before it
        starts = np.cumsum([0, *(spaces.channels[part] for part in parts)]).tolist()
        orders[space] = tuple(
            start + channel for start, part in zip(starts, parts, strict=False) for channel in orders[part]
        )
    wirings = {
        conv.name: wire(conv, choices[conv.name], orders[spaces.of(conv.x)], orders[spaces.of(conv.y)])
        for conv in convs
    }
    return Layout(orders, wirings, least)


def wire(conv: Conv, choice: Choice, x: Channels, y: Channels) -> Wiring:
    """Connect one convolution to the orders of its input and output, with shuffles where they do not suit."""
    if not choice.constrains:
        return Wiring(x, y, (TermWiring(x, y),))
    inwards = conv.in_elements <= conv.out_elements
    terms = (_wire_term(choice.ins(term), choice.outs(term), x, y, inwards=inwards) for term in choice.terms)
    return Wiring(x, y, tuple(terms))


def _wire_term(ins: list[Channels], outs: list[Channels], x: Channels, y: Channels, *, inwards: bool) -> TermWiring:
    """``inwards``: whether shuffling the input costs no more than shuffling the output."""
    if not outs:  # one part: any order will do
        return TermWiring(x, y)
    default = range(len(outs))
    written = sequence_of(y, outs)
    if not ins:
        return TermWiring(x, y if written else joined(outs, default))
    read = sequence_of(x, ins)
    if read and read == written:
        return TermWiring(x, y)
    if written and (not read or inwards):
        return TermWiring(joined(ins, written), y)
    if read:
        return TermWiring(x, joined(outs, read))
    return TermWiring(joined(ins, default), joined(outs, default))


def _moved(conv: Conv, choice: Choice, x: Channels, y: Channels) -> float:
    """The cost of the shuffles around one convolution, in elements."""
    wiring = wire(conv, choice, x, y)
    return float(
        sum(
            (term.reads != x) * (conv.in_elements + FIXED_COST) + (term.writes != y) * (conv.out_elements + FIXED_COST)
            for term in wiring.terms
        )
    )


def _propose(
    demanding: Sequence[tuple[Conv, Choice]],
    spaces: Spaces,
    fixed: set[int],
    candidates: dict[int, list[Channels]],
) -> None:
    """Add to ``candidates`` what the convolutions ask for, until they ask for nothing new."""

    def offer(space: int, order: Channels) -> bool:
        known = candidates.get(space)
        if known is None or space in fixed or order in known or len(known) >= MAX_ORDERS:
            return False
        known.append(order)
        return True

    grown = True
    while grown:
        grown = False
        for conv, choice in demanding:
            x, y = spaces.of(conv.x), spaces.of(conv.y)
            for term in choice.terms:
                ins, outs = choice.ins(term), choice.outs(term)
                for here, there, space, other in ((ins, outs, x, y), (outs, ins, y, x)):
                    if not here:
                        continue
                    grown |= offer(space, joined(here, range(len(here))))
                    for order in list(candidates.get(space, ())) if there else ():
                        if sequence := sequence_of(order, here):
                            grown |= offer(other, joined(there, sequence))


def sequence_of(order: Channels, groups: Sequence[Channels]) -> list[int] | None:
    """In which sequence ``order`` has the groups, or None if one of them does not lie together.

    >>> sequence_of((2, 3, 0, 1), [(0, 1), (2, 3)])
    [1, 0]
    >>> sequence_of((0, 2, 1, 3), [(0, 1), (2, 3)]) is None
    True
    """
    group_of = {channel: index for index, group in enumerate(groups) for channel in group}
    runs = [group_of[order[0]]]
    for channel in order[1:]:
        if group_of[channel] != runs[-1]:
            runs.append(group_of[channel])
            if len(runs) > len(groups):
                return None
    return runs


def joined(groups: Sequence[Channels], sequence: Iterable[int]) -> Channels:
    """The groups one after the other, in this sequence."""
    return tuple(channel for index in sequence for channel in groups[index])
