"""The schedule against hand-computed values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.train.recipe import learning_rate


def test_the_rate_rises_in_a_line_and_falls_in_a_cosine() -> None:
    rates = [learning_rate(step, steps=12, warmup=4, peak=0.8) for step in range(12)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    # eight steps of half a cosine: cos of 0, 22.5, 45, ... degrees
    assert rates[4:] == pytest.approx([0.8, 0.76955, 0.68284, 0.55307, 0.4, 0.24693, 0.11716, 0.03045], abs=1e-5)


def test_without_warm_up_it_starts_at_the_peak_and_halves_in_the_middle() -> None:
    assert learning_rate(0, steps=100, warmup=0, peak=0.1) == 0.1
    assert learning_rate(50, steps=100, warmup=0, peak=0.1) == pytest.approx(0.05)
    assert learning_rate(99, steps=100, warmup=0, peak=0.1) == pytest.approx(0.05 * (1 - math.cos(math.pi / 100)))


@given(st.integers(1, 300), st.data(), st.floats(1e-6, 1e3))
def test_the_rate_is_positive_rises_to_its_peak_and_never_rises_again(
    steps: int, data: st.DataObject, peak: float
) -> None:
    warmup = data.draw(st.integers(0, steps - 1))
    rates = [learning_rate(step, steps=steps, warmup=warmup, peak=peak) for step in range(steps)]
    assert min(rates) > 0
    assert rates[max(0, warmup - 1)] == pytest.approx(peak) == max(rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
