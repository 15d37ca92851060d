"""Affine graphs: their cliques, their paths, and a convolution as a sum of grouped ones."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rgp.conv import GraphConv2d
from rgp.errors import GraphError
from rgp.families import affine, parallel_classes, parse, random
from rgp.graph import Graph
from rgp.mixing import mixing_bound, mixing_depth

ORDERS = (2, 3, 4, 5, 7, 8, 9)
PLANES = [(q, k) for q in ORDERS for k in range(2, q + 2)] + [(16, 2), (16, 9), (16, 17)]


def plane(order: int, classes: int, first: int = 0) -> Graph:
    return affine(order**2, classes * (order - 1) + 1, classes, first)


@pytest.mark.parametrize(("order", "classes"), PLANES)
def test_in_a_plane_the_average_path_is_as_short_as_can_be(order: int, classes: int) -> None:
    graph = plane(order, classes)
    assert graph.aspl == pytest.approx(graph.aspl_bound, abs=1e-12)
    assert graph.diameter == (2 if classes <= order else 1)


@given(st.sampled_from(PLANES[:-3]), st.integers(0, 30))
def test_in_a_plane_the_graph_is_strongly_regular(size: tuple[int, int], first: int) -> None:
    graph = plane(*size, first)
    edges = graph.adjacency & ~np.eye(graph.nodes, dtype=bool)
    common = edges.astype(int) @ edges
    distinct = ~np.eye(graph.nodes, dtype=bool)
    assert len(np.unique(common[edges])) == 1  # of two neighbours
    assert len(np.unique(common[~edges & distinct])) <= 1  # of two others (none if the graph is complete)


UNIONS = [
    *(f"affine:{q * q}_{k * (q - 1) + 1}?classes={k}&first={first}" for q, k in PLANES for first in (0, q)),
    "affine:64_16?classes=5&first=20",
    "affine:64_16?classes=15",
    "affine:64_16?classes=1&first=20",
    "affine:64_32?classes=1",
    "affine:32_8?classes=1&first=3",
    "affine:27_9?classes=4&first=1",
    "affine:64_15?classes=5&loops=0",
    "affine:4_2?classes=2&loops=0",
]


@pytest.mark.parametrize("spelling", UNIONS)
def test_the_graph_is_the_sum_of_its_parallel_classes(spelling: str) -> None:
    (graph,) = parse(spelling, connected=False)
    classes = parallel_classes(graph)
    cliques = classes.max() + 1
    size = graph.nodes // cliques
    assert len(classes) * (size - 1) == graph.degree - graph.self_loops
    total = np.zeros((graph.nodes, graph.nodes), dtype=int)
    for line in classes:
        assert np.bincount(line).tolist() == [size] * cliques
        total += line[:, None] == line
    diagonal = np.eye(graph.nodes, dtype=int)
    # no edge lies in two classes, and each node in all of them
    assert np.array_equal(total - len(classes) * diagonal, graph.adjacency & (diagonal == 0))


@pytest.mark.parametrize(("order", "classes"), PLANES)
def test_lines_of_a_graph_in_different_classes_meet_in_exactly_one_point(order: int, classes: int) -> None:
    lines = parallel_classes(plane(order, classes, first=1))
    for i, one in enumerate(lines):
        for other in lines[:i]:
            assert len(set(zip(one.tolist(), other.tolist(), strict=True))) == order**2


def test_a_graph_of_another_family_has_no_parallel_classes() -> None:
    with pytest.raises(GraphError, match=r"random:16_4.seed=0: has no parallel classes"):
        parallel_classes(random(16, 4))


@pytest.mark.parametrize(
    ("spelling", "classes"),
    [
        ("affine:64_15", 2),
        ("affine:64_16", 5),  # AG(3, 4); one class, of cliques of 16, would not connect
        ("affine:64_10", 3),
        ("affine:64_8", 7),  # AG(6, 2)
        ("affine:64_64", 9),
        ("affine:16_4", 1),  # nothing connects
        ("affine:16_5", 4),
        ("affine:64_16?rotate=1", 1),
        ("affine:64_15?rotate=1", 2),
        ("affine:16_6?loops=0", 2),
        ("affine:1024_63", 2),
        ("affine:125_25?rotate=1", 1),
    ],
)
def test_the_fewest_classes_that_connect_are_taken(spelling: str, classes: int) -> None:
    graph = parse(spelling, connected=False)[0]
    assert f"?classes={classes}" in graph.spelling
    assert len(parallel_classes(graph)) == classes


def test_five_classes_of_cliques_of_four_connect_64_nodes_in_two_steps() -> None:
    graph = affine(64, 16)
    assert (graph.spelling, graph.diameter) == ("affine:64_16?classes=5", 2)
    assert graph.aspl == pytest.approx(graph.aspl_bound)


@given(st.integers(0, 10**18 - 1))
def test_a_shift_beyond_the_last_class_begins_again(first: int) -> None:
    assert affine(64, 15, 2, first).spelling == affine(64, 15, 2, first % 9).spelling
    assert np.array_equal(affine(64, 15, 2, first).adjacency, affine(64, 15, 2, first % 9).adjacency)


def test_self_loops_come_unless_they_are_taken_away() -> None:
    looped, bare = affine(64, 15), affine(64, 14, loops=0)
    assert bare.spelling == "affine:64_14?classes=2&loops=0"
    assert (looped.self_loops, bare.self_loops) == (True, False)
    assert np.array_equal(looped.adjacency, bare.adjacency | np.eye(64, dtype=bool))


@pytest.mark.parametrize("order", ORDERS)
def test_rotation_gives_each_parallel_class_once_and_all_together_everything(order: int) -> None:
    graphs = parse(f"affine:{order**2}_{order}?rotate=1")
    assert len(graphs) == order + 1
    assert all(graph.parts == order for graph in graphs)
    together = sum(graph.adjacency.astype(int) for graph in graphs)
    assert np.array_equal(together, np.ones((order**2, order**2)) + order * np.eye(order**2))


@pytest.mark.parametrize(
    ("spelling", "turns"),
    [
        ("affine:64_16?rotate=1", 21),
        ("affine:64_4?rotate=1", 21),
        ("affine:64_15?rotate=1", 9),
        ("affine:64_22?classes=3&rotate=1", 3),  # three classes each, and then all nine have had their turn
        ("affine:64_64?classes=9&rotate=1", 1),
        ("affine:64_2?rotate=1", 63),
        ("affine:128_2?rotate=1", 127),
        ("affine:32_8?rotate=1", 31),
    ],
)
def test_there_are_as_many_turns_as_it_takes_to_begin_again(spelling: str, turns: int) -> None:
    graphs = parse(spelling)
    assert len(graphs) == turns
    assert len({graph.spelling for graph in graphs}) == turns
    assert len({graph.adjacency.tobytes() for graph in graphs}) == turns


def test_classes_that_had_their_turn_wait_until_all_had_theirs() -> None:
    graphs = parse("affine:64_22?classes=3&rotate=1")
    together = sum(graph.adjacency.astype(int) for graph in graphs)
    assert np.array_equal(together, np.ones((64, 64)) + 2 * np.eye(64))


def test_a_rotation_begins_with_the_first_class_that_is_asked_for() -> None:
    spellings = [graph.spelling for graph in parse("affine:16_4?rotate=1&first=2")]
    assert spellings == [
        "affine:16_4?classes=1&first=2",
        "affine:16_4?classes=1&first=3",
        "affine:16_4?classes=1&first=4",
        "affine:16_4?classes=1",
        "affine:16_4?classes=1&first=1",
    ]


@pytest.mark.parametrize(
    ("spelling", "depth"), [("affine:64_8?rotate=1", 2), ("affine:64_4?rotate=1", 3), ("affine:64_2?rotate=1", 6)]
)
def test_layers_in_turn_reach_each_node_in_exactly_one_way(spelling: str, depth: int) -> None:
    graphs = parse(spelling)
    for start in range(len(graphs)):
        ways = np.eye(64, dtype=int)
        for turn in range(start, start + depth):
            ways = graphs[turn % len(graphs)].adjacency.astype(int) @ ways
        assert np.array_equal(ways, np.ones((64, 64))), start


def test_four_groups_of_16_nodes_mix_in_two_layers_at_exactly_a_quarter() -> None:
    graphs = parse("affine:64_16?classes=1&rotate=1")
    for graph, following in zip(graphs, [*graphs[1:], graphs[0]], strict=True):
        assert (graph.parts, graph.density) == (4, 0.25)
        assert (following.adjacency.astype(int) @ graph.adjacency == 4).all()


@pytest.mark.parametrize(("nodes", "clique"), [(4, 2), (16, 4), (64, 8), (9, 3), (64, 16), (32, 8)])
def test_a_masked_convolution_is_a_grouped_one_on_permuted_channels(nodes: int, clique: int) -> None:
    graph = affine(nodes, clique, 1, first=1)
    channels, groups = 2 * nodes, nodes // clique
    masked = GraphConv2d.of(nn.Conv2d(channels, channels, 3, bias=False), torch.from_numpy(graph.adjacency.copy()))
    by_line = torch.from_numpy(np.argsort(np.repeat(parallel_classes(graph)[0], 2), kind="stable"))
    width = channels // groups

    grouped = nn.Conv2d(channels, channels, 3, groups=groups, bias=False)
    sorted_weight = masked.masked_weight().detach()[by_line][:, by_line]
    grouped.weight.data = torch.cat(
        [block[:, i * width :][:, :width] for i, block in enumerate(sorted_weight.chunk(groups))]
    )

    images = torch.randn(2, channels, 6, 6)
    torch.testing.assert_close(masked(images)[:, by_line], grouped(images[:, by_line]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("affine:0_0?rotate=1", "N must be p.n for p in 2, 3, 5 or 7 and n from 2, at most 4096, not 0"),
        ("affine:1_1", "not 1"),
        ("affine:7_3", "not 7"),
        ("affine:36_6", "not 36"),
        ("affine:121_11", "not 121"),
        ("affine:8192_8", "not 8192"),
        ("affine:999999999999999999_8", "not 999999999999999999"),
        ("affine:64_1", "affine:64_1: the degree must be from 2 to N, not 1"),
        ("affine:64_65", "from 2 to N, not 65"),
        ("affine:64_64?loops=0", "from 2 to N-1, not 64"),
        ("affine:81_16", "with 81 nodes d is one more than a multiple of 2: 15 or 17, not 16"),
        ("affine:49_2", "with 49 nodes d is one more than a multiple of 6: 7, not 2"),
        ("affine:25_5?loops=0", "with 25 nodes d is a multiple of 4: 4 or 8, not 5"),
        ("affine:64_16?classes=2", "affine:64_16: classes is one of 1 .cliques of 16., 5 .cliques of 4., 15 .cli"),
        ("affine:64_16?classes=0", "15 .cliques of 2., not 0"),
        ("affine:64_16?classes=2&rotate=1", "not 2"),
        ("affine:32_13?classes=4", "classes is one of 12 .cliques of 2., not 4"),  # flats go one class a layer
        ("affine:16_4", "affine:16_4: not connected: 4 separate parts, .*rotate=1"),
        ("affine:64_8?classes=1", "not connected: 8 separate parts"),
    ],
)
def test_what_does_not_exist_says_what_does(spelling: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        parse(spelling)


@pytest.mark.parametrize(
    ("spelling", "fingerprint"),
    [
        ("affine:16_4?classes=1&first=1", "c5bc9c0f365ea13d"),
        ("affine:64_15?classes=2", "03b9c9cd4dbf6396"),
        ("affine:64_16?classes=1&first=2", "c49b2c5185d6a843"),
        ("affine:64_22?classes=7", "234e19cc7a554ebc"),
        ("affine:81_17?classes=8", "b8087cf5d1335da0"),
    ],
)
def test_a_spelling_still_means_the_graph_that_checkpoints_name(spelling: str, fingerprint: str) -> None:
    (graph,) = parse(spelling, connected=False)
    assert graph.spelling == spelling
    assert hashlib.sha256(np.packbits(graph.adjacency).tobytes()).hexdigest()[:16] == fingerprint


@pytest.mark.parametrize(
    "spelling", ["affine:128_16?classes=1&rotate=1", "affine:243_27?rotate=1", "affine:256_2?rotate=1"]
)
def test_a_rotation_that_begins_again_still_mixes_as_fast_as_can_be(spelling: str) -> None:
    graphs = parse(spelling)
    assert len(graphs) > 64
    assert mixing_depth(graphs) == mixing_bound(graphs)
