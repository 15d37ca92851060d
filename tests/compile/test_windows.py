"""Windows of an order: the fewest block permutations that have every edge."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.compile.windows import MAX_CLASSES, around, window_cover

NEVER = math.inf


def natural(size: int) -> np.ndarray:
    return np.arange(size)


@given(st.integers(2, 24), st.integers(1, MAX_CLASSES), st.integers(0, 2**32 - 1))
def test_a_graph_of_few_edges_is_as_many_permutations_as_its_degree(nodes: int, degree: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    support = np.logical_or.reduce([np.eye(nodes, dtype=bool)[rng.permutation(nodes)] for _ in range(degree)])
    found = window_cover(support, (natural(nodes), natural(nodes)), NEVER)
    most = max(support.sum(axis=0).max(), support.sum(axis=1).max())
    if most < nodes:
        assert len(found) <= MAX_CLASSES
        assert sum(1 / len(pairs) for pairs in found) <= most / nodes + 1e-9
    covered = np.zeros_like(support)
    for pairs in found:
        assert sorted(int(out) for outs, _ in pairs for out in outs) == list(range(nodes))
        assert sorted(int(one) for _, ins in pairs for one in ins) == list(range(nodes))
        for outs, ins in pairs:
            covered[np.ix_(outs, ins)] = True
    assert not found or (covered >= support).all()


@pytest.mark.parametrize("shift", [0, 1, 5])
def test_a_shifted_block_diagonal_is_one_class(shift: int) -> None:
    support = np.roll(np.kron(np.eye(4, dtype=bool), np.ones((3, 6), bool)), shift, axis=1)
    (pairs,) = window_cover(support, (natural(12), natural(24)), NEVER)
    assert len(pairs) == 4
    for outs, ins in pairs:
        assert support[np.ix_(outs, ins)].all()


def test_more_classes_than_the_most_are_no_cover() -> None:
    nodes = 11  # a prime: one node a window, or nothing
    circle = np.add.outer(natural(nodes), natural(nodes)) % nodes
    assert len(window_cover(circle < MAX_CLASSES, (natural(nodes), natural(nodes)), NEVER)) == MAX_CLASSES
    assert window_cover(circle < MAX_CLASSES + 1, (natural(nodes), natural(nodes)), NEVER) == []


def test_the_angles_run_once_round_a_ring() -> None:
    nodes = 40
    apart = np.subtract.outer(natural(nodes), natural(nodes)) % nodes
    ring = np.isin(apart, [0, 1, 2, 3, nodes - 1, nodes - 2, nodes - 3])
    outs, ins = np.random.default_rng(0).permutation(nodes), np.random.default_rng(1).permutation(nodes)
    rows, columns = around(ring[outs][:, ins])
    for node_of, angles in ((outs, rows), (ins, columns)):
        steps = np.diff(node_of[np.argsort(angles)]) % nodes
        assert set(steps.tolist()) in ({1}, {nodes - 1})


def test_a_time_that_has_passed_stops_it() -> None:
    with pytest.raises(TimeoutError):
        window_cover(np.eye(4, dtype=bool), (natural(4), natural(4)), deadline=-math.inf)
