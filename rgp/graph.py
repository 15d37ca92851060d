"""Regular graphs on channel groups: what they are, how good they are, how they lie on disk.

Source: RGP (arXiv 2110.15192), section III. A node is a group of channels; row i of the adjacency says which
input groups output group i reads. All published matrices are symmetric with an empty diagonal; self-loops
(graph2nn, arXiv 2007.06559) are allowed on all nodes or none.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rgp.errors import GraphError
from rgp.files import written_whole

MAX_NODES = 4096


@dataclass(frozen=True, eq=False)
class Graph:
    """An immutable d-regular undirected graph on N nodes.

    ``adjacency``: (N, N) bool, read-only. ``spelling``: how it was made, as ``rgp.families.parse`` reads it.
    It may consist of separate parts, as one of several graphs that layers take in turn and that mix together.

    >>> Graph.of([[0, 1, 1], [1, 0, 1], [1, 1, 0]]).aspl
    1.0
    """

    adjacency: NDArray[np.bool_]
    spelling: str

    @classmethod
    def of(cls, matrix: ArrayLike, spelling: str = "matrix") -> Graph:
        """Check ``matrix`` (N, N) and make a graph of it; raises GraphError that says what is wrong and where."""
        try:
            values = np.asarray(matrix)
        except ValueError as error:  # rows of different lengths
            raise GraphError(f"{spelling}: not a matrix ({error}): give (N, N)") from error
        if values.ndim != 2 or values.shape[0] != values.shape[1]:
            raise GraphError(f"{spelling}: the matrix is not square: its shape is {values.shape}, give (N, N)")
        if not 2 <= len(values) <= MAX_NODES:
            raise GraphError(f"{spelling}: {len(values)} nodes, give 2 to {MAX_NODES}")
        if values.dtype.kind not in "biuf":
            raise GraphError(f"{spelling}: the matrix holds {values.dtype}, give numbers 0 and 1")
        _check_entries(values, spelling)
        adjacency = values.astype(bool)
        adjacency.setflags(write=False)
        return cls(adjacency, spelling)

    @classmethod
    def load(cls, path: Path) -> Graph:
        """Read a square 0/1 matrix from a ``.npy`` file (the published ones load as they are)."""
        return cls.of(_read_npy(path), str(path))

    def save(self, path: Path) -> None:
        """Write the adjacency as uint8 ``.npy``."""
        with written_whole(path) as file:
            np.save(file, self.adjacency.astype(np.uint8))

    @property
    def nodes(self) -> int:
        """N."""
        return len(self.adjacency)

    @property
    def degree(self) -> int:
        """Input groups that each output group reads, a self-loop included."""
        return int(self.adjacency[0].sum())

    @property
    def self_loops(self) -> bool:
        """Whether each node sees itself."""
        return bool(self.adjacency[0, 0])

    @property
    def density(self) -> float:
        """degree / nodes: the share of a masked convolution's MACs that remains."""
        return self.degree / self.nodes

    @cached_property
    def parts(self) -> int:
        """Number of connected components."""
        return count_parts(self.adjacency)

    @cached_property
    def distances(self) -> NDArray[np.int16]:
        """(N, N) shortest path lengths, -1 where there is no path: breadth-first from all nodes at once."""
        neighbours = np.nonzero(self.adjacency)[1].reshape(self.nodes, self.degree)
        distance = np.where(np.eye(self.nodes, dtype=bool), 0, -1).astype(np.int16)
        reached = np.packbits(distance == 0, axis=1)  # row i: the nodes within `step` of node i, a bit each
        for step in range(1, self.nodes):
            grown = reached.copy()
            for column in neighbours.T:
                grown |= reached[column]
            new = grown ^ reached
            if not new.any():
                break
            distance[np.unpackbits(new, axis=1, count=self.nodes).view(bool)] = step
            reached = grown
        distance.setflags(write=False)
        return distance

    @property
    def aspl(self) -> float:
        """Average shortest path length over ordered pairs of distinct nodes; inf if not connected."""
        if self.parts > 1:
            return float("inf")
        return float(self.distances.sum(dtype=np.int64) / (self.nodes * (self.nodes - 1)))

    @property
    def diameter(self) -> float:
        """The longest shortest path; inf if not connected."""
        return float(self.distances.max()) if self.parts == 1 else float("inf")

    @property
    def aspl_bound(self) -> float:
        """Lower bound on the ASPL of any graph with these nodes and neighbours (Cerf et al., 1974)."""
        return aspl_bound(self.nodes, self.degree - self.self_loops)

    @property
    def gap_percent(self) -> float:
        """By how much the ASPL exceeds its lower bound; inf where the graph is not connected."""
        return float("inf") if self.parts > 1 else 100 * (self.aspl / self.aspl_bound - 1)

    @property
    def clustering(self) -> float:
        """Mean over nodes of the share of neighbour pairs that are joined (0 below two neighbours)."""
        triangles, pairs = self._triangles
        return float(np.divide(triangles, pairs, out=np.zeros_like(triangles), where=pairs > 0).mean())

    @property
    def transitivity(self) -> float:
        """Share of paths of length two that close to a triangle."""
        triangles, pairs = self._triangles
        return float(triangles.sum() / pairs.sum()) if pairs.sum() else 0.0

    @property
    def spectral_gap(self) -> float:
        """degree minus the second largest eigenvalue: larger mixes faster; 0 if not connected."""
        if self.parts > 1:
            return 0.0
        return max(0.0, float(self.degree - self.eigenvalues[-2]))

    @cached_property
    def eigenvalues(self) -> NDArray[np.float64]:
        """(N,): those of the adjacency, from the least to the degree."""
        return np.linalg.eigvalsh(self.adjacency.astype(float))

    @cached_property
    def _triangles(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Per node: triangles through it, and pairs of its neighbours."""
        edges = self.adjacency.astype(np.float32)  # counts of common neighbours are exact in it
        np.fill_diagonal(edges, 0)
        neighbours = edges.sum(1, dtype=float)
        return ((edges @ edges) * edges).sum(1, dtype=float) / 2, neighbours * (neighbours - 1) / 2


def count_parts(matrix: NDArray[np.bool_]) -> int:
    """Number of connected components of a symmetric (N, N) matrix, which need not be regular."""
    left = np.ones(len(matrix), dtype=bool)
    parts = 0
    while left.any():
        parts += 1
        new = np.arange(len(matrix)) == left.argmax()
        while new.any():
            left &= ~new
            new = matrix[new].any(0) & left
    return parts


def best_distances(nodes: int, neighbours: int) -> tuple[int, ...]:
    """How many nodes lie at distance 1, 2, ... of a node at best: d(d-1)^(i-1), until all N-1 are used up."""
    counts: list[int] = []
    left, here = nodes - 1, neighbours
    while left and here:
        counts.append(min(left, here))
        left, here = left - counts[-1], here * (neighbours - 1)
    return tuple(counts)


def aspl_bound(nodes: int, neighbours: int) -> float:
    """The ASPL if all nodes lay as in ``best_distances``; inf if that leaves some out (d = 1, N > 2)."""
    counts = best_distances(nodes, neighbours)
    if sum(counts) < nodes - 1:
        return float("inf")
    return sum(distance * count for distance, count in enumerate(counts, 1)) / (nodes - 1)


def _check_entries(values: NDArray[np.generic], spelling: str) -> None:
    wrong = np.argwhere((values != 0) & (values != 1))
    if len(wrong):
        i, j = wrong[0]
        raise GraphError(f"{spelling}: entry ({i}, {j}) is {values[i, j]}, give only 0 and 1")
    wrong = np.argwhere(values != values.T)
    if len(wrong):
        i, j = wrong[0]
        raise GraphError(f"{spelling}: not symmetric: ({i}, {j}) is {values[i, j]} but ({j}, {i}) is {values[j, i]}")
    degrees = values.astype(np.int64).sum(1)
    if (degrees != degrees[0]).any():
        i = int(np.argmax(degrees != degrees[0]))
        raise GraphError(f"{spelling}: not regular: node 0 has {degrees[0]} edges but node {i} has {degrees[i]}")
    if degrees[0] == 0:
        raise GraphError(f"{spelling}: no edges at all: each node needs at least one")
    loops = np.diagonal(values) != 0
    if loops.any() and not loops.all():
        i = int(np.argmax(loops != loops[0]))
        raise GraphError(f"{spelling}: nodes 0 and {i} differ in self-loops: give one to every node or to none")


def _read_npy(path: Path) -> NDArray[np.generic]:
    """Read a small .npy without pickle, its declared size checked before any memory is taken."""
    try:
        if not path.is_dir() and not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            raise GraphError(f"{path}: not a regular file: give one that numpy.save wrote")
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            elif version == (2, 0):
                shape, _, dtype = np.lib.format.read_array_header_2_0(file)
            else:  # 3.0 exists for the field names of structured arrays alone
                raise GraphError(
                    f"{path}: .npy version {version[0]}.{version[1]} is no plain matrix: save it with numpy.save"
                )
            if max(shape, default=0) > MAX_NODES or len(shape) > 2:
                raise GraphError(f"{path}: shape {shape} is no (N, N) matrix with N <= {MAX_NODES}")
            if dtype.hasobject or path.stat().st_size < file.tell() + int(np.prod(shape)) * dtype.itemsize:
                raise GraphError(f"{path}: truncated, or holds Python objects: save it with numpy.save again")
            file.seek(0)
            return np.asarray(np.load(file, allow_pickle=False))
    except (GraphError, OSError):
        raise
    except Exception as error:  # numpy's header parser raises whatever it likes on hostile bytes
        raise GraphError(f"{path}: not a .npy matrix ({error}): save it with numpy.save") from error
