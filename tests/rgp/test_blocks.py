"""The published rule that shares channels out to nodes, against examples worked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgp.blocks import block_sizes, node_of_channel


@pytest.mark.parametrize(
    ("channels", "nodes", "sizes"),
    [
        (8, 4, [2, 2, 2, 2]),
        (64, 64, [1] * 64),
        (7, 1, [7]),
        # RandomState(1).permutation(4) is [3, 2, 0, 1]: of the sizes [3, 3, 2, 2] it takes the 4th, 3rd, 1st, 2nd
        (10, 4, [2, 2, 3, 3]),
        (5, 4, [1, 1, 2, 1]),
        (7, 4, [1, 2, 2, 2]),
        # written down by the published code itself for its ResNet-56 at 12_4
        (16, 12, [2, 2, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1]),
        (32, 12, [3, 3, 3, 2, 3, 3, 3, 3, 2, 2, 2, 3]),
        (64, 12, [6, 6, 5, 5, 6, 5, 6, 5, 5, 5, 5, 5]),
    ],
)
def test_block_sizes_are_those_worked_by_hand(channels: int, nodes: int, sizes: list[int]) -> None:
    assert block_sizes(channels, nodes).tolist() == sizes


def test_the_permutation_worked_by_hand_is_numpys() -> None:
    assert np.random.RandomState(1).permutation(4).tolist() == [3, 2, 0, 1]


@given(st.integers(1, 300).flatmap(lambda nodes: st.tuples(st.integers(nodes, 2100), st.just(nodes))))
def test_every_channel_has_one_node_and_nodes_differ_by_at_most_one_channel(size: tuple[int, int]) -> None:
    channels, nodes = size
    sizes = block_sizes(channels, nodes)
    assert sizes.shape == (nodes,)
    assert sizes.sum() == channels
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() == (channels % nodes > 0)
    assert (sizes == sizes.max()).sum() == (channels % nodes or nodes)
    owners = node_of_channel(channels, nodes)
    assert np.array_equal(np.bincount(owners, minlength=nodes), sizes)
    assert (np.diff(owners) >= 0).all()  # each node's channels are consecutive


def test_the_rule_does_not_disturb_numpys_global_generator() -> None:
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    block_sizes(10, 4)
    assert np.random.random() == expected


@pytest.mark.parametrize("sample", ["a_resnet56_16_8", "e2_resnet56_12_4_nondiv"])
def test_the_masks_are_those_of_the_published_code(shared_data: Path, sample: str) -> None:
    folder = shared_data / "official" / sample
    matrix = np.load(folder / "matrix.npy").astype(bool)
    for channels, sizes in json.loads((folder / "info.json").read_text())["block_sizes_by_channels"].items():
        assert block_sizes(int(channels), len(matrix)).tolist() == sizes

    multiarray = np._core.multiarray  # type: ignore[attr-defined]  # older numpy wrote its scalars under another name
    scalar = multiarray.scalar
    allowed = [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, type(np.dtype(np.float64))]
    with torch.serialization.safe_globals(allowed):
        state = torch.load(folder / "model_best.pth", map_location="cpu", weights_only=True)["state_dict"]
    masks = {key: value[:, :, 0, 0].bool().numpy() for key, value in state.items() if key.endswith(".scores")}
    assert len(masks) == 54
    for key, mask in masks.items():
        outputs, inputs = (node_of_channel(channels, len(matrix)) for channels in mask.shape)
        assert np.array_equal(matrix[outputs][:, inputs], mask), key
