"""100,000 requests: whether the service's memory grows, and what it uses when nobody asks.

The resident size is read after every hundredth of the requests. The first 20% are warm-up. What is left is cut into
blocks; the growth is the mean of the steps from one block's median to the next, with Student's 95% interval, over as
many requests as were asked. *flat*: the interval's high end is below ALLOWED; *grows*: its low end is above; else
*undecided*.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rich.console import Console
from scipy import stats

from benchmarks.serving.callers import Answer, call
from benchmarks.serving.part import SERVE, Part
from benchmarks.serving.processes import Running, cpu_seconds, memory
from rgp.load.target import Target

CALLERS = 4
SAMPLES = 100
WARMUP = 0.2
BLOCKS = 10
ALLOWED = 84 * 100_000
"""Bytes over 100,000 requests: less than the smallest Python object each."""


def run(part: Part) -> dict[str, Any]:
    """The soak, and the idle CPU before and after it."""
    requests, idle_seconds = (4000, 5.0) if part.quick else (100_000, 30.0)
    command = (sys.executable, "-m", "benchmarks.serving.leaking") if part.leak else SERVE
    environment = {"RGP_BENCH_LEAK": str(part.leak)} if part.leak else {}
    name = "soak-leaking" if part.leak else "soak"
    with part.rgp_serve(
        "--max-waiting", str(2 * CALLERS), name=name, command=command, environment=environment
    ) as running:
        target = Target.find(running.url)
        idle = [_idle(running, idle_seconds)]
        asked, sizes, statuses, seconds = _ask(part, running, target, requests)
        idle.append(_idle(running, idle_seconds))
    result = {
        "requests": requests,
        "leak_bytes_per_request": part.leak,
        "statuses": statuses,
        "per_second": requests / seconds,
        **growth(np.array(asked), np.array(sizes), requests),
        "samples": list(zip(asked, sizes, strict=True)),
        "idle_cpu_percent": {"before": idle[0], "after": idle[1], "seconds": idle_seconds},
        "method": __doc__,
    }
    result["verdicts"] = {
        f"memory is flat ({result['verdict']})": result["verdict"] == "flat",
        "idle CPU < 1% of a core": max(idle) < 1,
        "every answer 200": set(statuses) == {"200"},
    }
    _print(result)
    return result


def growth(asked: Any, sizes: Any, requests: int) -> dict[str, Any]:
    """Bytes by which ``sizes`` (n,), read after ``asked`` (n,) requests, grow over ``requests``; with 95% interval."""
    kept = asked >= WARMUP * requests
    blocks = np.array_split(np.flatnonzero(kept), BLOCKS)
    middles = np.array([asked[block].mean() for block in blocks])
    steps = np.diff([np.median(sizes[block]) for block in blocks]) / np.diff(middles) * requests
    half = float(stats.t.ppf(0.975, len(steps) - 1) * steps.std(ddof=1) / len(steps) ** 0.5)
    mean, allowed = float(steps.mean()), ALLOWED * requests / 100_000
    verdict = "flat" if mean + half < allowed else "grows" if mean - half > allowed else "undecided"
    return {"growth": mean, "growth_ci95": [mean - half, mean + half], "allowed": allowed, "verdict": verdict}


def _ask(
    part: Part, running: Running, target: Target, requests: int
) -> tuple[list[int], list[int], dict[str, int], float]:
    messages = part.messages(target)
    asked, sizes = list[int](), list[int]()
    statuses: dict[str, int] = {}
    done, began = 0, time.monotonic()

    def on_answer(answer: Answer) -> None:
        nonlocal done
        done += 1
        statuses[str(answer.status)] = statuses.get(str(answer.status), 0) + 1
        if done % (requests // SAMPLES) == 0:
            asked.append(done)
            sizes.append(memory(running.pid))

    call(
        target,
        lambda index: messages[index % len(messages)],
        callers=CALLERS,
        more=lambda index: index < requests,
        on_answer=on_answer,
    )
    return asked, sizes, statuses, time.monotonic() - began


def _idle(running: Running, seconds: float) -> float:
    """Percent of one core, while nobody asks."""
    time.sleep(2)
    before, began = cpu_seconds(running.pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_seconds(running.pid) - before) / (time.monotonic() - began)


def _print(result: dict[str, Any]) -> None:
    low, high = (each / 2**20 for each in result["growth_ci95"])
    idle = result["idle_cpu_percent"]
    console = Console()
    console.print(
        f"{result['requests']} requests at {result['per_second']:.0f}/s: {result['growth'] / 2**20:.2f} MiB more over "
        f"all of them, 95% {low:.2f} to {high:.2f}, {result['allowed'] / 2**20:.2f} allowed; idle CPU "
        f"{idle['before']:.2f}% before, {idle['after']:.2f}% after, over {idle['seconds']:g} s",
        highlight=False,
    )
