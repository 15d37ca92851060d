"""rgp-serve, LitServe, BentoML and Ray Serve beside a bare loop, in random order, round after round.

All serve the same compiled ONNX on the same engine, from the same JPEGs, on the same cores as the callers. First each
service's settings and numbers of callers are tried, and its best ones kept. Then in each round each service is started,
and saturated by callers in a closed loop for a moment, in turns with the bare loop, which waits in a process beside it:
these machines are shared, and change from one half minute to the next. At last it is asked at half the rate that it
has reached, by an open loop. The ratio to the bare loop is the median over all turns, its interval by bootstrap over
rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.serving import bare
from benchmarks.serving.callers import saturate
from benchmarks.serving.environments import PEERS, install, launched
from benchmarks.serving.part import Part
from benchmarks.serving.processes import Running, memory, steal
from rgp.environment import available_cores
from rgp.errors import RgpError
from rgp.load.generator import arrivals, send
from rgp.load.report import summary
from rgp.load.target import Target
from rgp.measure import median_ci95

BARE, OURS = "bare loop", "rgp-serve"
MAX_WAITING = 64
"""Of rgp-serve: more than the callers, so that none is refused. Its baseline lane is off: it would run while the bare
loop has its turn."""
LEAST_OF_BARE = 0.9
FOR_P99 = 400
"""Requests at half the rate, at least."""


@dataclass(frozen=True)
class Times:
    """Seconds of each measurement."""

    rounds: int = 4
    turns: int = 6
    turn: float = 3
    warmup: float = 3
    half: float = 20
    callers: tuple[int, ...] = (4, 8, 16, 32)

    @classmethod
    def of(cls, part: Part) -> Times:
        """What the part asks for."""
        return cls(rounds=2, turns=2, turn=2, warmup=1, half=3, callers=(16,)) if part.quick else cls()


@dataclass(frozen=True)
class Setting:
    """How a service is run: ``batch`` 1 is none."""

    workers: int
    threads: int
    batch: int
    callers: int = 0


def run(part: Part) -> dict[str, Any]:
    """Measure all; what cannot be installed or started is listed with the reason."""
    times, rng = Times.of(part), np.random.default_rng(0)
    absent: dict[str, str] = {}
    versions: dict[str, dict[str, str]] = {}
    for peer in PEERS:
        try:
            versions[peer.name] = install(peer, part.cache)
        except RgpError as error:
            absent[peer.name] = str(error)
    best: dict[str, Setting] = {}
    tried: dict[str, list[dict[str, Any]]] = {}
    for name in (OURS, *versions):
        try:
            best[name], tried[name] = _tune(part, name, times)
        except RgpError as error:
            absent[name] = str(error)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in best}
    threads, callers = _best_way(part, times)
    with bare.started(part.bundle, threads, callers) as loop:
        for number in range(times.rounds):
            for name in rng.permutation([*best]).tolist():
                say(f"round {number + 1} of {times.rounds}: {name}")
                try:
                    rows[name].append(_round(part, name, best[name], times, loop, rng))
                except RgpError as error:
                    absent[name] = str(error)
                    del best[name], rows[name]
    turns = [turn for of in rows.values() for each in of for turn in each["turns"]]
    base = {key: float(np.median([turn["bare"][key] for turn in turns])) for key in ("per_second", "cpu_ms")}
    result: dict[str, Any] = {
        "bare": {"way": f"{threads} threads x {callers} callers", **base},
        "services": {
            name: {"setting": vars(best[name]), "rounds": of, "tried": tried[name], "versions": versions.get(name, {})}
            for name, of in rows.items()
        },
        "absent": absent,
        "times": vars(times),
        "method": __doc__,
    }
    for service in result["services"].values():
        service.update(_summary(service["rounds"]))
    result["verdicts"] = _verdicts(result["services"])
    _print(result)
    return result


def _tune(part: Part, name: str, times: Times) -> tuple[Setting, list[dict[str, Any]]]:
    """The setting and the number of callers that gave most; everything that was tried."""
    cores, tried = available_cores(), []
    settings = (
        [Setting(0, 0, 0)] if name == OURS else [Setting(cores, 1, 1), Setting(1, cores, 1), Setting(cores, 1, 4)]
    )
    failed = ""
    for setting in settings[:1] if part.quick else settings:
        say(f"settings of {name}: {setting}")
        try:
            with _serving(part, name, setting) as running:
                target = Target.find(running.url)
                for callers in times.callers:
                    found = saturate(
                        target,
                        part.messages(target),
                        callers,
                        running.pid,
                        warmup=times.warmup,
                        seconds=2 * times.turn,
                    )
                    tried.append({**vars(replace(setting, callers=callers)), "per_second": found["per_second"]})
        except RgpError as error:
            failed = str(error)
    if not tried:
        raise RgpError(failed)
    most = max(tried, key=lambda row: float(row["per_second"]))
    return Setting(**{key: most[key] for key in ("workers", "threads", "batch", "callers")}), tried


def _round(
    part: Part, name: str, setting: Setting, times: Times, loop: bare.Bare, rng: np.random.Generator
) -> dict[str, Any]:
    with _serving(part, name, setting) as running:
        target = Target.find(running.url)
        messages = part.messages(target)

        def asked(warmup: float) -> dict[str, Any]:
            return saturate(target, messages, setting.callers, running.pid, warmup=warmup, seconds=times.turn)

        asked(times.warmup)
        turns = []
        for _ in range(times.turns):
            taken, turn = steal(), dict[str, Any]()
            for which in rng.permutation(["bare", "service"]).tolist():
                turn[which] = loop.measure(times.turn) if which == "bare" else asked(times.turn / 10)
            turns.append({**turn, "steal": steal() - taken})
        rate = float(np.median([turn["service"]["per_second"] for turn in turns])) / 2
        if not rate:
            raise RgpError(f"{name} answered nothing: see {part.log(name)}")
        seconds = times.half if part.quick else max(times.half, FOR_P99 / rate)
        intended = arrivals(rate, seconds + times.warmup, np.random.default_rng(0)) - times.warmup
        load = send(target, messages, intended, seconds=seconds, timeout=10)
        return {"turns": turns, "half": summary(load, rate=rate, bound_ms=1000), "memory": memory(running.pid)}


def _best_way(part: Part, times: Times) -> tuple[int, int]:
    rates = {}
    for threads, callers in bare.ways():
        with bare.started(part.bundle, threads, callers) as loop:
            rates[threads, callers] = loop.measure(2 * times.turn)["per_second"]
    return max(rates, key=lambda way: rates[way])


@contextmanager
def _serving(part: Part, name: str, setting: Setting) -> Iterator[Running]:
    if name == OURS:
        with part.rgp_serve("--max-waiting", str(MAX_WAITING), "--baseline", "0") as running:
            yield running
        return
    (peer,) = (each for each in PEERS if each.name == name)
    with launched(part, peer, workers=setting.workers, threads=setting.threads, batch=setting.batch) as running:
        yield running


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    turns = [turn for each in rounds for turn in each["turns"]]
    ratios = np.array([turn["service"]["per_second"] / turn["bare"]["per_second"] for turn in turns])
    which = np.repeat(np.arange(len(rounds)), [len(each["turns"]) for each in rounds])

    def middle(key: str) -> float | None:
        return _median([turn["service"][key] for turn in turns])

    return {
        "per_second": middle("per_second"),
        "of_bare": float(np.median(ratios)),
        "of_bare_ci95": median_ci95(ratios, which),
        "p50_ms_at_half": _median([each["half"]["latency_ms"]["p50"] for each in rounds]),
        "p99_ms_at_half": _median([each["half"]["latency_ms"]["p99"] for each in rounds]),
        "cpu_ms": middle("cpu_ms"),
        "generator_cores": middle("generator_cores"),
        "not_200": sum(turn["service"]["not_200"] for turn in turns),
        "memory": _median([each["memory"] for each in rounds]),
    }


def _verdicts(services: dict[str, dict[str, Any]]) -> dict[str, bool]:
    if OURS not in services:
        return {f"{OURS} answers": False}
    ours = services[OURS]
    ahead = {f"ahead of {name}": ours["of_bare"] > other["of_bare"] for name, other in services.items() if name != OURS}
    return {"saturation >= 90% of the bare loop": ours["of_bare"] >= LEAST_OF_BARE, **ahead}


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _print(result: dict[str, Any]) -> None:
    base = result["bare"]
    columns = ("200s/s", "of bare", "95%", "p50 ms", "p99 ms", "CPU ms", "callers", "generator", "MiB", "setting")
    table = Table("service", *columns)
    table.caption = (
        f"bare loop: {base['per_second']:.1f}/s, {base['way']}, {base['cpu_ms']:.1f} CPU ms an image; "
        "CPU ms: for a 200, when saturated;\nlatency at half of each one's own rate; generator: cores that the callers "
        "took from it"
    )
    for name, of in sorted(result["services"].items(), key=lambda item: -item[1]["of_bare"]):
        low, high = of["of_bare_ci95"]
        setting = of["setting"]
        how = "measured at start" if name == OURS else "{workers} x {threads} threads, batch {batch}".format(**setting)
        table.add_row(
            name, f"{of['per_second']:.1f}", f"{of['of_bare']:.1%}", f"{low:.1%} to {high:.1%}",
            *("-" if of[key] is None else f"{of[key]:.1f}" for key in ("p50_ms_at_half", "p99_ms_at_half", "cpu_ms")),
            str(setting["callers"]), f"{of['generator_cores']:.2f}", f"{of['memory'] / 2**20:.0f}", how,
        )  # fmt: skip
    console = Console(width=140)
    console.print(table)
    for name, why in result["absent"].items():
        console.print(f"{name}: not measured: {why}", markup=False, highlight=False)


def say(text: str) -> None:
    """Progress, for who waits."""
    print(text, file=sys.stderr, flush=True)
