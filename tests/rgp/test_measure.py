"""measure: pairs, their order, their end, and what is made of them. Nothing here trusts a clock."""

from __future__ import annotations

import gc
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp import measure
from rgp.errors import UsageError
from rgp.measure import Comparison, compare, median_ci95

IMAGES = np.zeros((3, 4, 4, 1), np.uint8)


class Clock:
    """Stands still but where an engine moves it."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter_ns(self) -> int:
        return self.now

    def perf_counter(self) -> float:
        return self.now / 1e9


class FakeEngine:
    """Takes ``milliseconds`` on the clock and writes its name down."""

    def __init__(self, name: str, milliseconds: float, clock: Clock, calls: list[str]) -> None:
        self.name, self.milliseconds, self.clock, self.calls = name, milliseconds, clock, calls

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert images is IMAGES
        self.calls.append(self.name)
        self.clock.now += int(self.milliseconds * 1e6)
        return np.zeros((len(images), 2), np.float32)

    def describe(self) -> dict[str, str | int]:
        return {"engine": self.name}


class Bench:
    """Two fake engines, dense of 6 ms and compiled of 2 ms, on a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.calls = Clock(), list[str]()
        monkeypatch.setattr(measure, "time", self.clock)
        self.dense = FakeEngine("dense", 6, self.clock, self.calls)
        self.compiled = FakeEngine("compiled", 2, self.clock, self.calls)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_each_pair_times_both_engines_and_the_ratio_is_theirs(bench: Bench) -> None:
    result = compare(bench.dense, bench.compiled, IMAGES, pairs=30)
    assert result.batch == 3
    assert result.dense_ms.tolist() == [6.0] * 30
    assert result.compiled_ms.tolist() == [2.0] * 30
    assert result.speedup == 3.0
    assert result.speedup_ci95() == (3.0, 3.0)


def test_warming_up_runs_both_and_is_not_timed(bench: Bench) -> None:
    compare(bench.dense, bench.compiled, IMAGES, pairs=5)
    assert bench.calls[:6] == ["dense", "compiled"] * 3
    assert len(bench.calls) == 6 + 2 * 5


def test_the_order_within_a_pair_is_random_by_the_seed(bench: Bench) -> None:
    orders = []
    for seed in (0, 0, 1):
        bench.calls.clear()
        compare(bench.dense, bench.compiled, IMAGES, pairs=100, seed=seed)
        pairs = list(zip(bench.calls[6::2], bench.calls[7::2], strict=True))
        assert set(pairs) == {("dense", "compiled"), ("compiled", "dense")}
        orders.append(pairs)
    assert orders[0] == orders[1] != orders[2]
    assert 30 <= orders[0].count(("dense", "compiled")) <= 70


@pytest.mark.parametrize(
    ("seconds", "pairs", "expected"),
    [
        (0.0, 100, 20),  # at least 20
        (0.0, 7, 7),  # unless fewer were asked for
        (0.2, 100, 26),  # 8 ms a pair: the 26th is the first to end after 200 ms
        (10.0, 100, 100),
    ],
)
def test_time_ends_the_pairs_but_not_before_the_twentieth(
    bench: Bench, seconds: float, pairs: int, expected: int
) -> None:
    assert len(compare(bench.dense, bench.compiled, IMAGES, pairs=pairs, seconds=seconds).dense_ms) == expected


def test_progress_is_told_once_a_pair(bench: Bench) -> None:
    told: list[int] = []
    compare(bench.dense, bench.compiled, IMAGES, pairs=12, on_pair=lambda: told.append(len(bench.calls)))
    assert told == [6 + 2 * pair for pair in range(1, 13)]


def test_the_garbage_collector_rests_and_is_woken_again(bench: Bench) -> None:
    states: list[bool] = []
    assert gc.isenabled()
    compare(bench.dense, bench.compiled, IMAGES, pairs=2, on_pair=lambda: states.append(gc.isenabled()))
    assert states == [False, False]
    assert gc.isenabled()

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(bench.dense, bench.compiled, IMAGES, on_pair=fail)
    assert gc.isenabled()


@pytest.mark.parametrize("pairs", [0, -1])
def test_no_pairs_at_all_is_a_usage_error(bench: Bench, pairs: int) -> None:
    with pytest.raises(UsageError, match=f"pairs is {pairs}, give at least 1"):
        compare(bench.dense, bench.compiled, IMAGES, pairs=pairs)


def test_the_speed_up_is_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    # a machine that halves its clock for two of five pairs
    result = Comparison(1, np.array([6.0, 6, 6, 12, 12]), np.array([3.0, 2, 2, 4, 6]))
    assert result.speedup == 3.0
    values = result.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert list(values) == [
        "batch",
        "dense_ms_p50",
        "compiled_ms_p50",
        "dense_ms_p90",
        "compiled_ms_p90",
        "speedup",
        "speedup_ci95",
        "pairs",
    ]
    assert (values["dense_ms_p50"], values["compiled_ms_p50"], values["pairs"]) == (6.0, 3.0, 5)
    assert (values["dense_ms_p90"], values["compiled_ms_p90"]) == pytest.approx((12.0, 5.2))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60))
def test_the_interval_holds_the_median_and_lies_within_the_values(values: list[float]) -> None:
    low, high = median_ci95(np.array(values), resamples=200)
    assert min(values) <= low <= np.median(values) <= high <= max(values)
    assert median_ci95(np.array(values), resamples=200) == (low, high)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = median_ci95(rng.lognormal(np.log(2), 0.3, size=50), resamples=400)
        covered += low <= 2 <= high
    assert 180 <= covered <= 198


def test_more_pairs_make_a_narrower_interval() -> None:
    values = np.random.default_rng(0).lognormal(0, 0.3, size=1000)
    widths = [np.subtract(*median_ci95(values[:count])[::-1]) for count in (20, 100, 1000)]
    assert widths[0] > widths[1] > widths[2]
