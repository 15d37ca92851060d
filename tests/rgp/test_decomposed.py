"""DecomposedConv2d: cliques found, the same outputs, gradients and training as the masked form, nothing lost."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from rgp.conv import GraphConv2d
from rgp.decomposed import DecomposedConv2d, clique_classes
from rgp.errors import PruneError
from rgp.families import parallel_classes, parse
from tests.rgp.masked_layers import adjacency_of, masked

# spelling -> classes: separate cliques, their second class, lines of planes, of a space, of every class but one
GRAPHS = {
    "affine:4_2?classes=1": 1,
    "affine:4_2?classes=1&first=1": 1,
    "affine:4_3": 2,
    "affine:8_4?classes=3": 3,
    "affine:9_5": 2,
    "affine:9_7?first=2": 3,
    "affine:16_4?first=3&classes=1": 1,
    "affine:16_7?classes=2": 2,
}


def both(conv: GraphConv2d) -> tuple[GraphConv2d, DecomposedConv2d]:
    return copy.deepcopy(conv), DecomposedConv2d.of(copy.deepcopy(conv))


def covers(classes: NDArray[np.int64], adjacency: NDArray[np.bool_]) -> bool:
    """Whether the cliques, of one size, have each edge once and each self-loop in every class."""
    count = np.zeros(adjacency.shape, dtype=int)
    for clique_of in classes:
        assert len(set(np.bincount(clique_of).tolist())) == 1
        for clique in set(clique_of.tolist()):
            count[np.ix_(clique_of == clique, clique_of == clique)] += 1
    return bool((count == adjacency + (len(classes) - 1) * np.eye(len(adjacency), dtype=int)).all())


@pytest.mark.parametrize("spelling", [*GRAPHS, "affine:64_8?classes=1", "affine:64_16?classes=5", "affine:81_33"])
def test_the_parallel_classes_of_an_affine_graph_are_found_in_its_adjacency_alone(spelling: str) -> None:
    (graph,) = parse(spelling, connected=False)
    classes, expected = clique_classes(graph.adjacency), parallel_classes(graph)
    assert classes is not None
    assert classes.shape == expected.shape == (GRAPHS.get(spelling, len(classes)), graph.nodes)
    assert covers(classes, graph.adjacency)


@given(groups=st.integers(1, 6), clique=st.integers(1, 5), seed=st.integers(0, 100))
def test_separate_cliques_are_found_however_their_nodes_are_numbered(groups: int, clique: int, seed: int) -> None:
    clique_of = np.random.default_rng(seed).permutation(np.repeat(np.arange(groups), clique))
    adjacency = clique_of[:, None] == clique_of
    classes = clique_classes(adjacency)
    assert classes is not None
    assert classes.shape == (1, groups * clique)
    assert covers(classes, adjacency)


@settings(max_examples=300)
@given(nodes=st.sampled_from([1, 2, 3, 4, 6, 8, 9]), data=st.data())
def test_what_is_found_in_any_matrix_covers_it_exactly(nodes: int, data: st.DataObject) -> None:
    entries = data.draw(st.lists(st.booleans(), min_size=nodes**2, max_size=nodes**2))
    adjacency = np.array(entries).reshape(nodes, nodes)
    classes = clique_classes(adjacency)
    assert classes is None or covers(classes, adjacency)


@pytest.mark.parametrize(
    "adjacency",
    [
        adjacency_of("random:16_4"),
        adjacency_of("ring:16_4"),
        adjacency_of("affine:9_4?loops=0"),
        np.array([[1, 0, 0], [0, 1, 1], [0, 1, 1]], dtype=bool),  # cliques of two sizes
        np.triu(np.ones((4, 4), dtype=bool)),
        np.zeros((4, 4), dtype=bool),
        np.eye(4, dtype=bool)[[1, 0, 3, 2]],  # a matching without self-loops
    ],
    ids=["random", "ring", "no loops", "uneven", "directed", "empty", "matching"],
)
def test_other_graphs_do_not_decompose(adjacency: NDArray[np.bool_]) -> None:
    assert clique_classes(adjacency) is None


@settings(max_examples=60)
@given(
    spelling=st.sampled_from(sorted(GRAPHS)),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.sampled_from([1, 3, (1, 3)]),
    stride=st.sampled_from([1, 2, (2, 1)]),
    dilation=st.sampled_from([1, 2]),
    padding=st.sampled_from([0, 1, (0, 2), "valid"]),
    padding_mode=st.sampled_from(["zeros", "reflect", "circular"]),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_outputs_and_gradients_are_those_of_the_masked_form(
    spelling: str, channels: tuple[int, int], seed: int, kernel: Any, **options: Any
) -> None:
    torch.manual_seed(seed)
    forms = both(masked(spelling, *channels, kernel, **options))
    images = torch.randn(2, forms[0].in_channels, 8, 7, dtype=torch.float64)
    results: list[list[Tensor | None]] = []
    for form in forms:
        seen = images.clone().requires_grad_()
        outputs = form(seen)
        torch.manual_seed(seed)
        torch.autograd.backward(outputs, torch.randn_like(outputs))
        assert form.weight.grad is not None
        if isinstance(form, DecomposedConv2d):
            form.weight.data = form.weight.grad  # to have it in the masked form
            gradient = form.masked_weight()
        else:
            gradient = form.weight.grad
        of_bias = [] if form.bias is None else [form.bias.grad]
        results.append([outputs, seen.grad, gradient, *of_bias])
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_second_derivatives_pass_through() -> None:
    _, conv = both(masked("affine:4_3"))
    images = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, images)
    assert torch.autograd.gradgradcheck(conv, images)


@given(
    spelling=st.sampled_from(sorted(GRAPHS)),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.sampled_from([1, 3, (1, 3)]),
    bias=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 1000),
)
def test_there_and_back_is_the_same_bit_for_bit(
    spelling: str, channels: tuple[int, int], kernel: Any, bias: bool, dtype: torch.dtype, seed: int
) -> None:
    torch.manual_seed(seed)
    conv = masked(spelling, *channels, kernel, stride=2, padding=1, dilation=2, padding_mode="reflect", bias=bias)
    conv = conv.to(dtype).eval().requires_grad_(False)
    before = copy.deepcopy(conv.state_dict())
    back = DecomposedConv2d.of(conv).masked()
    assert repr(back) == repr(conv)
    assert not back.training
    assert not any(parameter.requires_grad for parameter in back.parameters())
    assert back.bias is conv.bias
    assert list(back.state_dict()) == list(before)
    for key, value in back.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("spelling", GRAPHS)
def test_the_weights_are_those_under_the_edges_and_only_the_loops_of_later_classes_are_empty(spelling: str) -> None:
    conv = masked(spelling, bias=False)
    decomposed = DecomposedConv2d.of(conv)
    assert int((decomposed.weight != 0).sum()) == int((conv.weight != 0).sum())
    loops = conv.nodes * 2 * 9 * (GRAPHS[spelling] - 1)
    assert decomposed.weight.numel() == int(conv.mask.sum()) * 9 + loops


def test_channels_that_the_nodes_do_not_divide_are_refused() -> None:
    conv = GraphConv2d.of(nn.Conv2d(16, 20, 1), torch.from_numpy(adjacency_of("affine:16_4?classes=1")))
    with pytest.raises(PruneError, match="16 nodes do not divide 20 channels"):
        DecomposedConv2d.of(conv)


@pytest.mark.parametrize("spelling", ["affine:4_2?classes=1", "affine:4_2?classes=1&first=1", "affine:9_5"])
def test_any_memory_layout_and_an_image_alone_will_do(spelling: str) -> None:
    theirs, ours = both(masked(spelling, padding=1))
    images = torch.randn(2, theirs.in_channels, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(images[0]), theirs(images[0]), rtol=0, atol=1e-12)
    weight = ours.masked_weight()
    ours.to(memory_format=torch.channels_last)
    outputs = ours(images.to(memory_format=torch.channels_last))
    assert outputs.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(outputs, theirs(images), rtol=0, atol=1e-12)
    assert torch.equal(ours.masked_weight(), weight)


def test_a_copy_shares_nothing() -> None:
    conv = DecomposedConv2d.of(masked("affine:9_5"))
    twin = copy.deepcopy(conv)
    images = torch.randn(1, 9, 5, 5, dtype=torch.float64)
    assert torch.equal(twin(images), conv(images))
    with torch.no_grad():
        twin.weight.zero_()
        twin.adjacency.zero_()
    assert conv.weight.any()
    assert conv.adjacency.any()
