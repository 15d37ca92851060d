"""Two replicas of one lane each behind nginx beside one service with a lane for each core: what a proxy costs.

nginx has the committed configuration; it, the replicas and the callers share the cores. All three ways run all the
time and are asked in turns, in random order: the one service, the same through nginx, the replicas through nginx. No
baseline lane: it would run while another way has its turn. Ratios are medians over the turns, their interval by
bootstrap.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.serving.callers import saturate
from benchmarks.serving.part import Part
from benchmarks.serving.processes import steal
from rgp.environment import available_cores
from rgp.errors import RgpError
from rgp.load.target import Target
from rgp.measure import median_ci95
from tests.docker.proxy import MISSING, proxying

ONE, THROUGH, TWO = "one service", "one behind nginx", "two behind nginx"
CALLERS = 8
OPTIONS = ("--max-waiting", str(2 * CALLERS), "--baseline", "0")
LEAST_OF_ONE = 0.9


def run(part: Part) -> dict[str, Any]:
    """Measure it; raises RgpError without nginx."""
    if MISSING:
        raise RgpError(f"needs {' and '.join(MISSING)}: apt-get install nginx-light gettext-base")
    count, seconds = (2, 2.0) if part.quick else (12, 5.0)
    cores, rng = available_cores(), np.random.default_rng(0)
    with ExitStack() as stack:
        one = stack.enter_context(part.rgp_serve(*OPTIONS, "--lanes", str(cores), "--threads", "1", name="one"))
        two = [
            stack.enter_context(part.rgp_serve(*OPTIONS, "--lanes", "1", "--threads", "1", name=f"replica-{number}"))
            for number in range(cores)
        ]
        ways = {ONE: one.url}
        for name, services in ((THROUGH, [one]), (TWO, two)):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers = [f"127.0.0.1:{service.port}" for service in services]
            ways[name] = stack.enter_context(proxying(folder, servers)).url
        targets = {name: Target.find(url) for name, url in ways.items()}
        turns: list[dict[str, Any]] = []
        for _ in range(count):
            taken, turn = steal(), dict[str, Any]()
            for name in rng.permutation(list(ways)).tolist():
                target = targets[name]
                turn[name] = saturate(
                    target, part.messages(target), CALLERS, one.pid, warmup=seconds / 5, seconds=seconds
                )
                del turn[name]["cpu_ms"]  # of the one service only
            turns.append({**turn, "steal": steal() - taken})
    result: dict[str, Any] = {"turns": turns, "ways": {}, "replicas": cores, "method": __doc__}
    for name in ways:
        ratios = np.array([turn[name]["per_second"] / turn[ONE]["per_second"] for turn in turns])
        result["ways"][name] = {
            "per_second": float(np.median([turn[name]["per_second"] for turn in turns])),
            "p50_ms": float(np.median([turn[name]["latency_ms"]["p50"] for turn in turns])),
            "of_one": float(np.median(ratios)),
            "of_one_ci95": median_ci95(ratios, np.zeros(len(ratios), int), 1000),
            "not_200": sum(turn[name]["not_200"] for turn in turns),
        }
    result["verdicts"] = {
        f"{TWO}: >= 90% of one service": result["ways"][TWO]["of_one"] >= LEAST_OF_ONE,
        "nothing but 200": all(way["not_200"] == 0 for way in result["ways"].values()),
    }
    _print(result)
    return result


def _print(result: dict[str, Any]) -> None:
    table = Table("way", "200s/s", "of one", "95%", "p50 ms", "not 200", title=f"{CALLERS} callers")
    for name, way in result["ways"].items():
        low, high = way["of_one_ci95"]
        table.add_row(
            name, f"{way['per_second']:.1f}", f"{way['of_one']:.1%}", f"{low:.1%} to {high:.1%}",
            f"{way['p50_ms']:.1f}", str(way["not_200"]),
        )  # fmt: skip
    Console(width=120).print(table)
