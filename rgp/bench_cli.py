"""``rgp-bench``: measure a bundle again, dense against compiled, on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rgp.cli import guarded
from rgp.environment import available_cores, environment

DESCRIPTION = """Run the dense and the compiled engine of a bundle back to back on the same random images, in random
order, with threads that do not spin, and report the median of the pairs' ratios with its bootstrap interval."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(_main, argv, "rgp-bench")


def _main(argv: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(prog="rgp-bench", description=DESCRIPTION)
    parser.add_argument("bundle", type=Path, help="a folder that rgp-compile wrote")
    parser.add_argument("--threads", type=positive, default=available_cores(), help="default: all cores (%(default)s)")
    parser.add_argument("--batch", type=batch_list, help="batch sizes (default: those of the bundle's report)")
    parser.add_argument("--pairs", type=positive, default=200, help="pairs for each batch size (default: 200)")
    parser.add_argument("--seconds", type=positive, default=30, help="at most, for each batch size (default: 30)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)

    import numpy as np  # after the arguments: --help and usage errors need no engine

    from rgp.bundle import Bundle
    from rgp.engines.ort import OrtEngine
    from rgp.measure import compare

    bundle = Bundle.open(arguments.bundle)
    dense, compiled = (
        partial(OrtEngine, bundle.files[file], threads=arguments.threads) for file in ("dense.onnx", "compiled.onnx")
    )
    side = bundle.preprocess.size
    rng = np.random.default_rng(0)
    latency = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for batch in arguments.batch or [row["batch"] for row in bundle.report["latency"]]:
            task = progress.add_task(f"batch {batch}", total=arguments.pairs)
            images = rng.integers(0, 256, (batch, side, side, bundle.preprocess.channels), np.uint8)
            comparison = compare(
                dense,
                compiled,
                images,
                pairs=arguments.pairs,
                seconds=arguments.seconds,
                on_pair=lambda task=task: progress.advance(task),  # type: ignore[misc]
            )
            latency.append(comparison.to_dict())
    where = {**environment(), **compiled().describe()}
    if arguments.json:
        print(json.dumps({"name": bundle.name, "sha256": bundle.sha256, "environment": where, "latency": latency}))
        return
    console = Console()
    console.print(f"{bundle.name} on {where['cpu']}, {where['threads']} threads", highlight=False, soft_wrap=True)
    console.print(latency_table(latency))


def latency_table(latency: Sequence[dict[str, Any]]) -> Table:
    """The ``latency`` list of a report as a table."""
    table = Table(
        *("batch", "dense", "compiled", "speed-up", "95% interval", "pairs"),
        caption="milliseconds a batch, median / 90th percentile",
    )
    for row in latency:
        low, high = row["speedup_ci95"]
        table.add_row(
            str(row["batch"]),
            *(f"{row[f'{engine}_ms_p50']:.3f} / {row[f'{engine}_ms_p90']:.3f}" for engine in ("dense", "compiled")),
            f"{row['speedup']:.2f}x",
            f"{low:.2f} to {high:.2f}",
            str(row["pairs"]),
        )
    return table


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)


def batch_list(text: str) -> tuple[int, ...]:
    """Batch sizes separated by commas, for argparse."""
    return tuple(positive(part.strip()) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
