"""One order of channels for each tensor, so that as few shuffles as possible are left.

A grouped convolution wants the channels of each part together, on both sides, and in the same sequence of
parts. Walking the network in running order, the first convolution that cares about a space (see
``rgp.compile.spaces``) decides its order; weights absorb it for free. Where a later convolution disagrees, its
input or output is shuffled, whichever is smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from rgp.compile.convs import Conv
from rgp.compile.lowerings import LOWERINGS
from rgp.compile.spaces import Spaces
from rgp.compile.structure import Channels, Part


@dataclass(frozen=True)
class Choice:
    """How one convolution is to run: a lowering's name and the parts that it splits into."""

    lowering: str
    parts: tuple[Part, ...]

    @classmethod
    def dense(cls, conv: Conv) -> Choice:
        """As it is: every output reads every input."""
        ins, outs = conv.channels
        return cls("dense", (Part(tuple(range(outs)), tuple(range(ins))),))

    @property
    def constrains(self) -> bool:
        """Whether it asks anything of the order of channels."""
        return len(self.parts) > 1

    @property
    def ins(self) -> list[Channels]:
        """What must lie together in the input; empty if nothing must."""
        return [part.ins for part in self.parts] if LOWERINGS[self.lowering].NEEDS_INPUT_ORDER else []

    @property
    def outs(self) -> list[Channels]:
        """What must lie together in the output."""
        return [part.outs for part in self.parts]


@dataclass(frozen=True)
class Wiring:
    """Orders of channels around one convolution: x -> (shuffle) -> reads, writes -> (shuffle) -> y."""

    x: Channels
    reads: Channels
    writes: Channels
    y: Channels

    @property
    def shuffles(self) -> int:
        """How many shuffles stand around it."""
        return (self.x != self.reads) + (self.writes != self.y)


@dataclass(frozen=True)
class Layout:
    """``orders``: for each space, position -> original channel; ``wirings``: for each convolution, by name."""

    orders: Mapping[int, Channels]
    wirings: Mapping[str, Wiring]


def lay_out(convs: Sequence[Conv], choices: Mapping[str, Choice], spaces: Spaces) -> Layout:
    """Decide every order; ``choices``: how each of ``convs`` is to run, by name."""
    orders = {space: tuple(range(spaces.channels[space])) for space in spaces.fixed_ones()}
    for conv in convs:
        choice = choices[conv.name]
        if choice.constrains:
            _decide(choice, spaces.of(conv.x), spaces.of(conv.y), orders)
    for space in spaces.all():
        orders.setdefault(space, tuple(range(spaces.channels[space])))
    wirings = {
        conv.name: _wire(conv, choices[conv.name], orders[spaces.of(conv.x)], orders[spaces.of(conv.y)])
        for conv in convs
    }
    return Layout(orders, wirings)


def _decide(choice: Choice, inner: int, outer: int, orders: dict[int, Channels]) -> None:
    """Let ``choice`` decide the orders of its input and output space, as far as they are open."""
    sequence: Sequence[int] | None = _sequence(orders[outer], choice.outs) if outer in orders else None
    if choice.ins:
        if inner not in orders:
            orders[inner] = _joined(choice.ins, sequence or range(len(choice.parts)))
        sequence = _sequence(orders[inner], choice.ins)
    if outer not in orders:
        orders[outer] = _joined(choice.outs, sequence or range(len(choice.parts)))


def _wire(conv: Conv, choice: Choice, x: Channels, y: Channels) -> Wiring:
    """Connect one convolution to the orders of its input and output, with shuffles where they do not suit."""
    if not choice.constrains:
        return Wiring(x, x, y, y)
    default = range(len(choice.parts))
    written = _sequence(y, choice.outs)
    if not choice.ins:
        return Wiring(x, x, y if written else _joined(choice.outs, default), y)
    read = _sequence(x, choice.ins)
    if read and read == written:
        return Wiring(x, x, y, y)
    if written and (not read or _size(conv.x) <= _size(conv.y)):
        return Wiring(x, _joined(choice.ins, written), y, y)
    if read:
        return Wiring(x, x, _joined(choice.outs, read), y)
    return Wiring(x, _joined(choice.ins, default), _joined(choice.outs, default), y)


def _sequence(order: Channels, groups: Sequence[Channels]) -> list[int] | None:
    """In which sequence ``order`` has the groups, or None if one of them does not lie together.

    >>> _sequence((2, 3, 0, 1), [(0, 1), (2, 3)])
    [1, 0]
    >>> _sequence((0, 2, 1, 3), [(0, 1), (2, 3)]) is None
    True
    """
    group_of = {channel: index for index, group in enumerate(groups) for channel in group}
    runs = [group_of[order[0]]]
    for channel in order[1:]:
        if group_of[channel] != runs[-1]:
            runs.append(group_of[channel])
    return runs if len(runs) == len(groups) else None


def _joined(groups: Sequence[Channels], sequence: Iterable[int]) -> Channels:
    return tuple(channel for index in sequence for channel in groups[index])


def _size(value: ir.Value) -> int:
    """Elements of one image's tensor."""
    assert value.shape is not None
    return math.prod(side for side in list(value.shape)[1:] if isinstance(side, int))
