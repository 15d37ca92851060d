"""``rgp-bench``: measure a bundle again on this machine, compiled against dense; or several, against each other.

``rgp-bench serve URL`` is the load test of a running service: ``rgp.load``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rgp.cli import Parser, guarded
from rgp.environment import available_cores, environment
from rgp.errors import UsageError

if TYPE_CHECKING:
    from rgp.bench import Measured
    from rgp.bundle import Bundle

DESCRIPTION = """Run the dense and the compiled network of one or more bundles back to back on the same random inputs,
in random order, with threads that do not spin. The speed-up is the median of the ratios to the dense network of the
first bundle, with its bootstrap interval."""

EPILOG = """examples:
  rgp-bench runs/demo/bundle
  rgp-bench fp32-bundle int8-bundle --batch 1,8 --threads 1,2 --plot compared.svg

rgp-bench serve URL measures a running rgp-serve under load: see rgp-bench serve --help"""

PICTURES = (".svg", ".png")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    return guarded(_serve, argv[1:], "rgp-bench") if argv[:1] == ["serve"] else guarded(_main, argv, "rgp-bench")


def _serve(argv: Sequence[str] | None) -> None:
    from rgp.load.cli import run

    run(argv)


def _main(argv: Sequence[str] | None) -> None:
    options = _parser().parse_args(argv)
    if options.plot:
        require_matplotlib()

    from rgp.bench import contestants, measure, sample  # after the arguments: --help and usage errors need no engine
    from rgp.bundle import Bundle

    bundles = [Bundle.open(path) for path in options.bundles]
    entered = contestants(bundles)
    batches = options.batch or tuple(row["batch"] for row in bundles[0].report["latency"])
    measured = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for threads, batch in product(options.threads, batches):
            task = progress.add_task(f"batch {batch}, threads {threads}", total=options.pairs)
            tell = partial(progress.advance, task)
            inputs = sample(bundles[0], batch)
            limits = {"rounds": options.pairs, "seconds": options.seconds}
            measured.append(measure(entered, inputs, threads=threads, **limits, on_round=tell))
    if options.plot:
        from rgp.bench_plot import comparison_figure
        from rgp.graph_plot import save

        save(comparison_figure(measured), options.plot)
    where = {**environment(), **entered[0].engine(options.threads[0]).describe()}
    if len(options.threads) > 1:
        del where["threads"]  # each row has its own
    (_print_json if options.json else _print_tables)(bundles, measured, where)


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="rgp-bench", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout)
    add = parser.add_argument
    add("bundles", type=Path, nargs="+", metavar="BUNDLE", help="a folder that rgp-compile wrote")
    add("--threads", type=batch_list, default=(available_cores(),), help="numbers of threads (default: all cores)")
    add("--batch", type=batch_list, help="batch sizes (default: those of the first bundle's report)")
    add("--pairs", type=positive, default=200, help="rounds at each batch size and number of threads (default: 200)")
    add("--seconds", type=positive, default=30, help="at most, at each of them (default: 30)")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--plot", type=picture, metavar="FILE", help=f"draw it into a file that ends in {' or '.join(PICTURES)}")
    return parser


def _print_json(bundles: Sequence[Bundle], measured: Sequence[Measured], where: dict[str, Any]) -> None:
    named = [{"path": str(each.path), "name": each.name, "sha256": each.sha256} for each in bundles]
    if len(bundles) == 1:
        found = {
            **named[0],
            "latency": [{"threads": each.threads, **each.comparisons[1].to_dict()} for each in measured],
        }
    else:
        found = {"bundles": named, "rows": [row for each in measured for row in each.rows()]}
    print(json.dumps({**found, "environment": where}))


def _print_tables(bundles: Sequence[Bundle], measured: Sequence[Measured], where: dict[str, Any]) -> None:
    console = Console()
    say = partial(console.print, highlight=False, soft_wrap=True, markup=False)
    say(f"{where['cpu']}, {where['cores']} cores; {where['engine']} {where['version']} on {where['device']}")
    for letter, bundle in {each.letter: each.bundle for each in measured[0].contestants}.items():
        prefix = f"{letter}  {bundle.path}: " if len(bundles) > 1 else ""
        say(f"{prefix}{bundle.name}, {bundle.target}")
    if len(bundles) == 1:
        for threads in dict.fromkeys(each.threads for each in measured):
            say(f"threads: {threads}")
            console.print(
                latency_table([each.comparisons[1].to_dict() for each in measured if each.threads == threads])
            )
        return
    for each in measured:
        say(each.setting)
        console.print(comparison_table(each))
    say(f"ms: milliseconds a batch, median / 90th percentile; speed-up: over {measured[0].contestants[0]}")


def comparison_table(measured: Measured) -> Table:
    """Every network at one number of threads and batch size."""
    table = Table("network", "ms", "images/s", "speed-up", "95% interval", "n")
    for contestant, row in zip(measured.contestants, measured.rows(), strict=True):
        low, high = row["speedup_ci95"]
        table.add_row(
            str(contestant),
            f"{row['ms_p50']:.3f} / {row['ms_p90']:.3f}",
            f"{row['images_per_second']:.1f}",
            f"{row['speedup']:.2f}x",
            f"{low:.2f} to {high:.2f}",
            str(row["n"]),
        )
    return table


def latency_table(latency: Sequence[Mapping[str, Any]]) -> Table:
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
    """Batch sizes (or other whole numbers from 1) separated by commas, each once, for argparse."""
    return tuple(dict.fromkeys(positive(part.strip()) for part in text.split(",")))


def picture(text: str) -> Path:
    """The name of a picture that can be written, for argparse: known before minutes of measuring."""
    path = Path(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"'{text}' must end in {' or '.join(PICTURES)}")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"'{text}' cannot be written: name a file in a folder that can be")
    return path


def require_matplotlib() -> None:
    """Raise UsageError if --plot cannot be had."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError("--plot needs matplotlib, which is not installed: pip install 'rgp[graph]'") from error


if __name__ == "__main__":
    sys.exit(main())
