"""A convolution as a sum of grouped ones: its biadjacency covered by few parallel classes.

A parallel class is a partition of all outputs and of all inputs into equally many parts of equal size: one grouped
convolution on permuted channels. Separate parts are one class, an affine graph is one for each direction of its
lines, a ring is two or three that lie side by side. Nothing is known but the zeros.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgp.compile.bicliques import biclique_cover
from rgp.compile.packing import packed
from rgp.compile.structure import Part, Structure
from rgp.compile.windows import MAX_CLASSES, around, window_cover

Class = tuple[Part, ...]
MAX_ORDERED = 512
"""Twin classes on a side, up to which an order for windows is looked for: a singular value decomposition."""
MAX_LOOPED = 1024
"""Twin classes on a side, up to which a missing edge is looked for in each: products of matrices of this size."""


@dataclass(frozen=True)
class Decomposition:
    """Parallel classes in which every connected pair of channels lies, some in several; none where none pay.

    ``exact``: no part has a pair that is not connected. ``why``: one sentence on what was found, or was not.
    """

    classes: tuple[Class, ...]
    exact: bool
    why: str

    @property
    def macs_share(self) -> float:
        """Share of the dense MACs that the classes compute together; 1 if there are none."""
        return sum(1 / len(parts) for parts in self.classes) if self.classes else 1.0


def decompose(structure: Structure, *, seconds: float = 1.0) -> Decomposition:
    """Find the parallel classes with the least MACs, whatever order outputs and inputs are in.

    Exact for separate parts of equal size, and for sums of cliques of three nodes and more in up to about five
    parallel classes, as affine graphs and their products are; of more classes the search may see nothing. A ring, or
    an affine graph without self-loops, has zeros in its parts. The search stops after about ``seconds``; if it ends
    before, the same structure always gives the same classes. Classes and parts are ordered by their first inputs.
    """
    if structure.biadjacency.all() or not structure.biadjacency.any():
        return Decomposition((), False, f"no parallel classes: {structure.describe()}")
    deadline = time.monotonic() + seconds
    support = _support(structure)
    found: list[Decomposition] = []
    refusals: list[str] = []
    for name, search in _SEARCHES.items():
        try:
            classes = search(structure, deadline)
        except TimeoutError:
            refusals.append(f"the search for {name} was stopped")
            break
        if isinstance(classes, str):
            refusals.append(classes)
        elif sum(1 / len(parts) for parts in classes) < 1:
            found.append(_decomposition(classes, support))
            if found[-1].exact:
                break
    if found:
        return min(found, key=lambda one: (one.macs_share, len(one.classes)))
    return Decomposition((), False, f"no cover by parallel classes found within {seconds:g} s: {'; '.join(refusals)}")


def _separate(structure: Structure, deadline: float) -> list[Class] | str:
    """One class of the connected parts, several of them together where they differ in size."""
    if len(structure.parts) < 2:
        return "its channels are all connected"
    parts = packed(structure.parts, *_channels(structure), deadline)
    return [parts] if parts else f"its {len(structure.parts)} separate parts do not make equal groups"


def _windows(structure: Structure, deadline: float) -> list[Class] | str:
    """Classes of windows of the channels in the order that the biadjacency suggests."""
    matrix = structure.biadjacency
    angles = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[1])
    if min(matrix.shape) >= 3 and max(matrix.shape) <= MAX_ORDERED:
        angles = around(matrix)
    order = tuple(
        np.lexsort((of_channel, angle[of_channel]))
        for of_channel, angle in zip((structure.out_class, structure.in_class), angles, strict=True)
    )
    classes = window_cover(_support(structure), (order[0], order[1]), deadline)
    if not classes:
        return f"no order in which equal windows cover it in at most {MAX_CLASSES} classes"
    return [
        tuple(Part(*(tuple(sorted(side.tolist())) for side in pair)) for pair in pairs)  # both sides of a pair
        for pairs in classes
    ]


def _full_blocks(structure: Structure, deadline: float) -> list[Class] | str:
    """Classes of full blocks, as the lines of an affine graph; its self-loops may be missing."""
    matrix = structure.biadjacency
    outs, ins = np.asarray(matrix.any(axis=1)), np.asarray(matrix.any(axis=0))
    cover = biclique_cover(matrix[outs][:, ins], deadline)
    if cover is None and (looped := _with_loops(matrix[outs][:, ins])) is not None:
        cover = biclique_cover(looped, deadline)
    if cover is None and _unequal_twins(structure, outs, ins):  # blocks of equally many channels, not classes
        outputs, inputs = (np.arange(channels) for channels in _channels(structure))
        return _full_blocks(Structure(outputs, inputs, _support(structure)), deadline)
    if cover is None:
        return "no full blocks of one size that cover it in parallel classes"
    classes = []
    for blocks in cover:
        sides = [np.zeros((len(blocks[0]), len(used)), bool) for used in (outs, ins)]
        for side, used, members in zip(sides, (outs, ins), blocks, strict=True):
            side[:, used] = members
        parts = packed([structure.part(*block) for block in zip(*sides, strict=True)], *_channels(structure), deadline)
        if parts is None:
            return f"{len(cover)} parallel classes of full blocks, whose unequal blocks do not make equal groups"
        classes.append(parts)
    return classes


_SEARCHES: dict[str, Callable[[Structure, float], list[Class] | str]] = {
    "separate parts": _separate,
    "windows": _windows,
    "full blocks": _full_blocks,
}


def _with_loops(matrix: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The matrix with one more edge in each row and column, told from the others by its number of 3-walks; or None."""
    if matrix.shape[0] != matrix.shape[1] or len(matrix) > MAX_LOOPED or matrix.all():
        return None
    edges = matrix.astype(np.float64)
    walks = np.where(matrix, np.nan, edges @ edges.T @ edges)
    for extreme in (np.nanmax(walks), np.nanmin(walks)):
        loops = walks == extreme
        if (loops.sum(axis=0) == 1).all() and (loops.sum(axis=1) == 1).all():
            return np.asarray(matrix | loops)
    return None


