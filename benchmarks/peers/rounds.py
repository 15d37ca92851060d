"""One cell: a network at one batch size on so many threads, all ways loaded, one running at a time, round after round.

A round gives every way a turn, in random order: runs that are not timed, then a burst of timed ones; its figure is the
burst's median. The others wait on their pipes meanwhile. A ratio is taken within a round. All processes are started
anew several times (builds), because where the system puts threads and memory decides some of their speed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import sources
from benchmarks.peers.environments import missing, python
from benchmarks.peers.ways import Way
from benchmarks.serving.processes import steal
from rgp.errors import RgpError

BURST_SECONDS = 0.15
MOST_RUNS = 10
PAUSE_SECONDS = 0.01
"""Between turns: by then the threads of the engine before have stopped to spin."""
EQUAL_IMAGES = 8
TOLERANCE = 1e-3
"""Of the largest logit, for those that must be equal: sums in another order, over some fifty layers."""


@dataclass(frozen=True)
class Setup:
    """What all workers of a cell share."""

    folder: Path
    cache: Path
    batch: int
    threads: int

    @property
    def cores(self) -> list[int]:
        """As many as threads, the last ones of those that this process may use: the first has the interrupts."""
        allowed = sorted(os.sched_getaffinity(0))
        return allowed[-self.threads :]


class Worker:
    """A way in a process of its own, ready. RgpError with the reason if it cannot be."""

    def __init__(self, way: Way, setup: Setup) -> None:
        if (reason := missing(way.environment, setup.cache)) is not None:
            raise RgpError(reason)
        file = setup.folder / way.file.format(threads=setup.threads)
        if not file.exists():
            noted = setup.folder / "absent.json"
            reasons = json.loads(noted.read_text()) if noted.is_file() else {}
            made = file.relative_to(setup.folder).parts[0]
            raise RgpError(reasons.get(made, f"{made} is missing: run prepare"))
        given = {
            "engine": way.engine, "file": str(file), "threads": setup.threads, "batch": setup.batch,
            "options": dict(way.options), "pictures": str(setup.folder / "pictures.npz"), "cores": setup.cores,
        }  # fmt: skip
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(setup.threads),
            "TORCHINDUCTOR_CACHE_DIR": str(setup.cache.resolve() / "inductor"),
            "NM_DISABLE_ANALYTICS": "1",
            "PYTHONPATH": str(sources(setup.cache)),
        }
        log = (setup.cache / "workers.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [python(way.environment, setup.cache), "-m", "benchmarks.peers.worker", json.dumps(given)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
                cwd=sources(setup.cache),
            )  # fmt: skip
        try:
            self._read()
        except RgpError:
            self.close()
            raise

    def ask(self, what: dict[str, Any]) -> Any:
        """Its answer to a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RgpError(f"it ended with exit code {self._process.wait()}; workers.log has why")
        said = json.loads(line)
        if "error" in said:
            raise RgpError(said["error"])
        return said


def measure(setup: Setup, ways: Sequence[Way], *, builds: int, rounds: int) -> dict[str, Any]:
    """All ways beside each other: ``rounds`` in each of ``builds``.

    ``ways``: by name, what it is, how near its answers are and ``ms``, (builds * rounds,); or ``absent``, the reason.
    ``steal``: seconds that other machines took during each round.
    """
    rng = np.random.default_rng(0)
    found: dict[str, dict[str, Any]] = {way.name: {**asdict(way), "row": way.row} for way in ways}
    taken: list[float] = []
    build_of: list[int] = []
    kept: dict[str, Worker] = {}
    with ExitStack() as whole:
        for build in range(builds):
            with ExitStack() as stack:
                workers: dict[str, Worker] = {}
                bursts: dict[str, dict[str, int]] = {}
                for way in ways:
                    entry = found[way.name]
                    if "absent" in entry:
                        continue
                    began = time.monotonic()
                    try:
                        worker = kept.get(way.name) or Worker(way, setup)
                        (whole if way.load_once else stack).callback(worker.close)
                        if build == 0:
                            entry["load_s"] = time.monotonic() - began
                            entry |= _compared(worker, way, setup)
                        bursts[way.name] = _burst(worker)
                    except RgpError as error:
                        entry["absent"] = str(error)
                        print(f"  absent: {way.name}: {error}", file=sys.stderr)
                        continue
                    workers[way.name] = worker
                    if way.load_once:
                        kept[way.name] = worker
                for _ in range(rounds):
                    before = steal()
                    for name in rng.permutation(sorted(workers)).tolist():
                        time.sleep(PAUSE_SECONDS)
                        times = workers[name].ask(bursts[name])["ms"]
                        found[name].setdefault("ms", []).append(float(np.median(times)))
                    taken.append(steal() - before)
                    build_of.append(build)
    return {"ways": found, "steal": taken, "build": build_of, "cores": setup.cores}


def _burst(worker: Worker) -> dict[str, int]:
    """How many runs a turn has: about BURST_SECONDS of them, after one or two that are not timed."""
    took = float(np.min(worker.ask({"warm": 1, "runs": 2})["ms"])) / 1000
    return {"warm": 1 if took > BURST_SECONDS / 3 else 2, "runs": int(np.clip(BURST_SECONDS / took, 1, MOST_RUNS))}


def _compared(worker: Worker, way: Way, setup: Setup) -> dict[str, Any]:
    """Its answers beside the masked network's; RgpError if they must be equal and are not."""
    expected = np.load(setup.folder / "pictures.npz")["logits"].astype(float)
    count = EQUAL_IMAGES if way.equal else len(expected)
    expected, got = expected[:count], np.array(worker.ask({"logits": count})["logits"])
    largest = float(np.abs(expected).max())
    difference = float(np.abs(got - expected).max())
    if way.equal and not difference <= TOLERANCE * largest:
        raise RgpError(f"its logits differ from the masked network's by {difference:.3g} of {largest:.3g}")
    agreement = float((got.argmax(1) == expected.argmax(1)).mean())
    return {"max_abs_diff": difference, "max_abs_logit": largest, "top1_agreement": agreement, "images": count}
