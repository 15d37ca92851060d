"""Unequal parts packed into equal ones, because the groups of a convolution are all of one size."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rgp.compile.structure import Channels, Part

Size = tuple[int, int]
"""Outputs and inputs."""
_STEPS = 10_000
"""How many places for a part are tried before a number of groups is given up."""


def packed(parts: Sequence[Part], outs: int, ins: int, deadline: float) -> tuple[Part, ...] | None:
    """``parts``, which share no channel, as the most equal parts that have all ``outs`` outputs and ``ins`` inputs.

    Channels of no part fill up what has room. None if not even two equal parts are found; TimeoutError where
    ``time.monotonic()`` passes ``deadline``.
    """
    sizes = [(len(part.outs), len(part.ins)) for part in parts]
    for count in range(len(parts), 1, -1):
        if outs % count or ins % count:
            continue
        room = outs // count, ins // count
        bins = _bins(sizes, count, room, deadline)
        if bins is None:
            continue
        members: list[list[Part]] = [[] for _ in range(count)]
        for part, number in zip(parts, bins, strict=True):
            members[number].append(part)
        full_outs = _filled([[o for part in group for o in part.outs] for group in members], outs, room[0])
        full_ins = _filled([[i for part in group for i in part.ins] for group in members], ins, room[1])
        return tuple(Part(*sides) for sides in zip(full_outs, full_ins, strict=True))
    return None


def _bins(sizes: Sequence[Size], count: int, room: Size, deadline: float) -> list[int] | None:
    """In which of ``count`` bins, each with this room, each size goes: the largest first, each where least is left."""
    order = sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True)
    bins = [-1] * len(sizes)
    with_room: dict[Size, list[int]] = {room: list(range(count))}
    tries: list[list[Size]] = []  # for each item placed: the rooms in which it was not yet tried, the next one last
    before: list[Size] = []  # and the room of its bin before it came
    hopeless: set[object] = set()  # how many items were placed, and how much room was left in how many bins

    def state() -> object:
        return len(before), frozenset((free, len(some)) for free, some in with_room.items() if some)

    for _ in range(_STEPS + len(sizes)):
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(tries) == len(before):
            if len(before) == len(sizes):
                return bins
            o, i = sizes[order[len(before)]]
            fitting = (free for free, some in with_room.items() if some and free[0] >= o and free[1] >= i)
            tries.append([] if state() in hopeless else sorted(fitting, reverse=True))
        item = order[len(tries) - 1]
        if tries[-1]:
            free = tries[-1].pop()
            bins[item] = with_room[free].pop()
            with_room.setdefault((free[0] - sizes[item][0], free[1] - sizes[item][1]), []).append(bins[item])
            before.append(free)
        else:  # take the item before this one out again
            hopeless.add(state())
            tries.pop()
            if not tries:
                return None
            item, free = order[len(tries) - 1], before.pop()
            with_room[free[0] - sizes[item][0], free[1] - sizes[item][1]].remove(bins[item])
            with_room[free].append(bins[item])
    return None


def _filled(groups: list[list[int]], channels: int, size: int) -> list[Channels]:
    """The groups, each made as large as ``size`` with channels that are in none."""
    idle = iter(sorted(set(range(channels)).difference(*groups)))
    return [tuple(sorted([*group, *(next(idle) for _ in range(size - len(group)))])) for group in groups]