def _unequal_twins(structure: Structure, outs: NDArray[np.bool_], ins: NDArray[np.bool_]) -> bool:
    """Whether some class of these (P,) and (Q,) has more channels than another on its side."""
    sizes = np.bincount(structure.out_class)[outs], np.bincount(structure.in_class)[ins]
    return any(len(set(side.tolist())) > 1 for side in sizes)


def _support(structure: Structure) -> NDArray[np.bool_]:
    """(O, I): which channel pairs are connected."""
    return structure.biadjacency[np.ix_(structure.out_class, structure.in_class)]


def _channels(structure: Structure) -> tuple[int, int]:
    return len(structure.out_class), len(structure.in_class)


def _decomposition(classes: list[Class], support: NDArray[np.bool_]) -> Decomposition:
    """Put the classes in order, check that they are what they must be, and say what they are."""
    ordered = [tuple(sorted(parts, key=lambda part: part.ins)) for parts in classes]
    ordered.sort(key=lambda parts: (parts[0].ins, parts[0].outs))
    covered = np.zeros_like(support)
    exact = True
    for parts in ordered:
        outs, ins = np.array([part.outs for part in parts]), np.array([part.ins for part in parts])  # equal in size
        assert len(parts) > 1
        assert (np.sort(outs, axis=None) == np.arange(len(support))).all(), "every output once"
        assert (np.sort(ins, axis=None) == np.arange(support.shape[1])).all(), "every input once"
        blocks = outs[:, :, None], ins[:, None]
        exact &= bool(support[blocks].all())
        covered[blocks] = True
    assert (covered >= support).all(), "every connected pair in some class"
    many = f"{len(ordered)} parallel classes" if len(ordered) > 1 else "one parallel class"
    groups = " and ".join(map(str, sorted({len(parts) for parts in ordered})))
    share = sum(1 / len(parts) for parts in ordered)
    why = (
        f"{many} of {groups} parts: {100 * share:.3g}% of the MACs for {100 * support.mean():.3g}% of the channel pairs"
    )
    return Decomposition(tuple(ordered), exact, why)
