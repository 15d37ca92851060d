"""Graph: its checks, its measures against networkx, its files."""

from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.errors import GraphError
from rgp.families import affine, random, ring
from rgp.graph import MAX_NODES, Graph, aspl_bound, count_parts

SQUARE = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])  # the cycle of four nodes


@st.composite
def regular_matrices(draw: st.DrawFn) -> NDArray[np.uint8]:
    """A regular graph, connected or not, with self-loops or without."""
    nodes = draw(st.integers(2, 24))
    degree = draw(st.integers(1, nodes - 1).filter(lambda degree: nodes * degree % 2 == 0))
    graph = nx.random_regular_graph(degree, nodes, seed=draw(st.integers(0, 2**32 - 1)))
    matrix: NDArray[np.uint8] = nx.to_numpy_array(graph, nodelist=range(nodes)).astype(np.uint8)
    return matrix | np.eye(nodes, dtype=np.uint8) if draw(st.booleans()) else matrix


@given(regular_matrices())
def test_measures_equal_those_of_networkx(matrix: NDArray[np.uint8]) -> None:
    graph = Graph.of(matrix)
    known = nx.from_numpy_array(matrix)
    known.remove_edges_from(list(nx.selfloop_edges(known)))  # networkx counts a loop as a neighbour in clustering

    assert graph.nodes == len(matrix)
    assert graph.degree == matrix[0].sum()
    assert graph.self_loops == bool(matrix[0, 0])
    assert graph.parts == nx.number_connected_components(known)
    assert graph.clustering == pytest.approx(nx.average_clustering(known))
    assert graph.transitivity == pytest.approx(nx.transitivity(known))
    if nx.is_connected(known):
        assert graph.aspl == pytest.approx(nx.average_shortest_path_length(known))
        assert graph.diameter == nx.diameter(known)
    else:
        assert graph.aspl == graph.diameter == math.inf
        assert graph.spectral_gap == pytest.approx(0, abs=1e-9)


@given(regular_matrices())
def test_distances_equal_those_of_networkx_pair_by_pair(matrix: NDArray[np.uint8]) -> None:
    known = dict(nx.all_pairs_shortest_path_length(nx.from_numpy_array(matrix)))
    expected = [[known[i].get(j, -1) for j in range(len(matrix))] for i in range(len(matrix))]
    assert Graph.of(matrix).distances.tolist() == expected


@given(regular_matrices())
def test_no_graph_beats_the_bound(matrix: NDArray[np.uint8]) -> None:
    graph = Graph.of(matrix)
    assert 1 <= graph.aspl_bound <= graph.aspl + 1e-12


@pytest.mark.parametrize(
    ("nodes", "neighbours", "bound"),
    [
        (64, 4, 2.857),
        (64, 6, 2.333),
        (64, 8, 1.873),
        (64, 10, 1.841),
        (64, 12, 1.810),
        (64, 14, 1.778),
        (64, 16, 1.746),
        (64, 24, 1.619),
        (64, 30, 1.5238),
        (64, 36, 1.4286),
        (16, 4, 1.733),
    ],
)
def test_the_bound_is_the_published_one(nodes: int, neighbours: int, bound: float) -> None:
    assert aspl_bound(nodes, neighbours) == pytest.approx(bound, abs=5e-4)


@pytest.mark.parametrize(
    ("nodes", "neighbours", "bound"),
    [
        (2, 1, 1.0),  # one edge
        (5, 4, 1.0),  # complete
        (5, 2, 1.5),  # two nodes at distance 1, two at 2
        (10, 3, 15 / 9),  # three at 1, six at 2: Petersen's graph reaches it
        (11, 3, 18 / 10),  # and one at 3
        (4, 1, math.inf),  # edges that no path leaves
        (4, 0, math.inf),
    ],
)
def test_the_bound_follows_from_counting_by_hand(nodes: int, neighbours: int, bound: float) -> None:
    assert aspl_bound(nodes, neighbours) == pytest.approx(bound)


def test_petersens_graph_has_the_values_in_the_textbooks() -> None:
    graph = Graph.of(nx.to_numpy_array(nx.petersen_graph()))
    assert (graph.nodes, graph.degree, graph.density, graph.parts) == (10, 3, 0.3, 1)
    assert graph.aspl == graph.aspl_bound == pytest.approx(15 / 9)
    assert (graph.diameter, graph.clustering, graph.transitivity) == (2, 0, 0)
    assert graph.spectral_gap == pytest.approx(3 - 1)  # its eigenvalues are 3, 1 and -2


def test_a_self_loop_counts_as_input_and_not_as_neighbour() -> None:
    bare, looped = Graph.of(SQUARE), Graph.of(SQUARE | np.eye(4, dtype=int))
    assert (bare.degree, looped.degree) == (2, 3)
    assert bare.aspl == looped.aspl
    assert bare.aspl_bound == looped.aspl_bound
    assert bare.spectral_gap == pytest.approx(looped.spectral_gap)


