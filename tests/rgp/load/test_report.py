"""From what became of the requests to figures, and to the highest rate: every request is accounted for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgp.load.generator import FAILED, TIMED_OUT, Load, arrivals
from rgp.load.report import needed, percentiles, summary
from rgp.load.search import STEP, highest_rate, lowest_rate, verdict


@pytest.mark.parametrize("percentile", ["p50", "p90", "p95", "p99", "p99.9"])
def test_a_percentile_is_given_only_with_enough_values_beyond_it(percentile: str) -> None:
    least = needed(percentile)
    values = np.random.default_rng(0).exponential(size=least)
    share = float(percentile[1:]) / 100
    assert percentiles(values)[percentile] == pytest.approx(np.quantile(values, share))
    assert round(least * (1 - share), 6) >= 5
    assert percentiles(values[1:])[percentile] is None
    assert percentiles(values[:0]) == {
        "n": 0,
        "p50": None,
        "p90": None,
        "p95": None,
        "p99": None,
        "p99.9": None,
        "max": None,
    }


@given(
    outcomes=st.lists(
        st.tuples(st.floats(-2, 5), st.sampled_from([200, 429, 503, FAILED, TIMED_OUT]), st.floats(0, 9)), min_size=1
    )
)
def test_all_requests_after_the_warm_up_are_accounted_for(outcomes: list[tuple[float, int, float]]) -> None:
    outcomes = [*sorted(outcomes), (5.5, 200, 0.1)]
    due, status, took = (np.array(column) for column in zip(*outcomes, strict=True))
    failures = {"broken": int(((status == FAILED) & (due >= 0)).sum())}
    run = summary(Load(6.0, due, due, due + took, status, {}, failures, {503: "x"}), rate=1, bound_ms=2000)
    other = sum(each["n"] for each in run["other_statuses"].values())
    failed = run["connection_errors"]["n"] + run["timeouts"] + other + run["rejected"]["n"]
    assert run["n"] == (due >= 0).sum() == run["latency_ms"]["n"] + failed
    assert run["goodput"] * 6 == pytest.approx(((due >= 0) & (status == 200) & (took <= 2)).sum())
    assert run["achieved"] * 6 == pytest.approx(((status == 200) & (due + took >= 0) & (due + took < 6)).sum())
    assert not run["generator_was_the_limit"]


@settings(max_examples=300)
@given(limit=st.floats(1, 1e5), lowest=st.floats(1, 100))
def test_the_search_finds_the_highest_rate_that_passes_in_few_probes(limit: float, lowest: float) -> None:
    probed: list[float] = []

    def passes(rate: float) -> bool:
        probed.append(rate)
        return rate <= limit

    found = highest_rate(passes, lowest)
    if limit < lowest:
        assert (found, probed) == (None, [lowest])
    else:
        assert found is not None
        assert found <= limit < found * STEP * 1.000001
        assert found in probed
        assert len(probed) == len(set(probed)) <= np.log2(limit / lowest) + 8


def test_the_lowest_rate_gives_a_p99_and_a_run_without_one_does_not_pass() -> None:
    counts = [len(arrivals(lowest_rate(10), 10, np.random.default_rng(seed))) for seed in range(1000)]
    assert min(counts) >= needed("p99")
    run = {"n": 400, "rejected": {"n": 0}, "latency_ms": percentiles(np.ones(400))}
    assert verdict(run, 15) == "400 requests are too few"
    run = {"n": 500, "rejected": {"n": 0}, "latency_ms": percentiles(np.full(500, 15.0))}
    assert (verdict(run, 15), verdict(run, 14)) == ("passes", "p99 15 ms > 14")
