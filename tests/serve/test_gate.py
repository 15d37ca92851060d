"""Admission: nothing beyond the bounds, nothing lost from the count, and a time after which to come again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.serve import gate as module
from rgp.serve.gate import Gate, OverloadedError


def gate(images: int = 4, rate: float = 2.0) -> Gate:
    return Gate(images, lambda: rate)


def test_it_refuses_the_first_image_beyond_the_bound_and_says_when_to_come_again() -> None:
    door = gate(4, rate=2.5)
    leave = [door.enter() for _ in range(4)]
    with pytest.raises(OverloadedError, match="4 of at most 4 images are in work: try again in 2 s") as refused:
        door.enter()
    assert (refused.value.status_code, refused.value.headers) == (429, {"retry-after": "2"})
    leave.pop()()
    door.enter()


def test_an_empty_house_takes_a_request_of_any_size_but_only_one() -> None:
    door = gate(4)
    leave = door.enter(9)
    with pytest.raises(OverloadedError):
        door.enter()
    leave()
    door.enter()


@given(st.lists(st.integers(1, 6)), st.integers(1, 10))
def test_what_left_is_not_counted_and_what_is_in_never_exceeds_the_bound(sizes: list[int], bound: int) -> None:
    door, leaves = gate(bound), []
    for number, size in enumerate(sizes):
        before = door.images
        try:
            leaves.append(door.enter(size))
        except OverloadedError:
            assert 0 < before <= max(bound, *sizes)
            assert before + size > bound
        assert door.images <= max(bound, *sizes)
        if number % 3 == 2 and leaves:
            leaves.pop(0)()
    for leave in leaves:
        leave()
    assert door.images == 0


def test_bodies_are_bounded_by_number_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_READERS", 2)
    monkeypatch.setattr(module, "MAX_READING_BYTES", 100)
    door = gate()
    crowded = pytest.raises(OverloadedError, match="2 requests are being received")
    with door.reading() as first:
        first(500)  # alone it may be larger than all together
    with door.reading() as first, door.reading() as second:
        first(60)
        second(40)
        with crowded:
            second(1)
        with crowded, door.reading():
            pass
    assert (door.readers, door.reading_bytes) == (0, 0)