@pytest.mark.parametrize("nodes", [7, 8, 9, 15, 16, 17, 63, 64, 65])  # distances are kept eight nodes to a byte
def test_the_longest_way_round_a_ring_is_half_of_it(nodes: int) -> None:
    graph = ring(nodes, 2)
    assert graph.diameter == nodes // 2
    assert graph.distances[0].tolist() == [min(i, nodes - i) for i in range(nodes)]


def test_a_large_ring_has_the_diameter_of_its_half() -> None:
    assert ring(1024, 2).diameter == 512  # cubic work a step would take minutes here


def test_a_graph_cannot_be_changed() -> None:
    matrix = SQUARE.copy()
    graph = Graph.of(matrix)
    matrix[0, 1] = 0
    assert graph.adjacency[0, 1]
    with pytest.raises(ValueError, match="read-only"):
        graph.adjacency[0, 1] = False
    with pytest.raises(ValueError, match="read-only"):
        graph.distances[0, 1] = 7
    with pytest.raises(AttributeError):
        graph.spelling = "other"  # type: ignore[misc]


def changed(*entries: tuple[int, int, float]) -> NDArray[np.float64]:
    matrix = SQUARE.astype(float)
    for i, j, value in entries:
        matrix[i, j] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (SQUARE[:3], r"the matrix is not square: its shape is \(3, 4\)"),
        (SQUARE[0], r"the matrix is not square: its shape is \(4,\)"),
        (SQUARE[None], r"the matrix is not square: its shape is \(1, 4, 4\)"),
        ([], r"the matrix is not square: its shape is \(0,\)"),
        (3, r"the matrix is not square: its shape is \(\)"),
        ([[0, 1], [1]], "not a matrix"),
        (np.zeros((0, 0)), "0 nodes, give 2 to 4096"),
        ([[0]], "1 nodes, give 2 to 4096"),
        (np.zeros((MAX_NODES + 1, MAX_NODES + 1), bool), "4097 nodes, give 2 to 4096"),
        ([["0", "1"], ["1", "0"]], "the matrix holds <U1, give numbers 0 and 1"),
        ([[0, None], [None, 0]], "the matrix holds object"),
        (SQUARE.astype(complex), "the matrix holds complex128"),
        (changed((1, 2, 2)), r"entry \(1, 2\) is 2.0, give only 0 and 1"),
        (changed((1, 2, 0.5)), r"entry \(1, 2\) is 0.5"),
        (changed((1, 2, -1)), r"entry \(1, 2\) is -1.0"),
        (changed((1, 2, np.nan)), r"entry \(1, 2\) is nan"),
        (changed((1, 2, np.inf)), r"entry \(1, 2\) is inf"),
        (changed((1, 2, 0)), r"not symmetric: \(1, 2\) is 0.0 but \(2, 1\) is 1.0"),
        (changed((1, 2, 0), (2, 1, 0)), "not regular: node 0 has 2 edges but node 1 has 1"),
        (changed((0, 2, 1), (2, 0, 1)), "not regular: node 0 has 3 edges but node 1 has 2"),
        (np.zeros((4, 4)), "no edges at all"),
        # regular if loops count, but only nodes 0 and 3 have one
        ([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]], "nodes 0 and 1 differ in self-loops"),
    ],
)
def test_what_is_no_regular_graph_is_refused_with_its_own_reason(matrix: object, message: str) -> None:
    with pytest.raises(GraphError, match=f"^here: {message}") as caught:
        Graph.of(matrix, "here")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("matrix", "parts"),
    [
        (SQUARE, 1),
        ([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], 2),
        (np.kron(np.eye(3), np.ones((2, 2))), 3),
        (np.eye(4), 4),
    ],
)
def test_separate_parts_are_counted_and_no_path_joins_them(matrix: object, parts: int) -> None:
    graph = Graph.of(matrix)  # type: ignore[arg-type]
    assert graph.parts == parts
    assert (graph.aspl == math.inf) == (graph.diameter == math.inf) == (parts > 1)


def test_parts_are_counted_in_a_matrix_that_is_not_regular() -> None:
    assert count_parts(np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], bool)) == 2


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_])
def test_a_matrix_of_any_number_type_loads(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "g.npy", SQUARE.astype(dtype))
    graph = Graph.load(tmp_path / "g.npy")
    assert graph.adjacency.dtype == bool
    assert np.array_equal(graph.adjacency, SQUARE)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda matrix: matrix.astype(">i8")])
def test_a_matrix_in_another_memory_order_loads(tmp_path: Path, layout: type) -> None:
    np.save(tmp_path / "g.npy", layout(SQUARE))
    assert np.array_equal(Graph.load(tmp_path / "g.npy").adjacency, SQUARE)


