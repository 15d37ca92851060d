"""What is found for the smallest form holds for the layer, however many channels it has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgp.blocks import node_of_channel
from rgp.compile import reduced
from rgp.compile.parallel_classes import Decomposition, decompose
from rgp.compile.reduced import decomposition, merged_neighbourhoods
from rgp.compile.structure import Structure
from rgp.families import parse


def structure(graph: str, outs: int, ins: int, seed: int) -> Structure:
    (first, *_) = parse(graph, connected=False)
    rng = np.random.default_rng(seed)
    rows, columns = (rng.permutation(node_of_channel(channels, first.nodes)) for channels in (outs, ins))
    return Structure.of(first.adjacency[np.ix_(rows, columns)][:, :, None, None].astype(np.float32))


@settings(max_examples=25, deadline=None)
@given(
    graph=st.sampled_from(
        ["affine:16_4", "affine:16_7", "ring:16_5?loops=1", "product:random:8_3x2", "affine:9_5", "16_4"]
    ),
    outs=st.sampled_from([16, 18, 32, 48, 50]),
    ins=st.sampled_from([16, 18, 32, 48, 50]),
    seed=st.integers(0, 99),
)
def test_every_connected_pair_is_covered_whatever_the_channels(graph: str, outs: int, ins: int, seed: int) -> None:
    given_structure = structure(graph, outs, ins, seed)
    support = given_structure.biadjacency[np.ix_(given_structure.out_class, given_structure.in_class)]
    found = decomposition(given_structure)
    covers = [found.classes[i : i + len(found.classes)] for i in range(1 if found.classes else 0)]
    for terms in [*covers, *((parts,) for parts in merged_neighbourhoods(given_structure).values())]:
        covered = np.zeros_like(support)
        for part in (part for term in terms for part in term):
            covered[np.ix_(part.outs, part.ins)] = True
        assert not (support & ~covered).any()
        for term in terms:
            assert sorted(channel for part in term for channel in part.outs) == list(range(outs))
    for term in found.classes:
        assert len({(len(part.outs), len(part.ins)) for part in term}) == 1
        assert sorted(channel for part in term for channel in part.ins) == list(range(ins))


def test_layers_that_differ_in_channels_only_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[Structure] = []

    def counted(small: Structure) -> Decomposition:
        searched.append(small)
        return decompose(small)

    monkeypatch.setattr(reduced, "decompose", counted)
    reduced._decomposed.cache_clear()
    for channels in (16, 32, 64, 128):
        decomposition(
            Structure.of(np.kron(parse("affine:16_7")[0].adjacency, np.ones((channels // 16, channels // 8))))
        )
    assert len({small.biadjacency.tobytes() for small in searched}) == len(searched)
    assert len(searched) == 1
    reduced._decomposed.cache_clear()
