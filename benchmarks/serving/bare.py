"""The bare loop: decode, preprocess, run, again and again, on all cores and with no HTTP. A process of its own.

``python -m benchmarks.serving.bare BUNDLE --threads T --callers N`` reads seconds, a line each, from standard input and
prints a line of JSON for each: so it is warm, and stands still while something else is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.environment import available_cores
from rgp.load.images import photographs
from rgp.preprocess import Preprocess
from rgp.serve.classify import prepare


def ways() -> list[tuple[int, int]]:
    """(threads of an inference, callers): a caller for each core, or one caller with all of them."""
    return sorted({(1, available_cores()), (available_cores(), 1)})


@dataclass(frozen=True)
class Bare:
    """A bare loop that waits for its turn."""

    process: subprocess.Popen[str]

    def measure(self, seconds: float) -> dict[str, float]:
        """``per_second``, images, and ``cpu_ms`` of an image."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        found: dict[str, float] = json.loads(self.process.stdout.readline())
        return found


@contextmanager
def started(bundle: Path, threads: int, callers: int) -> Iterator[Bare]:
    """A bare loop in a process of its own, warm."""
    command = [sys.executable, "-m", "benchmarks.serving.bare", str(bundle)]
    command += ["--threads", str(threads), "--callers", str(callers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            bare = Bare(process)
            bare.measure(1)
            yield bare
        finally:
            process.kill()


def loop(engine: Engine, preprocess: Preprocess, images: list[bytes], callers: int, seconds: float) -> dict[str, float]:
    """Run it here."""
    rates, done = [0.0] * callers, [0] * callers
    cpu, begin = time.process_time(), time.perf_counter()

    def caller(number: int) -> None:
        while time.perf_counter() < begin + seconds:
            engine.run(prepare(preprocess, images[(number + done[number]) % len(images)]).pixels)
            done[number] += 1
        rates[number] = done[number] / (time.perf_counter() - begin)  # each by its own end

    each = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()
    return {"per_second": sum(rates), "cpu_ms": 1000 * (time.process_time() - cpu) / sum(done)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--callers", type=int, required=True)
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    engine = bundle.start("compiled", threads=options.threads)
    images = [data for data, _ in photographs(0)]
    for line in sys.stdin:
        found = loop(engine, bundle.require_images(), images, options.callers, float(line))
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