@given(st.sampled_from([ring(5, 2), ring(64, 16), random(24, 5, seed=3), affine(16, 7)]))
def test_a_saved_graph_loads_as_it_was(tmp_path_factory: pytest.TempPathFactory, graph: Graph) -> None:
    path = tmp_path_factory.mktemp("graph") / "new folder" / "g.npy"
    graph.save(path)
    assert np.array_equal(Graph.load(path).adjacency, graph.adjacency)
    assert np.load(path).dtype == np.uint8


def npy(shape: tuple[int, ...], descr: str = "<f8", version: tuple[int, int] = (1, 0), data: bytes = b"") -> bytes:
    """A .npy file that declares ``shape`` and holds ``data``."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    width = 2 if version == (1, 0) else 4
    return b"\x93NUMPY" + bytes(version) + len(header).to_bytes(width, "little") + header + data


class Sentinel:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def saved(array: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a .npy matrix"),
        (b"0 1\n1 0\n", "not a .npy matrix"),
        (b"\x93NUMPY", "not a .npy matrix"),
        (saved(SQUARE)[:60], "not a .npy matrix"),
        (saved(SQUARE)[:-1], "truncated"),
        (npy((4, 4)), "truncated"),
        (npy((4, 4), version=(2, 0)), "truncated"),
        (npy((4, 4), version=(3, 0), data=bytes(128)), "version 3.0 is no plain matrix"),
        (npy((4, 4), version=(9, 0), data=bytes(128)), "version 9.0 is no plain matrix"),
        (npy((1 << 40, 1 << 40)), "is no .N, N. matrix with N <= 4096"),
        (npy((10**30, 10**30)), "is no .N, N. matrix with N <= 4096"),
        (npy((4096, 4096)), "truncated"),
        (npy((2, 2, 2), data=bytes(64)), "is no .N, N. matrix"),
        (npy((-4, -4), data=bytes(128)), "not a .npy matrix"),
        (npy((4, 4), descr="<f9", data=bytes(200)), "not a .npy matrix"),
        (npy((4, 4), descr="|O", data=bytes(200)), "holds Python objects"),
        (npy((2, 2), descr="|S4", data=bytes(16)), "the matrix holds .S4"),
    ],
)
def test_a_file_that_is_no_matrix_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "g.npy"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=message) as caught:
        Graph.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_pickled_matrix_is_refused_and_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    np.save(tmp_path / "g.npy", np.array([[Sentinel(trace)]], object), allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Sentinel(trace)))
    for name in ("g.npy", "pickle.npy"):
        with pytest.raises(GraphError):
            Graph.load(tmp_path / name)
    assert not trace.exists()


@given(data=st.data())
def test_a_damaged_file_raises_nothing_but_a_graph_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(saved(SQUARE))
    for place, byte in data.draw(st.dictionaries(st.integers(0, 127), st.integers(0, 255), min_size=1)).items():
        content[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(GraphError):
        Graph.load(path)


# ASPL of M0 (least) and of the last matrix, the ring: ../shared/facts/rgp.md, section "The published matrices"
PUBLISHED = {
    "64/4": (3.0456, 8.381),
    "64/6": (2.4087, 5.762),
    "64/8": (2.1285, 4.444),
    "64/10": (1.9499, 3.667),
    "64/12": (1.8477, 3.143),
    "64/14": (1.7842, 2.778),
    "64/16": (1.7460, 2.476),
    "64/24": (1.619, None),
    "64/30": (1.5238, None),
    "64/36": (1.4286, None),
    "16/4": (1.75, 2.40),
}


@pytest.mark.parametrize("folder", PUBLISHED)
def test_the_published_matrices_measure_as_published(shared_data: Path, folder: str) -> None:
    files = sorted((shared_data / "adjacency" / folder).glob("M*.npy"), key=lambda path: int(path.stem[1:]))
    best, last = Graph.load(files[0]), Graph.load(files[-1])
    nodes, degree = map(int, folder.split("/"))
    for graph in map(Graph.load, files):
        assert (graph.nodes, graph.degree, graph.self_loops) == (nodes, degree, False)
        assert best.aspl <= graph.aspl <= last.aspl
    least, most = PUBLISHED[folder]
    assert best.aspl == pytest.approx(least, abs=5e-4)
    if most is None:
        assert best.aspl == pytest.approx(best.aspl_bound)
    else:
        assert last.aspl == pytest.approx(most, abs=5e-4)
        assert last.aspl == pytest.approx(ring(nodes, degree).aspl)


@pytest.mark.parametrize("name", ["64_4", "64_36"])
def test_the_published_tables_agree_on_every_measure(shared_data: Path, name: str) -> None:
    folder = shared_data / "adjacency"
    compared = 0
    for line in (folder / f"{name}_information.csv").read_text().splitlines()[1:]:
        _, _, _, where, *measures = line.split(", ")
        path = folder / where.replace("\\", "/").removeprefix("Adjacency/")
        if path.exists():
            graph = Graph.load(path)
            assert (graph.aspl, graph.clustering, graph.transitivity) == pytest.approx(tuple(map(float, measures)))
            compared += 1
    assert compared >= 2
