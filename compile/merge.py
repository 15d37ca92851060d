"""Many neighbourhoods merged into few, for lowerings that take few dense convolutions over slices of the input.

Merging costs little where neighbourhoods overlap. Example: round a ring of 64 nodes of degree 16, 8 nodes side by side
read 24 nodes together; 8 such windows are 8 dense convolutions with 24/64 of the MACs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rgp.compile.structure import Part, Structure

MAX_CLASSES = 256
"""Output classes, above which nothing is merged: so many neighbourhoods are no structure, and the search is cubic."""
_USEFUL = 0.9
"""The largest share of the dense MACs that is worth a split."""
_ROUNDS = 20
"""How often every class may move to a better part."""

Sizes = NDArray[np.float64]
"""How many channels each class has."""


def merged(structure: Structure, counts: Sequence[int] = (2, 3, 4, 6, 8)) -> dict[int, tuple[Part, ...]]:
    """For each count, the output classes as so many parts, each with all inputs that it reads; parts by first input.

    The two parts that together cost the fewest MACs more are merged, again and again; then classes move to other
    parts while that costs less. Outputs that read nothing join the part with the fewest inputs. A count is left out
    where its parts have more than 0.9 of the dense MACs or one of them has every input; all are left out where there
    are more than MAX_CLASSES output classes.
    """
    live = structure.degrees > 0
    reads = structure.biadjacency[live]
    if not 2 <= len(reads) <= MAX_CLASSES:
        return {}
    outs = np.bincount(structure.out_class)[live].astype(np.float64)
    ins = np.bincount(structure.in_class).astype(np.float64)
    found = {}
    for count, part_of in _agglomerated(reads, outs, ins, counts).items():
        _refine(part_of, count, reads, outs, ins)
        members = [np.zeros(len(live), bool) for _ in range(count)]
        for part, of_part in enumerate(members):
            of_part[live] = part_of == part
        taken = [np.asarray(structure.biadjacency[of_part].any(axis=0)) for of_part in members]
        members[int(np.argmin([ins[inputs].sum() for inputs in taken]))] |= ~live
        parts = [structure.part(*part) for part in zip(members, taken, strict=True)]
        macs = sum(len(part.outs) * len(part.ins) for part in parts)
        if macs <= _USEFUL * len(structure.out_class) * ins.sum() and not any(inputs.all() for inputs in taken):
            found[count] = tuple(sorted(parts, key=lambda part: (part.ins, part.outs)))
    return found


def _agglomerated(
    reads: NDArray[np.bool_], outs: Sizes, ins: Sizes, counts: Sequence[int]
) -> dict[int, NDArray[np.int64]]:
    """The part of each class (P,) for each of the counts up to P, merging the cheapest pair at each step."""
    taken, sizes = reads.astype(np.float64), outs.copy()
    part_of = np.arange(len(reads))
    widths = taken @ ins
    unions = widths[:, None] + widths - (taken * ins) @ taken.T
    cost = (sizes[:, None] + sizes) * unions - sizes[:, None] * widths[:, None] - sizes * widths
    np.fill_diagonal(cost, np.inf)
    found = {}
    for left in range(len(reads), 0, -1):
        if left in counts:
            found[left] = np.unique(part_of, return_inverse=True)[1]
        if left <= max(2, min(counts)):
            break
        kept, gone = divmod(int(cost.argmin()), len(cost))
        part_of[part_of == gone] = kept
        taken[kept] = np.maximum(taken[kept], taken[gone])
        sizes[kept] += sizes[gone]
        widths[kept] = taken[kept] @ ins
        row = (sizes + sizes[kept]) * (widths + widths[kept] - taken @ (taken[kept] * ins))
        row += -sizes * widths - sizes[kept] * widths[kept]
        row[kept] = np.inf
        finite = np.isfinite(cost[kept])
        finite[gone] = False
        cost[kept] = cost[:, kept] = np.where(finite, row, np.inf)
        cost[gone] = cost[:, gone] = np.inf
    return found


def _refine(part_of: NDArray[np.int64], count: int, reads: NDArray[np.bool_], outs: Sizes, ins: Sizes) -> None:
    """Move one class at a time, in place, to the part where it costs the fewest MACs; a part keeps one class."""
    readers = np.stack([reads[part_of == part].sum(axis=0) for part in range(count)])  # (parts, Q): of each input
    sizes = np.bincount(part_of, weights=outs, minlength=count)
    for _ in range(_ROUNDS):
        moved = False
        for one, here in enumerate(part_of.tolist()):
            if (part_of == here).sum() == 1:
                continue
            readers[here] -= reads[one]
            sizes[here] -= outs[one]
            added = (sizes + outs[one]) * (((readers > 0) | reads[one]) @ ins) - sizes * ((readers > 0) @ ins)
            best = int(added.argmin()) if added.min() < added[here] else here
            part_of[one] = best
            readers[best] += reads[one]
            sizes[best] += outs[one]
            moved |= best != here
        if not moved:
            return
