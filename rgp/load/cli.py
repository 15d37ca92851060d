"""``rgp-bench serve``: the load test of a running service."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rgp.bench_cli import require_matplotlib
from rgp.environment import environment
from rgp.errors import RgpError, UsageError
from rgp.files import written_whole
from rgp.load.arguments import KEY, parser
from rgp.load.generator import Load, arrivals, send
from rgp.load.images import SIZE, from_folder, photographs
from rgp.load.report import remarks, summary, tables
from rgp.load.search import highest_rate, lowest_rate, verdict
from rgp.load.target import Target

SAID = ("name", "architecture", "sha256", "engine", "plan", "version")
"""What is kept of ``GET /info``."""


def run(argv: Sequence[str] | None) -> None:
    """Load the service as ``argv`` says, print what it showed; raises RgpError for what a user can mend."""
    options = parser().parse_args(argv)
    if options.plot:
        require_matplotlib()
    target = Target.find(options.url, options.key or os.environ.get(KEY))
    service = target.require_ready()
    bodies = from_folder(options.images, options.seed) if options.images else photographs(options.seed)
    _raise_file_limit()
    with _progress() as progress:
        bench = _Bench(options, target, [target.message(*body) for body in bodies], progress)
        found = _search(bench) if options.p99 else None
        for rate in () if options.p99 else options.rates or (options.rate,):
            bench.probe(rate)
    result = {
        "target": options.url,
        "settings": {
            "arrivals": options.arrivals,
            "images": str(options.images) if options.images else f"{SIZE[0]}x{SIZE[1]} JPEGs, made",
            "mean_bytes": sum(len(body) for body, _ in bodies) / len(bodies),
            **{name: getattr(options, name) for name in ("duration", "warmup", "timeout", "seed")},
        },
        "service": {name: service[name] for name in SAID if name in service},
        "client": environment(),
        "runs": bench.runs,
        "found": found,
    }
    if options.output:
        with written_whole(options.output) as file:
            file.write(json.dumps(result, indent=1).encode())
    if options.plot:
        _draw(bench, "\n".join(_about(result)))
    if options.json:
        print(json.dumps(result))
    else:
        _print(result)


@dataclass
class _Bench:
    """The runs at one rate after the other, and what they showed."""

    options: argparse.Namespace
    target: Target
    messages: Sequence[bytes]
    progress: Progress
    loads: list[Load] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    def probe(self, rate: float) -> dict[str, Any]:
        """Run at ``rate``, and sum it up."""
        options, warmup, seconds = self.options, self.options.warmup, self.options.duration
        rng = np.random.default_rng([options.seed, len(self.runs)])
        intended = arrivals(rate, warmup + seconds, rng, poisson=options.arrivals == "poisson") - warmup
        if not (intended >= 0).any():
            raise UsageError(f"at {rate:g} a second no request falls into --duration {seconds:g}: give more of either")
        task = self.progress.add_task(f"{rate:.4g}/s", total=warmup + seconds)

        def tell(now: float) -> None:
            self.progress.update(task, completed=now + warmup, refresh=True)

        load = send(self.target, self.messages, intended, seconds=seconds, timeout=options.timeout, on_progress=tell)
        self.progress.remove_task(task)
        self.loads.append(load)
        bound = options.p99 or options.bound or 1000 * options.timeout
        self.runs.append(summary(load, rate=rate, bound_ms=bound))
        return self.runs[-1]


def _search(bench: _Bench) -> dict[str, Any]:
    """The rate that was found; raises RgpError if there is none."""
    bound, seconds = bench.options.p99, bench.options.duration
    rate = highest_rate(lambda rate: verdict(bench.probe(rate), bound) == "passes", lowest_rate(seconds))
    if rate is None:
        first = bench.runs[0]
        raise RgpError(
            f"no rate has a p99 within {bound:g} ms: {first['rate']:.4g}/s, the lowest that gives a p99 in --duration "
            f"{seconds:g}, already fails ({verdict(first, bound)}): give a longer --duration or a higher --p99"
        )
    return {"rate": rate, "p99_ms": bound}


def _progress() -> Progress:
    columns, console = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()), Console(stderr=True)
    # drawn once a second by the generator itself: drawing takes 1.5 ms, and a thread that draws makes requests late
    return Progress(*columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal)


def _draw(bench: _Bench, about: str) -> None:
    from rgp.graph_plot import save
    from rgp.load.plot import run_figure, sweep_figure

    runs = bench.runs
    save(sweep_figure(runs, about) if len(runs) > 1 else run_figure(bench.loads[0], runs[0], about), bench.options.plot)


def _about(result: dict[str, Any]) -> list[str]:
    """What was measured, and from where."""
    settings, service, client = result["settings"], result["service"], result["client"]
    engine, plan = service.get("engine", {}), service.get("plan", {})
    served = f"{service['name']}, {engine.get('engine')} on {engine.get('device')}" if service else "no /info"
    lanes = f", {plan['threads']} threads x {plan['lanes']} lanes" if plan else ""
    return [
        f"{result['target']}: {served}{lanes}",
        f"{settings['arrivals']} arrivals for {settings['duration']:g} s after {settings['warmup']:g} s of warm-up, "
        f"seed {settings['seed']}, images of {settings['mean_bytes'] / 1000:.0f} kB",
        f"client: {client['cpu']}, {client['cores']} cores",
    ]


def _print(result: dict[str, Any]) -> None:
    console = Console()
    say = partial(console.print, highlight=False, soft_wrap=True, markup=False)
    for line in _about(result):
        say(line)
    shown = runs = result["runs"]
    if found := result["found"]:
        probes = Table("rate", "n", "p50", "p99", "429", "verdict", title="probes, ms")
        for run in runs:
            latency = [f"{run['latency_ms'][name] or math.nan:.3g}" for name in ("p50", "p99")]
            rejected = str(run["rejected"]["n"])
            probes.add_row(f"{run['rate']:.4g}", str(run["n"]), *latency, rejected, verdict(run, found["p99_ms"]))
        console.print(probes)
        shown = [run for run in runs if run["rate"] == found["rate"]]
    for table in tables(shown):
        console.print(table)
    for line in remarks(runs):
        say(line)
    if found:
        say(f"{found['rate']:.4g} requests a second: the highest rate found whose p99 is within {found['p99_ms']:g} ms")


def _raise_file_limit() -> None:
    """Let this process hold as many connections as the system allows it, not the 1,024 that are usual."""
    if os.name == "posix":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
