"""`rgp-train compare`: runs side by side; those that differ only in their seed together, as mean and deviation."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from rgp.cli import Parser
from rgp.files import written_whole
from rgp.graph_cli.output import add_output, check_output
from rgp.train.history import best, shown_hours, shown_speed, throughput
from rgp.train.record import Run, find_runs, printable

EPILOG = """\
A run that has not ended is shown as far as it came. Runs whose settings differ only in the seed are one configuration:
its accuracies are their mean and sample standard deviation.

examples:
  rgp-train compare runs/digits/dense runs/digits/graph
  rgp-train compare runs -o compare.html
"""

NUMBERS = ("%", "dense", "(epoch)", "images/s", "hours")
"""How the headers of numbers end."""

_SPEED = ("device", "workers", "channels_last", "compile")  # settings that make runs faster, not different
_NONE = "-"
_CELL = 36  # letters of a value on the console


@dataclass(frozen=True)
class Configuration:
    """Runs with the same settings but for the seed; ``number`` counts from 1."""

    number: int
    differing: dict[str, str]
    """The settings in which the compared configurations differ."""
    runs: Sequence[Run]

    def to_dict(self) -> dict[str, Any]:
        """Accuracies in percent: mean and sample standard deviation over the finished runs."""
        ended = [run for run in self.runs if run.finished]
        return {
            "number": self.number,
            "settings": self.differing,
            "runs": len(self.runs),
            "finished": len(ended),
            "seeds": len({run.settings["seed"] for run in ended}),
            "top1_last": _spread([run.history[-1].top1 for run in ended]),
            "top1_best": _spread([best(run.history).top1 for run in ended]),
        }


def run(argv: Sequence[str]) -> None:
    """Print the comparison that ``argv`` asks for, and write its page; UsageError and RgpError say what is wrong."""
    parser = Parser(
        prog="rgp-train compare",
        description="Put training runs side by side.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder, or a folder of runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_output(parser, (".html",), required=False)
    options = parser.parse_args(argv)
    if options.output:
        check_output(options.output, (".html",), force=options.force)

    paths = find_runs(options.runs)
    configurations = grouped([Run.read(path) for path in paths])
    common = Path(os.path.commonpath([path.resolve().parent for path in paths]))
    where = printable("/".join(common.parts[-2:]))
    found = {
        "folder": where,
        "configurations": [configuration.to_dict() for configuration in configurations],
        "runs": [
            {
                "run": printable(str(run.path.resolve().relative_to(common))),
                "configuration": each.number,
                **_figures(run),
            }
            for each in configurations
            for run in each.runs
        ],
    }
    if options.output:
        from rgp.train.overlay import overlay  # matplotlib takes a second: a table does without

        with written_whole(options.output) as file:
            file.write(overlay(found, configurations))
    if options.json:
        print(json.dumps(found, indent=1, allow_nan=False))
    else:
        _print(found)


def grouped(runs: Sequence[Run]) -> list[Configuration]:
    """The configurations of ``runs``, in the order in which they first come."""
    keys = dict.fromkeys(key for run in runs for key in run.decisive if key != "seed")
    differing = [key for key in keys if len({run.settings.get(key, "") for run in runs}) > 1]
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run.settings.get(key, "") for key in differing), []).append(run)
    return [
        Configuration(number, dict(zip(differing, values, strict=True)), members)
        for number, (values, members) in enumerate(groups.items(), start=1)
    ]


def runs_table(found: dict[str, Any]) -> list[list[str]]:
    """A header and a row a run, the number of its configuration first."""
    speed = [key for key in _SPEED if len({run["settings"][key] for run in found["runs"]}) > 1]
    header = ["", "run", "architecture", "graph", "seed", "epochs", "last\ntop-1, %", "best, %\n(epoch)"]
    device = [] if one_device(found) else ["device"]
    rows = [
        [
            *header,
            "MACs\nof dense",
            "parameters\nof dense",
            "images/s",
            "hours",
            *speed,
            *("trained on" for _ in device),
        ]
    ]
    for run in found["runs"]:
        settings, cost, done = run["settings"], run["cost"], run["epochs"]
        rows.append(
            [
                str(run["configuration"]),
                run["run"],
                *(settings[key] for key in ("architecture", "graph", "seed")),
                str(done) if run["finished"] else f"{done} of {settings['epochs']}, unfinished",
                f"{run['last']['top1']:.2f}" if done else _NONE,
                f"{run['best']['top1']:.2f} ({run['best']['epoch']})" if done else _NONE,
                f"{cost['macs'] / cost['dense_macs']:.1%}" if cost else _NONE,
                f"{cost['parameters'] / cost['dense_parameters']:.1%}" if cost else _NONE,
                shown_speed(run["images_per_second"]) if done else _NONE,
                shown_hours(run["seconds"]) if done else _NONE,
                *(settings[key] for key in speed),
                *(run[key] or _NONE for key in device),
            ]
        )
    return rows


def configurations_table(found: dict[str, Any]) -> list[list[str]]:
    """A header and a row a configuration: in what it differs from the others, and its accuracies."""
    rows = [["", *found["configurations"][0]["settings"], "finished\nruns", "last\ntop-1, %", "best\ntop-1, %"]]
    for each in found["configurations"]:
        count = f"{each['finished']}" + (f" of {each['runs']}" if each["runs"] != each["finished"] else "")
        seeds = (
            f" ({each['seeds']} seed{'s' if each['seeds'] != 1 else ''})" if each["seeds"] < each["finished"] else ""
        )
        values = [value or _NONE for value in each["settings"].values()]
        rows.append([str(each["number"]), *values, count + seeds, *map(_spelt, (each["top1_last"], each["top1_best"]))])
    return rows


def one_device(found: dict[str, Any]) -> str:
    """On what all finished runs were trained; "" where there are none, or it differs."""
    devices = {run["device"] for run in found["runs"] if run["finished"]}
    return devices.pop() if len(devices) == 1 else ""


def _figures(run: Run) -> dict[str, Any]:
    rows = run.history
    figures: dict[str, Any] = {"path": str(run.path), "finished": run.finished, "epochs": 0}
    if rows:
        top = best(rows)
        figures |= {
            "epochs": rows[-1].epoch,
            "last": {"top1": rows[-1].top1, "top5": rows[-1].top5, "loss": rows[-1].loss},
            "best": {"epoch": top.epoch, "top1": top.top1, "top5": top.top5, "loss": top.loss},
            "images_per_second": throughput(rows),
            "seconds": rows[-1].seconds,
        }
    return figures | {"cost": run.cost, "device": run.device, "settings": run.settings}


def _print(found: dict[str, Any]) -> None:
    console = Console(markup=False, highlight=False, emoji=False)
    where = f" on {device}" if (device := one_device(found)) else ""
    tables = [(f"runs in {found['folder']}{where}", runs_table(found))]
    if len(found["runs"]) > 1:
        tables.append(("configurations", configurations_table(found)))
    for title, (header, *rows) in tables:
        table = Table(title=title, title_justify="left")
        for name in header:
            table.add_column(name, justify="right" if name.endswith(NUMBERS) else "left")
        for row in rows:
            table.add_row(*(cell if len(cell) <= _CELL else f"…{cell[1 - _CELL :]}" for cell in row))
        width = console.measure(table, options=console.options.update(max_width=10_000)).maximum
        console.width = max(console.width, width)  # on a narrower terminal the figures stay whole
        console.print(table)


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "mean": mean(values) if values else None,
        "deviation": stdev(values) if len(values) > 1 else None,
    }


def _spelt(spread: dict[str, float | None]) -> str:
    if spread["mean"] is None:
        return _NONE
    return f"{spread['mean']:.2f}" + ("" if spread["deviation"] is None else f" ± {spread['deviation']:.2f}")
