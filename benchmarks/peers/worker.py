"""One engine with one network, in a process of its own: it answers while its turn lasts and sleeps on a pipe else.

It reads lines of JSON from standard input and answers each with a line. ``{"runs": n}``: n timed runs after
``"warm"`` untimed ones, as ``{"ms": [...]}``. ``{"logits": n}``: what it makes of the first n pictures. The first line
that it writes says that it is ready, or ``{"error": ...}``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.engines import ENGINES, Images, Run


def main() -> int:
    given = json.loads(sys.argv[1])
    os.sched_setaffinity(0, given["cores"])  # before an engine looks how many there are
    with os.fdopen(os.dup(1), "w") as answers:  # what engines print goes to standard error
        os.dup2(2, 1)

        def say(what: dict[str, Any]) -> None:
            answers.write(json.dumps(what) + "\n")
            answers.flush()

        try:
            pictures: Images = np.load(given["pictures"])["images"]
            batch = given["batch"]
            run = ENGINES[given["engine"]](Path(given["file"]), given["threads"], batch, **given["options"])
            run(pictures[:batch])
        except Exception as error:  # whatever the engine raises is the reason that the table gives
            say({"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]})
            return 1
        say({"ready": True})
        for line in sys.stdin:
            wanted = json.loads(line)
            if "logits" in wanted:
                say({"logits": logits(run, pictures[: wanted["logits"]], batch)})
            else:
                say({"ms": timed(run, pictures[:batch], wanted["warm"], wanted["runs"])})
    return 0


def timed(run: Run, images: Images, warm: int, runs: int) -> list[float]:
    """Milliseconds of each run."""
    for _ in range(warm):
        run(images)
    marks = [time.perf_counter_ns()]
    for _ in range(runs):
        run(images)
        marks.append(time.perf_counter_ns())
    return [float(ms) for ms in np.diff(marks) / 1e6]


def logits(run: Run, images: Images, batch: int) -> list[list[float]]:
    """(images, classes), in batches of the only size that the engine takes; the last one repeats its last image."""
    found = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        whole = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
        found.append(run(whole)[: len(part)])
    return [row.tolist() for row in np.concatenate(found)]


if __name__ == "__main__":
    sys.exit(main())
