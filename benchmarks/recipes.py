"""What a graph and a recipe do to accuracy: ``make study`` trains the CIFAR form of ResNet-18 on digits, five seeds.

Real scans, upscaled to 12x12; 1,433 to train, 364 held out, so one image is 0.27 points. Every case has the same
seeds, and differences to the reference are taken seed by seed. ``benchmarks/results/recipes.json`` keeps each run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import t as student

from rgp.environment import environment
from rgp.files import written_whole
from rgp.train.config import TrainConfig

RESULTS = Path(__file__).parent / "results" / "recipes.json"
# the paper's 0.1 at 256 images a step, scaled to 64 (Goyal et al., arXiv 1706.02677)
COMMON: dict[str, Any] = {"lr": 0.025, "batch_size": 64, "weight_decay": 5e-4}
PAPER: dict[str, Any] = COMMON | {"rate_per": "epoch"}
# the recipe as it was: its density-scaled weights are gone since
RGP: dict[str, Any] = COMMON | {
    **{"norm_decay": False, "warmup_epochs": 1, "label_smoothing": 0.1},
    **{"ema": 0.99, "init": "density"},
}
# case: (its settings, the case to compare it with)
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "dense, paper": (PAPER, ""),
    "dense, rgp": (RGP, "dense, paper"),
    "64_16, paper": (PAPER | {"graph": "64_16"}, "dense, paper"),
    "64_16, rgp": (RGP | {"graph": "64_16"}, "64_16, paper"),
    "64_16, paper, density init": (PAPER | {"graph": "64_16", "init": "density"}, "64_16, paper"),
    "64_16, paper, self-loops": (PAPER | {"graph": "64_16?loops=1"}, "64_16, paper"),
    "64_16, paper, rotated": (PAPER | {"graph": "64_16?rotate=1"}, "64_16, paper"),
    "cliques, paper, rotated": (PAPER | {"graph": "affine:64_16?classes=1&rotate=1"}, "64_16, paper"),
}
FIGURES = ("top1", "loss")


def main() -> None:
    """Train every case with every seed, print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES), metavar="CASE")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each on one thread")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    runs: list[dict[str, Any]] = []
    results: dict[str, Any] = {"environment": environment(), "threads": 1, "epochs": options.epochs, "runs": runs}
    # seeds outside, so that a study that is cut off has compared all cases
    tasks = [(case, seed, options.epochs) for seed in range(options.seeds) for case in options.cases]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, *task) for task in tasks]
        for future in track(as_completed(futures), total=len(tasks), description="training"):
            runs.append(future.result())
            results["cases"] = list(summaries(runs))
            with written_whole(options.output) as file:
                file.write((json.dumps(results, indent=1) + "\n").encode())
    Console(width=max(120, Console().width)).print(table(results["cases"]))


def run(case: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train once; the figures of the last epoch."""
    import torch

    from rgp.train.loop import train

    torch.set_num_threads(1)
    settings, _ = CASES[case]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        result = train(
            TrainConfig(
                data="digits:12",
                architecture="cifar_resnet18",
                epochs=epochs,
                seed=seed,
                runs=folder,
                device="cpu",
                **settings,
            )
        )
    figures = {figure: result.last[figure] for figure in (*FIGURES, "raw_top1") if figure in result.last}
    return {"case": case, "seed": seed, **figures, "macs": result.cost.macs, "seconds": round(result.seconds, 1)}


def summaries(runs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Mean, deviation and the difference to the reference over common seeds, with its 95% interval, of each case."""
    for case, (settings, reference) in CASES.items():
        ours = {each["seed"]: each for each in runs if each["case"] == case}
        theirs = {each["seed"]: each for each in runs if each["case"] == reference}
        if not ours:
            continue
        summary: dict[str, Any] = {"case": case, "settings": settings, "n": len(ours), "against": reference}
        for figure in FIGURES:
            values = [each[figure] for each in ours.values()]
            summary[figure] = {"mean": statistics.mean(values), "deviation": _deviation(values)}
            differences = [ours[seed][figure] - theirs[seed][figure] for seed in ours.keys() & theirs.keys()]
            if differences:
                half = math.nan
                if len(differences) > 1:
                    half = student.ppf(0.975, len(differences) - 1) * _deviation(differences) / len(differences) ** 0.5
                mean = statistics.mean(differences)
                summary[figure] |= {"difference": mean, "interval": [mean - half, mean + half]}
        yield summary


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def table(cases: list[dict[str, Any]]) -> Table:
    """One row a case."""
    grid = Table("case", "n", "top-1, %", "loss", "against", "top-1, points", "loss")
    for case in cases:
        cells = [
            f"{case[figure]['mean']:.{digits}f} ± {case[figure]['deviation']:.{digits}f}" for figure, digits in _SHOWN
        ]
        changes = [""] * len(FIGURES)
        if case["against"] and "difference" in case["top1"]:
            changes = [_change(case[figure], digits) for figure, digits in _SHOWN]
        grid.add_row(case["case"], str(case["n"]), *cells, case["against"], *changes)
    return grid


def _change(figure: dict[str, Any], digits: int) -> str:
    low, high = (f"{end:+.{digits}f}" for end in figure["interval"])
    return f"{figure['difference']:+.{digits}f} [{low}, {high}]"


_SHOWN = (("top1", 2), ("loss", 4))

if __name__ == "__main__":
    main()
