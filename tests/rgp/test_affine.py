"""The affine plane: its classes, its cliques, and a convolution as a sum of grouped ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rgp.affine import ORDERS, _field, parallel_classes
from rgp.conv import GraphConv2d
from rgp.families import affine

MANY = [(order, classes) for order in ORDERS for classes in range(2, order + 2)]


@pytest.mark.parametrize("order", ORDERS)
def test_the_elements_form_a_field(order: int) -> None:
    minus, times = _field(order)
    elements = range(order)
    negative = minus[0]
    plus = minus[:, negative]  # a + b = a - (0 - b)
    for table in (plus, times):
        assert np.array_equal(table, table.T)
        assert all(table[table[a, b], c] == table[a, table[b, c]] for a in elements for b in elements for c in elements)
    assert all(
        times[a, plus[b, c]] == plus[times[a, b], times[a, c]] for a in elements for b in elements for c in elements
    )
    assert (times[0] == 0).all()
    assert (np.sort(times[1:, 1:], axis=1) == np.arange(1, order)).all()  # each row: every non-zero element once


@pytest.mark.parametrize("order", ORDERS)
def test_each_class_splits_the_points_into_lines_of_equal_length(order: int) -> None:
    classes = parallel_classes(order)
    assert classes.shape == (order + 1, order**2)
    for line_of_point in classes:
        assert np.bincount(line_of_point, minlength=order).tolist() == [order] * order


@pytest.mark.parametrize("order", ORDERS)
def test_lines_of_different_classes_meet_in_exactly_one_point(order: int) -> None:
    classes = parallel_classes(order)
    for i, first in enumerate(classes):
        for second in classes[:i]:
            assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == order**2


@pytest.mark.parametrize("order", ORDERS)
def test_two_points_lie_on_exactly_one_common_line(order: int) -> None:
    classes = parallel_classes(order)
    common = (classes[:, :, None] == classes[:, None, :]).sum(0)
    assert np.array_equal(common, np.ones_like(common) + order * np.eye(order**2, dtype=int))


@pytest.mark.parametrize(("order", "classes"), MANY)
def test_the_average_path_is_as_short_as_can_be(order: int, classes: int) -> None:
    graph = affine(order**2, classes * (order - 1) + 1)
    assert graph.aspl == pytest.approx(graph.aspl_bound, abs=1e-12)
    assert graph.diameter == (2 if classes <= order else 1)


@pytest.mark.parametrize(("order", "classes", "first"), [(q, k, first) for q, k in MANY for first in (0, q)])
def test_the_graph_is_the_union_of_the_cliques_of_its_classes(order: int, classes: int, first: int) -> None:
    union = np.zeros((order**2, order**2), bool)
    for turn in range(first, first + classes):
        for line in range(order):
            points = np.flatnonzero(parallel_classes(order)[turn % (order + 1)] == line)
            assert not (union[np.ix_(points, points)] & ~np.eye(order, dtype=bool)).any()  # classes share no edge
            union[np.ix_(points, points)] = True
    assert np.array_equal(affine(order**2, classes * (order - 1) + 1, first).adjacency, union)


@pytest.mark.parametrize(("order", "channels"), [(2, 8), (4, 32), (3, 9)])
def test_a_masked_convolution_is_a_grouped_one_on_permuted_channels(order: int, channels: int) -> None:
    graph = affine(order**2, order, first=1, connected=False)
    masked = GraphConv2d.of(nn.Conv2d(channels, channels, 3, bias=False), torch.from_numpy(graph.adjacency.copy()))
    node = np.repeat(np.arange(order**2), channels // order**2)
    by_line = torch.from_numpy(np.argsort(parallel_classes(order)[1][node], kind="stable"))
    width = channels // order

    grouped = nn.Conv2d(channels, channels, 3, groups=order, bias=False)
    sorted_weight = masked.masked_weight().detach()[by_line][:, by_line]
    grouped.weight.data = torch.cat(
        [block[:, i * width :][:, :width] for i, block in enumerate(sorted_weight.chunk(order))]
    )

    images = torch.randn(2, channels, 6, 6)
    torch.testing.assert_close(masked(images)[:, by_line], grouped(images[:, by_line]))
