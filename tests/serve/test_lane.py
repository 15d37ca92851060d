"""The baseline lane: what it measures is true, what it must not touch it does not, what is old is not told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.serve import lane as module
from rgp.serve.lane import BaselineLane, wilson
from rgp.serve.traffic import Traffic

IMAGE = np.zeros((1, 2, 2, 1), np.uint8)


class Sleeper:
    """An engine that takes so long, and names one class."""

    def __init__(self, ms: float, best: int = 0) -> None:
        self.ms, self.best, self.runs = ms, best, 0

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.runs += 1
        time.sleep(self.ms / 1000)
        return np.eye(3, dtype=np.float32)[[self.best] * len(images)]

    def describe(self) -> dict[str, str | int]:
        return {}


@contextmanager
def running(dense: Sleeper, compiled: Sleeper, budget: float = 1) -> Iterator[tuple[BaselineLane, Traffic]]:
    traffic = Traffic()
    lane = BaselineLane(dense, compiled, traffic, threads=1, budget=budget)
    try:
        yield lane, traffic
    finally:
        lane.close()


def until_settled(lane: BaselineLane, offers: int) -> None:
    """Offer images one by one until so many have been measured or let go."""
    for _ in range(offers):
        while time.monotonic() < lane._free_at:
            time.sleep(0.001)
        before = lane.state()
        lane.offer(IMAGE)
        for _ in range(3000):
            now = lane.state()
            if (now.pairs, now.dropped) != (before.pairs, before.dropped):
                break
            time.sleep(0.01)
        else:
            pytest.fail("the lane neither measured nor dropped")


def test_its_figure_is_the_ratio_of_the_two_engines_and_says_on_how_many_pairs() -> None:
    with running(Sleeper(24), Sleeper(8, best=0)) as (lane, _):
        until_settled(lane, module.LEAST - 1)
        assert lane.live() is None
        until_settled(lane, 5)
        live = lane.live()
    assert live is not None
    assert (live.source, live.batch, live.pairs) == ("live", 1, module.LEAST + 4)
    assert live.dense_ms_p50 >= 24
    assert live.compiled_ms_p50 >= 8
    assert live.speedup_ci95[0] <= live.speedup <= live.speedup_ci95[1]
    ratios = [pair.dense_ms / pair.compiled_ms for pair in lane.recent()]
    assert live.speedup == pytest.approx(np.median(ratios))
    assert live.age_s is not None
    assert live.age_s >= 0


def test_agreement_counts_the_images_that_both_name_alike() -> None:
    with running(Sleeper(0, best=1), Sleeper(0, best=2)) as (lane, _):
        assert lane.agreement() is None
        until_settled(lane, 3)
        agreement = lane.agreement()
    assert agreement is not None
    assert (agreement.agree, agreement.n, agreement.share) == (0, 3, 0)


def test_a_pair_during_which_a_request_came_is_thrown_away() -> None:
    with running(Sleeper(200), Sleeper(1)) as (lane, traffic):
        lane.offer(IMAGE)
        while not lane._engines[0].runs:  # type: ignore[attr-defined]
            time.sleep(0.001)
        traffic.enter()()  # however short its stay
        while not lane.dropped["busy"]:
            time.sleep(0.01)
        assert lane.state().pairs == 0


def test_while_a_request_is_in_work_it_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    dense = Sleeper(1)
    with running(dense, Sleeper(1)) as (lane, traffic):
        leave = traffic.enter()
        until_settled(lane, 1)
        assert (lane.dropped["stale"], dense.runs) == (1, 0)
        leave()
        until_settled(lane, 1)
        assert lane.state().pairs == 1


def test_beyond_its_budget_it_lets_images_go() -> None:
    dense = Sleeper(20)
    with running(dense, Sleeper(20), budget=0.001) as (lane, _):
        until_settled(lane, 1)
        for _ in range(5):
            lane.offer(IMAGE)
        assert (lane.state().pairs, lane.dropped["budget"]) == (1, 5)


def test_an_image_that_came_during_a_pair_counts_against_the_budget_too() -> None:
    dense = Sleeper(100)
    with running(dense, Sleeper(1), budget=0.01) as (lane, _):
        lane.offer(IMAGE)
        while not dense.runs:
            time.sleep(0.001)
        lane.offer(IMAGE)
        while not lane.state().pairs or not lane.dropped["budget"]:
            time.sleep(0.01)
        assert (lane.state().pairs, dense.runs) == (1, 2)  # once to warm, once timed


def test_an_engine_that_fails_is_counted_and_the_lane_goes_on() -> None:
    class Fails(Sleeper):
        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            if self.runs == 0:
                self.runs = 1
                raise RuntimeError("no")
            return super().run(images)

    with running(Fails(0), Sleeper(0)) as (lane, _):
        until_settled(lane, 2)
        assert (lane.dropped["failed"], lane.state().pairs) == (1, 1)


def test_an_old_figure_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Sleeper(1), Sleeper(1)) as (lane, _):
        until_settled(lane, module.LEAST)
        assert lane.live() is not None
        monkeypatch.setattr(module, "STALE_SECONDS", -1)
        assert lane.live() is None


def test_the_self_test_agrees_where_pairs_do_not_mislead_and_objects_where_they_do() -> None:
    class Disturbed(Sleeper):
        """Slow only when the other engine ran just before: what spinning threads do."""

        last: Sleeper | None = None

        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            time.sleep(0.03 if Disturbed.last not in (None, self) else 0)
            Disturbed.last = self
            return super().run(images)

    class Other(Sleeper):
        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            Disturbed.last = self
            return super().run(images)

    with running(Sleeper(10), Sleeper(5)) as (lane, _):
        assert lane.test_itself(IMAGE).agrees
    with running(Disturbed(5), Other(5)) as (lane, _):
        found = lane.test_itself(IMAGE)
        assert not found.agrees
        assert found.interleaved > 2 * found.alone


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_an_interval_around_the_share(counts: tuple[int, int]) -> None:
    successes, n = counts
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert high - low <= 4 / n**0.5


def test_wilson_is_wilson() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I, method 3
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
