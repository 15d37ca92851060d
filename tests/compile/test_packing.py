"""Unequal parts make equal ones where they fit."""

import math
import time
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.compile.packing import packed
from rgp.compile.structure import Part

SIZES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=8)


def parts_of(sizes: list[tuple[int, int]]) -> list[Part]:
    """Parts of these numbers of outputs and inputs, one after the other."""
    outs, ins = ([0, *accumulate(size[side] for size in sizes)] for side in range(2))
    return [
        Part(tuple(range(*out)), tuple(range(*in_))) for out, in_ in zip(pairwise(outs), pairwise(ins), strict=True)
    ]


def pack(sizes: list[tuple[int, int]], idle: tuple[int, int] = (0, 0)) -> list[tuple[int, ...]] | None:
    """The sizes of the equal parts, after checking that they hold all channels and keep parts together."""
    parts = parts_of(sizes)
    outs, ins = (sum(size[side] for size in sizes) + idle[side] for side in range(2))
    found = packed(parts, outs, ins, time.monotonic() + 60)
    if found is None:
        return None
    assert len(found) >= 2
    assert sorted(out for part in found for out in part.outs) == list(range(outs))
    assert sorted(channel for part in found for channel in part.ins) == list(range(ins))
    for part in parts:
        assert any(set(part.outs) <= set(one.outs) and set(part.ins) <= set(one.ins) for one in found)
    return [(len(part.outs), len(part.ins)) for part in found]


@given(SIZES, st.integers(0, 5), st.integers(0, 5))
def test_equal_parts_hold_every_part_whole(sizes: list[tuple[int, int]], outs: int, ins: int) -> None:
    found = pack(sizes, (outs, ins))
    assert found is None or len(set(found)) == 1


@given(SIZES.filter(lambda sizes: len(sizes) < 5), st.integers(2, 4))
def test_copies_of_a_bin_are_packed(sizes: list[tuple[int, int]], copies: int) -> None:
    found = pack(sizes * copies)
    assert found is not None
    assert len(found) >= copies


def test_equal_parts_stay_as_they_are() -> None:
    assert pack([(2, 3)] * 500) == [(2, 3)] * 500


def test_a_place_that_leads_nowhere_is_taken_back() -> None:
    # room for 10: the 4 goes first to the 5, where it leaves least, and then the 2 has no place
    assert pack([(side, side) for side in (5, 4, 3, 3, 3, 2)]) == [(10, 10)] * 2


def test_many_equal_parts_are_not_tried_in_every_order() -> None:
    # the three wide ones must come apart, and go together first
    assert pack([(1, 2)] * 3 + [(1, 1)] * 12) == [(5, 6)] * 3


def test_outputs_and_inputs_must_both_fit() -> None:
    assert pack([(3, 1), (1, 3)]) is None
    assert pack([(3, 1), (1, 3), (1, 3), (3, 1)]) == [(4, 4)] * 2


def test_channels_of_no_part_fill_up_what_has_room() -> None:
    assert pack([(3, 1), (1, 2)], idle=(2, 3)) == [(3, 3)] * 2


def test_a_part_larger_than_half_leaves_nothing_to_group() -> None:
    assert pack([(5, 5), (3, 3)]) is None


def test_a_time_that_has_passed_stops_it() -> None:
    with pytest.raises(TimeoutError):
        packed(parts_of([(1, 1), (1, 1)]), 2, 2, deadline=-math.inf)
