"""The highest rate that a service keeps up with under a bound on its p99, in the manner of MLPerf's server scenario."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rgp.load.report import needed

STEP = 1.05
"""The rate that is found lies within this factor of one that failed."""


def lowest_rate(seconds: float) -> float:
    """Below this rate a run of ``seconds`` would not surely have the requests that a p99 needs."""
    return 1.2 * needed("p99") / seconds  # Poisson: 600 are as good as never fewer than 500


def highest_rate(passes: Callable[[float], bool], lowest: float) -> float | None:
    """The highest rate that ``passes``, within STEP: doubled from ``lowest`` until one fails, then bisected.

    None if ``lowest`` fails.
    """
    if not passes(lowest):
        return None
    best, worst = lowest, 2 * lowest
    while passes(worst):
        best, worst = worst, 2 * worst
    while worst / best > STEP:
        middle = (best * worst) ** 0.5
        if passes(middle):
            best = middle
        else:
            worst = middle
    return best


def verdict(run: dict[str, Any], bound_ms: float) -> str:
    """Why the run ``summary`` does not pass, or "passes": p99 within the bound, and every request answered with 200."""
    refused = run["rejected"]["n"]
    lost = run["n"] - run["latency_ms"]["n"] - refused
    p99 = run["latency_ms"]["p99"]
    if refused or lost:
        return ", ".join([f"{refused} x 429"] * bool(refused) + [f"{lost} failed"] * bool(lost))
    if p99 is None:
        return f"{run['n']} requests are too few"
    return "passes" if p99 <= bound_ms else f"p99 {p99:.3g} ms > {bound_ms:g}"
