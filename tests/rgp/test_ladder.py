"""A ladder falls from the ring to the best graph, by regular connected graphs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgp.families import parse, random, ring
from rgp.ladder import ladder


@given(st.sampled_from(["16_4", "16_6", "32_4"]), st.integers(2, 12), st.integers(0, 99))
@settings(max_examples=15)
def test_rungs_are_regular_and_strictly_rising(name: str, rungs: int, seed: int) -> None:
    (best,) = parse(name)
    graphs = ladder(best, rungs, seed)
    assert 2 <= len(graphs) <= rungs
    assert graphs[0] is best
    assert (graphs[-1].adjacency == ring(best.nodes, best.degree).adjacency).all()
    lengths = [graph.aspl for graph in graphs]
    assert all(a < b for a, b in pairwise(lengths))
    assert all(graph.degree == best.degree and graph.parts == 1 for graph in graphs)


def test_rungs_are_spread_over_the_whole_way() -> None:
    lengths = [graph.aspl for graph in ladder(parse("64_16")[0], 20)]
    assert len(lengths) == 20
    assert max(b - a for a, b in pairwise(lengths)) < 3 * (lengths[-1] - lengths[0]) / 19


def test_the_same_seed_gives_the_same_ladder() -> None:
    one, other = (ladder(parse("16_4")[0], 8, 3) for _ in range(2))
    assert all((a.adjacency == b.adjacency).all() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("rungs", [2, 5])
def test_a_ring_as_good_as_any_is_the_only_rung(rungs: int) -> None:
    for best in (random(6, 4), parse("64_36")[0]):
        (only,) = ladder(best, rungs)
        assert (only.adjacency == ring(best.nodes, best.degree).adjacency).all()
