"""What a load showed: rates, latencies, refusals and failures, each apart; as JSON and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from rgp.load.generator import FAILED, STAGES, TIMED_OUT, Floats, Load

PERCENTILES = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}  # in thousandths
BEYOND = 5
"""A percentile with fewer values beyond it is chance: p99 needs 500 values."""
LATE_MS = 1.0
LATE_SHARE = 0.1
"""The generator was the limit if its p99 lateness is above LATE_MS and above this share of the p99 latency."""


def needed(percentile: str) -> int:
    """How many values the percentile needs."""
    return -(-BEYOND * 1000 // (1000 - PERCENTILES[percentile]))


def percentiles(ms: Floats) -> dict[str, Any]:
    """n, the percentiles and the maximum of ``ms`` (n,); None for those that n values do not give."""
    found: dict[str, Any] = {"n": len(ms)}
    for name, thousandths in PERCENTILES.items():
        found[name] = float(np.quantile(ms, thousandths / 1000)) if len(ms) >= needed(name) else None
    return {**found, "max": float(ms.max()) if len(ms) else None}


def summary(load: Load, *, rate: float, bound_ms: float) -> dict[str, Any]:
    """The figures of one run at ``rate``; goodput counts answers of 200 within ``bound_ms``. Rates are per second."""
    counted = load.intended >= 0
    latency = 1000 * (load.ended - load.intended)
    late = 1000 * (load.sent - load.intended)[counted]
    answered = load.status == 200
    in_time = (load.ended >= 0) & (load.ended < load.seconds)
    statuses, counts = np.unique(load.status[counted], return_counts=True)
    count = dict(zip(statuses.tolist(), counts.tolist(), strict=True))
    admitted = percentiles(latency[counted & answered])
    return {
        "rate": rate,
        "seconds": load.seconds,
        "n": int(counted.sum()),
        "offered": counted.sum() / load.seconds,
        "achieved": (answered & in_time).sum() / load.seconds,
        "goodput": (counted & answered & (latency <= bound_ms)).sum() / load.seconds,
        "bound_ms": bound_ms,
        "latency_ms": admitted,
        "rejected": {"n": count.get(429, 0), "latency_ms": percentiles(latency[counted & (load.status == 429)])},
        "other_statuses": {
            str(status): {"n": n, "said": load.said[status]}
            for status, n in count.items()
            if status not in (200, 429, FAILED, TIMED_OUT)
        },
        "connection_errors": {"n": count.get(FAILED, 0), "said": load.failures},
        "timeouts": count.get(TIMED_OUT, 0),
        "stages_ms": {stage: {"p50": float(np.median(ms)), "n": len(ms)} for stage, ms in load.stages_ms.items()},
        "late_ms": percentiles(late),
        "generator_was_the_limit": _too_late(late, latency[counted & (load.status > 0)]),
    }


def _too_late(late: Floats, latency: Floats) -> bool:
    """The tails of so few values as there are are good enough for a warning."""
    behind = np.quantile(late, 0.99)
    return bool(behind > LATE_MS and (not len(latency) or behind > LATE_SHARE * np.quantile(latency, 0.99)))


def tables(runs: Sequence[dict[str, Any]]) -> list[Table]:
    """What came of the requests, how long they took, and where the milliseconds went: a row for each run."""
    outcomes = Table("rate", "n", "offered", "achieved", "goodput", "429", "other", "errors", "timeout")
    outcomes.caption = (
        "per second: offered is what was sent, achieved what was answered with 200,\n"
        f"goodput of that within {runs[0]['bound_ms']:g} ms; the rest are numbers of requests"
    )
    latency = Table("rate", "n", *PERCENTILES, "max", "429 p50", "429 p99")
    latency.caption = (
        "ms from the intended send to the whole answer of 200;\n"
        f"a percentile with fewer than {BEYOND} values beyond it is left out"
    )
    stages = Table("rate", *STAGES, "late p50", "late p99")
    stages.caption = "ms: medians of the service's own times; how late the generator sent"
    for run in runs:
        rate, rejected, late = f"{run['rate']:.4g}", run["rejected"], run["late_ms"]
        other = sum(each["n"] for each in run["other_statuses"].values())
        outcomes.add_row(
            *(rate, str(run["n"]), *(f"{run[each]:.1f}" for each in ("offered", "achieved", "goodput"))),
            *map(str, (rejected["n"], other, run["connection_errors"]["n"], run["timeouts"])),
        )
        latency.add_row(
            *(rate, str(run["latency_ms"]["n"]), *(_ms(run["latency_ms"][each]) for each in (*PERCENTILES, "max"))),
            *(_ms(rejected["latency_ms"][each]) for each in ("p50", "p99")),
        )
        times = run["stages_ms"]
        stages.add_row(
            rate, *(_ms(times.get(stage, {}).get("p50")) for stage in STAGES), _ms(late["p50"]), _ms(late["p99"])
        )
    return [outcomes, latency, stages]


def remarks(runs: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each kind of failure of each run, and for each run that the generator, not the service, limited."""
    lines = []
    for run in runs:
        at = f"at {run['rate']:.4g}/s"
        for status, other in run["other_statuses"].items():
            lines.append(f"{at}: {status} x {other['n']}: {other['said'] or 'without a word'}")
        for why, n in run["connection_errors"]["said"].items():
            lines.append(f"{at}: no answer x {n}: {why}")
        if run["generator_was_the_limit"]:
            lines.append(
                f"{at}: warning: the generator was the limit, not the service alone: it sent up to "
                f"{run['late_ms']['max']:.1f} ms late, and the latencies contain it: give it a core of its own"
            )
    return lines


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
