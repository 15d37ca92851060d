"""Full blocks of one size, and the parallel classes among them."""

import math
import time

import numpy as np
import pytest

from rgp.compile.bicliques import biclique_cover
from rgp.families import affine

# (nodes, clique, classes): where there are false lines too, they must be told from those that make classes
PLANES = [(9, 3, 2), (16, 4, 3), (25, 5, 3), (49, 7, 4), (64, 8, 4), (64, 8, 5), (81, 9, 5)]
SPACES = [(27, 3, 4), (27, 3, 5), (64, 4, 3), (64, 4, 5), (81, 3, 5), (256, 4, 5)]


@pytest.mark.parametrize(("nodes", "clique", "classes"), [*PLANES, *SPACES])
def test_lines_are_found_and_sorted_by_direction(nodes: int, clique: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    matrix = affine(nodes, classes * (clique - 1) + 1, classes).adjacency
    matrix = matrix[rng.permutation(nodes)][:, rng.permutation(nodes)]
    found = biclique_cover(matrix, math.inf)
    assert found is not None
    assert len(found) == classes
    covered = np.zeros_like(matrix)
    for rows, columns in found:
        assert rows.shape == columns.shape == (nodes // clique, nodes)
        assert (rows.sum(axis=0) == 1).all()
        assert (columns.sum(axis=0) == 1).all()
        assert (rows.sum(axis=1) == clique).all()
        assert (columns.sum(axis=1) == clique).all()
        covered |= (rows[:, :, None] & columns[:, None]).any(axis=0)
    assert (covered == matrix).all()


def test_one_missing_edge_leaves_no_classes() -> None:
    matrix = affine(64, 15, 2).adjacency.copy()
    matrix[0, np.flatnonzero(matrix[0])[-1]] = False
    assert biclique_cover(matrix, math.inf) is None


def test_one_edge_more_leaves_no_classes() -> None:
    matrix = affine(64, 15, 2).adjacency.copy()
    matrix[0, np.flatnonzero(~matrix[0])[0]] = True
    assert biclique_cover(matrix, math.inf) is None


def test_numbers_of_rows_and_columns_without_a_common_divisor_have_no_parallel_classes() -> None:
    assert biclique_cover(np.tri(8, 9, dtype=bool), math.inf) is None


def test_a_time_that_has_passed_stops_it() -> None:
    with pytest.raises(TimeoutError):
        biclique_cover(affine(64, 15, 2).adjacency, time.monotonic() - 1)
