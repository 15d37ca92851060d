"""Ten times the rate that rgp-serve can answer, with its default settings, then a trickle that shows when it is well.

In each round first one caller, who asks again when it has its answer (unloaded), then an open loop, Poisson (overload).
A service is well again from the first request of the trickle after which each one gets 200 within three times the
unloaded p99. Verdicts are on the medians over the calm rounds: the host takes the cores away now and then (steal), and
what waits for a core then waits for no fault of the service. There are rounds until enough were calm, up to a limit.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.serving.callers import saturate
from benchmarks.serving.part import Part
from benchmarks.serving.processes import Running, Sampler, cpu_seconds, memory, steal
from rgp.environment import available_cores
from rgp.errors import RgpError
from rgp.load.generator import Load, arrivals, send
from rgp.load.report import summary
from rgp.load.target import Target

FACTOR = 10
TRICKLE = 20.0
"""Requests a second afterwards: recovery is known to a twentieth of a second."""
TRICKLE_SECONDS = 5.0
TIMES_UNLOADED = 3
REFUSED_MS = 5
CALM = 0.03
"""Share of the cores' time that the host may take in a calm round."""
LEAST = 200
"""Answers for a p99 in one round: two lie beyond it. The median over rounds is what counts."""
MEDIANS = (
    *("unloaded_p99", "admitted_p50", "admitted_p99", "admitted_p99_over_unloaded"),
    *("refused_p50", "refused_p95", "refused_p99", "well_again_s", "service_cores", "steal"),
)


def run(part: Part) -> dict[str, Any]:
    """Measure it; the verdicts say whether what must be reached is."""
    wanted, most, alone_seconds, seconds = (1, 2, 20.0, 15.0) if part.quick else (4, 12, 25.0, 20.0)
    found: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    with part.rgp_serve() as running:
        target = Target.find(running.url)
        service = target.require_ready()
        messages = part.messages(target)
        full = saturate(target, messages, int(service["limits"]["max_waiting"]), running.pid, warmup=2, seconds=15)
        rate, before = FACTOR * full["per_second"], memory(running.pid)
        while len(found) < most and len(_calm(found)) < wanted:
            found.append(_round(target, messages, running, rate, alone_seconds, seconds, rng))
        time.sleep(1)
        after = memory(running.pid)
    result = {
        "saturation": full,
        "rounds": found,
        "calm": len(_calm(found)),
        "medians": {key: float(np.median([each[key] for each in _calm(found) or found])) for key in MEDIANS},
        "offered_over_saturation": float(np.median([each["overload"]["offered"] for each in found]))
        / full["per_second"],
        "memory": {"before": before, "most": max(each["memory"] for each in found), "after": after},
        "plan": service["plan"],
        "limits": service["limits"],
        "method": __doc__,
    }
    result["verdicts"] = _verdicts(result)
    _print(result)
    return result


def _round(
    target: Target, messages: list[bytes], running: Running, rate: float, alone_seconds: float, seconds: float,
    rng: np.random.Generator,
) -> dict[str, Any]:  # fmt: skip
    taken, began = steal(), time.monotonic()
    alone_ms: list[float] = []
    alone = saturate(target, messages, 1, running.pid, warmup=1, seconds=alone_seconds, each_ms=alone_ms)
    alone_p99 = _p99(np.array(alone_ms))
    bound = TIMES_UNLOADED * alone_p99
    trickle = seconds + np.arange(1, TRICKLE * TRICKLE_SECONDS + 1) / TRICKLE
    intended = np.concatenate([arrivals(rate, seconds, rng), trickle])
    sampler, cpu, storm_began = Sampler(running.pid), cpu_seconds(running.pid), time.monotonic()
    load = send(target, messages, intended, seconds=seconds, timeout=10)
    during = [size for _, size in sampler.close()]
    ended = time.monotonic()
    storm = _until(load, seconds)
    shown, ms = summary(storm, rate=rate, bound_ms=bound), 1000 * (storm.ended - storm.intended)
    admitted_p99, refused = _p99(ms[storm.status == 200]), ms[storm.status == 429]
    return {
        "unloaded_ms": alone["latency_ms"],
        "overload": shown,
        "unloaded_p99": alone_p99,
        "admitted_p50": float(np.median(ms[storm.status == 200])),
        "admitted_p99": admitted_p99,
        "admitted_p99_over_unloaded": admitted_p99 / alone_p99,
        "refused_p50": float(np.median(refused)),
        "refused_p95": float(np.quantile(refused, 0.95)),
        "refused_p99": _p99(refused),
        "well_again_s": _well_again(load, seconds, bound),
        "memory": max(during),
        "service_cores": (cpu_seconds(running.pid) - cpu) / (ended - storm_began),
        "steal": (steal() - taken) / (ended - began) / available_cores(),
    }


def _calm(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in rounds if each["steal"] <= CALM]


def _verdicts(result: dict[str, Any]) -> dict[str, bool]:
    medians, rounds = result["medians"], [each["overload"] for each in result["rounds"]]
    return {
        "admitted p99 <= 3 x unloaded": medians["admitted_p99_over_unloaded"] <= TIMES_UNLOADED,
        "429 in < 5 ms, 95 of 100": medians["refused_p95"] < REFUSED_MS,
        "429 in < 5 ms, 99 of 100": medians["refused_p99"] < REFUSED_MS,
        "nothing but 200 and 429": all(each["n"] == each["latency_ms"]["n"] + each["rejected"]["n"] for each in rounds),
        "memory grew by less than 5%": result["memory"]["most"] < 1.05 * result["memory"]["before"],
        "well again within 1 s": medians["well_again_s"] <= 1,
    }


def _p99(ms: NDArray[np.float64]) -> float:
    if len(ms) < LEAST:
        raise RgpError(f"{len(ms)} answers are too few for a p99: take a faster network")
    return float(np.quantile(ms, 0.99))


def _until(load: Load, seconds: float) -> Load:
    """The part of ``load`` that was meant to leave before."""
    kept = load.intended < seconds
    return replace(
        load, intended=load.intended[kept], sent=load.sent[kept], ended=load.ended[kept], status=load.status[kept]
    )


def _well_again(load: Load, seconds: float, bound_ms: float) -> float:
    """Seconds from the end of the overload; infinite if it never is."""
    trickle = load.intended > seconds
    good = ((load.status == 200) & (1000 * (load.ended - load.intended) <= bound_ms))[trickle]
    bad = np.flatnonzero(~good)
    first = int(bad[-1]) + 1 if len(bad) else 0
    return float("inf") if first == len(good) else float(load.intended[trickle][first] - seconds)


def _print(result: dict[str, Any]) -> None:
    table = Table(*("round", *MEDIANS), title=f"{result['offered_over_saturation']:.1f} x saturation; ms, seconds")
    for number, row in [*enumerate(result["rounds"], 1), (f"median of {result['calm']}", result["medians"])]:
        table.add_row(str(number), *(f"{row[key]:.3g}" for key in MEDIANS))
    sizes = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in result["memory"].items())
    table.caption = f"saturation {result['saturation']['per_second']:.1f}/s; {sizes}"
    console = Console(width=140)
    console.print(table)
    if any(each["overload"]["generator_was_the_limit"] for each in result["rounds"]):
        console.print("the generator was late: latencies contain its own waiting for a core")
