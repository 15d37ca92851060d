"""The search's inner loops, compiled by numba: random numbers, moves, breadth-first search, annealing.

Why numba and not a C++ extension: the search is run rarely and its results ship (``rgp.library``), so rgp stays
a pure Python package that installs everywhere; numba comes with the extra ``rgp[graph]``. Nothing here uses
floating point or a library's random numbers: a seed gives the same graph on every machine. All of it is one
module, because numba's cache of machine code on disk is renewed when this file changes, not when another does
(``Lift`` is an argument, and its fields' types are part of the cache's key, but not their order: keep that).

Simulated annealing over a lift (``rgp.search.lift``): turn or swap the edges that the group repeats, keep what
shortens paths. The loss is the sum of distances from one node of each orbit (the group carries it to all). Once
that has reached the lower bound, ``spread`` takes its place: the second largest eigenvalue falls with it, and
the spectral gap grows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

from rgp.search.lift import Bits, Ints, Lift

NEVER = 1 << 62
F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile on first use; the machine code is kept for the next process, if there is a place for it."""
    try:
        return cast(F, numba.njit(cache=True)(function))
    except RuntimeError:  # neither the package's folder nor the home can be written
        return cast(F, numba.njit(function))


@compiled
def ones(word: np.uint64) -> int:
    """How many bits of a 64-bit word are set (Warren, *Hacker's Delight*, 5-1); one instruction when compiled."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int(np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56)))


@compiled
def draw(rng: Bits) -> np.uint64:
    """The next 64 random bits of the generator whose state is ``rng`` (1,): SplitMix64 (Steele et al., 2014)."""
    rng[0] += np.uint64(0x9E3779B97F4A7C15)
    bits: np.uint64 = rng[0]
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@compiled
def below(rng: Bits, limit: int) -> int:
    """A random whole number from 0 to ``limit`` - 1."""
    return int(np.int64(((draw(rng) >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)))


@compiled
def surprise(rng: Bits) -> int:
    """-log2 of a random number between 0 and 1, in 1/65536, linear between powers of two."""
    bits = draw(rng)
    zeros = 0
    while zeros < 60 and bits >> np.uint64(63) == 0:
        bits = bits << np.uint64(1)
        zeros += 1
    return (zeros << 16) + 65536 - int(np.int64((bits << np.uint64(1)) >> np.uint64(48)))


@compiled
def join(lift: Lift, x: int, y: int, h: int) -> bool:
    """Mate darts x and y (or x with itself) with voltage h from x; False, and nothing done, if not simple."""
    order = len(lift.times)
    here, there = x // lift.degree, y // lift.degree
    back = lift.inverse[h]
    if here == there and (h == 0 or (h == back) != (x == y)):
        return False
    target = there * order + h
    if (lift.rows[here * order, target >> 6] >> np.uint64(target & 63)) & np.uint64(1):
        return False
    _flip(lift, here, there, h)
    if x != y:
        _flip(lift, there, here, back)
    lift.mate[x], lift.voltage[x] = y, h
    lift.mate[y], lift.voltage[y] = x, back
    return True


@compiled
def part(lift: Lift, x: int) -> None:
    """Take away the edge of dart x and its mate."""
    y = lift.mate[x]
    _flip(lift, x // lift.degree, y // lift.degree, lift.voltage[x])
    if x != y:
        _flip(lift, y // lift.degree, x // lift.degree, lift.voltage[y])


@compiled
def _flip(lift: Lift, here: int, there: int, h: int) -> None:
    order = len(lift.times)
    for g in range(order):
        node = there * order + lift.times[g, h]
        lift.rows[here * order + g, node >> 6] ^= np.uint64(1) << np.uint64(node & 63)


@compiled
def any_voltage(lift: Lift, alone: bool, rng: Bits) -> int:
    """A random voltage: for a dart mated with itself an involution, or 0 (which no dart takes) if there is none."""
    if not alone:
        return below(rng, len(lift.times))
    if len(lift.involutions) == 0:
        return 0
    return int(lift.involutions[below(rng, len(lift.involutions))])


@compiled
def fill(lift: Lift, rng: Bits) -> bool:
    """Mate all darts at random; False if this group and degree seem to admit no graph."""
    darts = len(lift.mate)
    turn = np.arange(darts)
    for _ in range(100):
        lift.rows[:] = 0
        lift.mate[:] = -1
        for i in range(darts - 1, 0, -1):
            j = below(rng, i + 1)
            turn[i], turn[j] = turn[j], turn[i]
        i = 0
        while i < darts:
            if lift.mate[turn[i]] < 0:
                for _ in range(400):
                    y = turn[i + below(rng, darts - i)]
                    if lift.mate[y] < 0 and join(lift, turn[i], y, any_voltage(lift, turn[i] == y, rng)):
                        break
                if lift.mate[turn[i]] < 0:
                    break
            i += 1
        if i == darts:
            return True
    return False


@compiled
def follow(lift: Lift, source: Bits) -> None:
    """Take the edges of ``source`` (N, words), a regular graph, into an empty lift of the group of one element."""
    nodes = len(source)
    used = np.zeros(nodes, np.int64)
    for u in range(nodes):
        for v in range(u + 1, nodes):
            if (source[u, v >> 6] >> np.uint64(v & 63)) & np.uint64(1):
                join(lift, u * lift.degree + used[u], v * lift.degree + used[v], 0)
                used[u] += 1
                used[v] += 1


@compiled
def distances(lift: Lift, limit: int) -> int:
    """Sum of the distances from each orbit's first node; N for a node out of reach. May stop above ``limit``.

    Breadth-first with bits for nodes; the next front is gathered from the smaller side, the present front's
    neighbours or the nodes not yet reached (Beamer et al., 2012).
    """
    nodes, words = lift.rows.shape
    away, front, new = np.empty(words, np.uint64), np.empty(words, np.uint64), np.empty(words, np.uint64)
    last = ~np.uint64(0) >> np.uint64(-nodes & 63)
    total = 0
    for start in range(0, nodes, len(lift.times)):
        for w in range(words):
            front[w] = lift.rows[start, w]
            away[w] = (last if w == words - 1 else ~np.uint64(0)) & ~front[w]
        away[start >> 6] ^= np.uint64(1) << np.uint64(start & 63)
        size, left, step = lift.degree, nodes - 1 - lift.degree, 1
        total += size
        while left > 0:
            step += 1
            new[:] = 0
            outward = size <= left
            for w in range(words):
                bits = front[w] if outward else away[w]
                while bits:
                    lowest = bits & (~bits + np.uint64(1))
                    node = (w << 6) + ones(lowest - np.uint64(1))
                    bits ^= lowest
                    if outward:
                        for k in range(words):
                            new[k] |= lift.rows[node, k]
                    else:
                        for k in range(words):
                            if lift.rows[node, k] & front[k]:
                                new[w] |= lowest
                                break
            size = 0
            for w in range(words):
                front[w] = new[w] & away[w]
                away[w] ^= front[w]
                size += ones(front[w])
            if size == 0:
                total += left * nodes
                break
            total += size * step
            left -= size
        if total > limit:
            return total
    return total


@compiled
def spread(lift: Lift, limit: int) -> int:
    """The trace of (A + c)^4 but for a constant, counted from each orbit's first node; c is the root of d.

    It is the sum of the fourth powers of the eigenvalues, moved so that large ones weigh more than small ones.
    """
    nodes, words = lift.rows.shape
    shift = 1
    while (shift + 1) * (shift + 1) <= lift.degree:
        shift += 1
    total = 0
    for start in range(0, nodes, len(lift.times)):
        for node in range(nodes):
            common = 0
            for w in range(words):
                common += ones(lift.rows[start, w] & lift.rows[node, w])
            joined = int(np.int64((lift.rows[start, node >> 6] >> np.uint64(node & 63)) & np.uint64(1)))
            total += common * (common + 4 * shift * joined)  # paths of length two; and triangles
        if total > limit:
            return total
    return total


@compiled
def loss(lift: Lift, bound: int, at_bound: bool, limit: int) -> int:
    """What annealing lowers: distances; or, ``at_bound``, the spread of graphs whose distances stay there."""
    if not at_bound:
        return distances(lift, limit)
    if distances(lift, bound) > bound:
        return NEVER
    return spread(lift, limit)


@compiled
def anneal(
    lift: Lift, best: Ints, state: Ints, rng: Bits, schedule: Ints, bound: int, at_bound: bool, steps: int
) -> int:
    """Take up to ``steps`` steps and return how many; fewer only if the distances reach ``bound``.

    ``state``: current loss, lowest loss, steps taken so far. ``best`` (2, darts): mates and voltages of the
    lowest. ``schedule``: temperature at first and at last in 1/65536, length in steps: it falls linearly.
    """
    darts = len(lift.mate)
    hot, cold, length = schedule
    for taken in range(steps):
        if not at_bound and state[1] <= bound:
            return taken
        temperature = hot - (hot - cold) * state[2] // length
        state[2] += 1
        limit = state[0] + ((temperature * surprise(rng)) >> 32)
        x, y = below(rng, darts), below(rng, darts)
        x_mate, y_mate = lift.mate[x], lift.mate[y]
        x_voltage, y_voltage = lift.voltage[x], lift.voltage[y]
        if len(lift.times) > 1 and below(rng, 2) == 0:
            y = x  # turn one edge instead of swapping two
        part(lift, x)
        two = y != x and y != x_mate
        if two:
            part(lift, y)
        # the new edges are first[0]-first[1] and second[0]-second[1]; -1: there is no second
        if y == x:
            first, second = (x, x_mate), (-1, -1)
        elif y == x_mate:
            first, second = (x, x), (y, y)  # one edge inside an orbit, or between two, becomes two half edges
        elif x == x_mate and y == y_mate:
            first, second = (x, y), (-1, -1)
        elif x == x_mate:
            first, second = (x, y), (y_mate, y_mate)
        elif y == y_mate:
            first, second = (x, y), (x_mate, x_mate)
        else:
            first, second = (x, y_mate), (y, x_mate)
        kept = join(lift, first[0], first[1], any_voltage(lift, first[0] == first[1], rng))
        if kept and second[0] >= 0:
            kept = join(lift, second[0], second[1], any_voltage(lift, second[0] == second[1], rng))
            if not kept:
                part(lift, first[0])
        if kept:
            now = loss(lift, bound, at_bound, limit)
            if now <= limit:
                state[0] = now
                if now < state[1]:
                    state[1] = now
                    best[0] = lift.mate
                    best[1] = lift.voltage
                continue
            part(lift, first[0])
            if second[0] >= 0:
                part(lift, second[0])
        join(lift, x, x_mate, x_voltage)
        if two:
            join(lift, y, y_mate, y_voltage)
    return steps
