"""``python -m benchmarks.accuracy DATA``: what a graph does to accuracy, on glyphs (``rgp-train glyphs DATA``).

The CIFAR form of ResNet-18, one recipe for all. Every finished run is a row of benchmarks/results/accuracy.csv; the
same command goes on where it was cut off. Seeds are the outer loop, so that a study cut off has compared all cases;
networks widened to the dense MACs come last.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.accuracy.cases import ARCHITECTURE, CASES, Case
from benchmarks.accuracy.summary import figure, table
from benchmarks.accuracy.training import RECIPE, Row, run, settings
from rgp.cli import guarded
from rgp.errors import UsageError
from rgp.files import written_whole
from rgp.graph_plot import save
from rgp.train.config import TrainConfig

RESULTS = Path("benchmarks/results/accuracy.csv")
COLUMNS = (
    *("density", "case", "graph", "seed", "macs", "dense_macs", "parameters", "aspl"),
    *("val_top1", "val_loss", "test_top1", "test_loss", "seconds", "settings", "environment"),
)


def main() -> int:
    return guarded(_run, None, "benchmarks.accuracy")


def _run(argv: Sequence[str] | None) -> None:
    options = _parser().parse_args(argv)
    if (options.data is None) != options.quick:
        raise UsageError("data: name the folder that rgp-train glyphs wrote, or give --quick, which makes its own")
    chosen = [case for case in CASES if options.only in case.key]
    if not chosen:
        raise UsageError(f"only is '{options.only}': none of the cases has it: {', '.join(case.key for case in CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            options.data = Path(folder) / "glyphs"
            _make_small(options.data)
            options.runs, options.results = Path(folder) / "runs", Path(folder) / "accuracy.csv"
            options.seeds = options.epochs = 1
        tasks = [
            (case, _config(case, seed, options))
            for large in (False, True)  # the widened take four times as long
            for seed in range(options.seeds)
            for case in chosen
            if ("match_macs" in dict(case.settings)) == large
        ]
        if not options.summary:
            _study(tasks, options)
        rows = _read(options.results)
        if not rows:
            raise UsageError(f"{options.results}: no run has ended yet")
        Console(width=max(120, Console().width)).print(table(rows))
        picture = options.results.with_suffix(".svg")
        save(figure(rows), picture)
        if not options.quick:
            print(f"written: {options.results}, {picture}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="the folder that rgp-train glyphs wrote; not with --quick")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each on one thread (default: 2)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with this in their names, as in 25--ring")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where unfinished runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true", help="train nothing; only the table and the picture")
    parser.add_argument("--quick", action="store_true", help="minutes, on a few fonts of 16 x 16: to see that it works")
    return parser


def _make_small(out: Path) -> None:
    """Matplotlib's fonts as a data set."""
    import matplotlib as mpl

    from rgp.train.glyphs_make import make

    make(out, [Path(mpl.get_data_path()) / "fonts"], side=16, per_family=2)


def _config(case: Case, seed: int, options: argparse.Namespace) -> TrainConfig:
    about = json.loads((options.data / "glyphs.json").read_text())
    return TrainConfig(
        data=f"glyphs:{options.data}",
        architecture=ARCHITECTURE,
        epochs=options.epochs,
        seed=seed,
        device=options.device,
        runs=str(options.runs),
        experiment="accuracy",
        name=f"{case.key}-{options.epochs}-{seed}",
        save_steps=100,
        resume="auto",
        **RECIPE,
        **case.resolved(seed, len(about["characters"]), about["side"]),
    )


def _study(tasks: Sequence[tuple[Case, TrainConfig]], options: argparse.Namespace) -> None:
    rows = _read(options.results)
    known = {(row["density"], row["case"], row["seed"], row["settings"]) for row in rows}
    left = [
        (case, config)
        for case, config in tasks
        if (case.density, case.name, str(config.seed), settings(config)) not in known
    ]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, *task) for task in left]
        try:
            for future in track(as_completed(futures), "training", len(left), console=Console(stderr=True)):
                rows.append(future.result())
                _write(options.results, rows)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: Sequence[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with written_whole(path) as file:
        file.write(text.getvalue().encode())


if __name__ == "__main__":
    sys.exit(main())
