"""measure: pairs, their order, their end, and what is made of them. Nothing here trusts a clock."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp import measure
from rgp.errors import UsageError
from rgp.measure import Comparison, compare, interleave_all, median_ci95

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
        self.built: list[str] = []

    @property
    def builders(self) -> tuple[Callable[[], FakeEngine], Callable[[], FakeEngine]]:
        """What makes each engine; writes down that it did."""
        return lambda: self.build(self.dense), lambda: self.build(self.compiled)

    def build(self, engine: FakeEngine) -> FakeEngine:
        self.built.append(engine.name)
        return engine


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_each_pair_times_both_engines_and_the_ratio_is_theirs(bench: Bench) -> None:
    result = compare(*bench.builders, IMAGES, pairs=30)
    assert result.batch == 3
    assert result.dense_ms.tolist() == [6.0] * 30
    assert result.compiled_ms.tolist() == [2.0] * 30
    assert result.speedup == 3.0
    assert result.speedup_ci95 == (3.0, 3.0)


def test_both_engines_are_built_anew_eight_times_in_random_order(bench: Bench) -> None:
    result = compare(*bench.builders, IMAGES, pairs=100)
    orders = set(zip(bench.built[::2], bench.built[1::2], strict=True))
    assert len(bench.built) == 16
    assert orders == {("dense", "compiled"), ("compiled", "dense")}
    assert np.bincount(result.build).tolist() == [13] * 4 + [12] * 4
    assert result.to_dict()["builds"] == 8


def test_warming_up_runs_both_after_each_build_and_is_not_timed(bench: Bench) -> None:
    compare(*bench.builders, IMAGES, pairs=16)
    for build in range(8):
        calls = bench.calls[build * 10 : (build + 1) * 10]
        assert calls[:6] == ["dense", "compiled"] * 3
        assert sorted(calls[6:]) == ["compiled"] * 2 + ["dense"] * 2
    assert len(bench.calls) == 80


def test_the_order_within_a_pair_is_random_by_the_seed(bench: Bench) -> None:
    orders = []
    for seed in (0, 0, 1):
        bench.calls.clear()
        compare(*bench.builders, IMAGES, pairs=8 * 13, seed=seed)
        calls = [call for build in range(8) for call in bench.calls[build * 32 : (build + 1) * 32][6:]]
        pairs = list(zip(calls[::2], calls[1::2], strict=True))
        assert set(pairs) == {("dense", "compiled"), ("compiled", "dense")}
        orders.append(pairs)
    assert orders[0] == orders[1] != orders[2]
    assert 30 <= orders[0].count(("dense", "compiled")) <= 74


@pytest.mark.parametrize(
    ("seconds", "pairs", "expected"),
    [
        (0.0, 100, 8 * 3),  # at least three for each build
        (0.0, 7, 7),  # unless fewer were asked for
        (0.328, 100, 8 * 6),  # 8 ms a pair, 41 ms a build: the sixth is the first to end after that
        (10.0, 100, 100),
    ],
)
def test_time_ends_the_pairs_but_not_before_three_for_each_build(
    bench: Bench, seconds: float, pairs: int, expected: int
) -> None:
    assert len(compare(*bench.builders, IMAGES, pairs=pairs, seconds=seconds).dense_ms) == expected


def test_progress_is_told_once_a_pair(bench: Bench) -> None:
    told: list[int] = []
    compare(*bench.builders, IMAGES, pairs=12, on_pair=lambda: told.append(len(bench.calls)))
    assert len(told) == 12
    assert all(count % 2 == 0 for count in told)
    assert told == sorted(set(told))


def test_the_garbage_collector_rests_and_is_woken_again(bench: Bench) -> None:
    states: list[bool] = []
    assert gc.isenabled()
    compare(*bench.builders, IMAGES, pairs=2, on_pair=lambda: states.append(gc.isenabled()))
    assert states == [False, False]
    assert gc.isenabled()

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(*bench.builders, IMAGES, on_pair=fail)
    assert gc.isenabled()


@pytest.mark.parametrize("pairs", [0, -1])
def test_no_pairs_at_all_is_a_usage_error(bench: Bench, pairs: int) -> None:
    with pytest.raises(UsageError, match=f"pairs is {pairs}, give at least 1"):
        compare(*bench.builders, IMAGES, pairs=pairs)


def test_the_speed_up_is_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    # a machine that halves its clock for two of five pairs
    result = Comparison(1, np.array([6.0, 6, 6, 12, 12]), np.array([3.0, 2, 2, 4, 6]), np.array([0, 0, 1, 1, 1]))
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
        "builds",
    ]
    assert (values["dense_ms_p50"], values["compiled_ms_p50"], values["pairs"]) == (6.0, 3.0, 5)
    assert (values["dense_ms_p90"], values["compiled_ms_p90"]) == pytest.approx((12.0, 5.2))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60), st.integers(1, 8))
def test_the_interval_holds_the_median_and_lies_within_the_values(values: list[float], builds: int) -> None:
    build = np.arange(len(values)) % builds
    low, high = median_ci95(np.array(values), build, resamples=100)
    assert min(values) <= low <= high <= max(values)
    assert median_ci95(np.array(values), build, resamples=100) == (low, high)


def coverage(between_builds: float) -> float:
    """How often the interval holds the true ratio 2, where each build has a luck of its own."""
    rng, trials, covered = np.random.default_rng(0), 200, 0
    build = np.repeat(np.arange(8), 25)
    for _ in range(trials):
        luck = rng.normal(0, between_builds, size=8)[build]
        low, high = median_ci95(np.exp(np.log(2) + luck + rng.normal(0, 0.05, size=200)), build, resamples=200)
        covered += low <= 2 <= high
    return covered / trials


@pytest.mark.parametrize("between_builds", [0.0, 0.05, 0.25])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(between_builds: float) -> None:
    assert coverage(between_builds) >= 0.85


def test_builds_that_differ_make_a_wider_interval_than_pairs_that_do() -> None:
    values = np.repeat([0.8, 0.9, 1.1, 1.2], 25)
    low, high = median_ci95(values, np.repeat(np.arange(4), 25))
    mixed_low, mixed_high = median_ci95(values, np.tile(np.arange(4), 25))
    assert high - low > 1.5 * (mixed_high - mixed_low)


def three(bench: Bench) -> list[Callable[[], Callable[[], object]]]:
    """Engines of 1, 2 and 3 ms that write down when they are built and run."""

    def make(name: str, milliseconds: float) -> Callable[[], Callable[[], object]]:
        engine = FakeEngine(name, milliseconds, bench.clock, bench.calls)
        return lambda: partial(bench.build(engine).run, IMAGES)

    return [make(name, milliseconds) for milliseconds, name in enumerate("abc", 1)]


def test_a_round_times_every_engine_once_and_each_has_its_column(bench: Bench) -> None:
    ms, build = interleave_all(three(bench), rounds=30, seconds=10)
    assert ms.tolist() == [[1.0, 2.0, 3.0]] * 30
    assert np.bincount(build).tolist() == [4] * 6 + [3] * 2
    assert bench.calls[:9] == ["a", "b", "c"] * 3  # warming up
    rounds = [bench.calls[9 + 3 * number :][:3] for number in range(4)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)


def test_every_order_within_a_round_and_among_builds_comes_up(bench: Bench) -> None:
    interleave_all(three(bench), rounds=80, seconds=10, builds=1)
    assert len({tuple(bench.calls[start : start + 3]) for start in range(9, len(bench.calls), 3)}) == 6
    bench.built.clear()
    interleave_all(three(bench), rounds=40, seconds=10, builds=40)
    assert len({tuple(bench.built[start : start + 3]) for start in range(0, 120, 3)}) == 6


def test_time_ends_the_rounds_of_three_too(bench: Bench) -> None:
    ms, build = interleave_all(three(bench), rounds=100, seconds=0.0)
    assert len(ms) == 8 * 3
    assert np.bincount(build).tolist() == [3] * 8
