"""The study's table, and its picture: accuracy over the average path length, and over the MACs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.table import Table

from rgp.graph_plot import GREY, SERIES
from rgp.svg import STYLE


@dataclass(frozen=True)
class Summary:
    """A case over its seeds; percentages and losses are (mean, deviation), the deviation 0 for one seed."""

    density: str
    case: str
    n: int
    macs: float
    aspl: float | None
    val: tuple[float, float]
    test: tuple[float, float]
    loss: tuple[float, float]
    """On the test families."""
    beside: tuple[float, float] | None
    """Test top-1 less that of the dense network of the same seed: (mean, standard error); None for dense itself."""
    seconds: float

    def spread(self, of: tuple[float, float], digits: int = 2) -> str:
        """Mean and deviation in words, the mean alone for one run."""
        mean, deviation = of
        return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if self.n > 1 else "")


def summaries(rows: Sequence[Mapping[str, str]]) -> list[Summary]:
    """In the order in which the cases first ended, the densest first."""
    cases: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        cases.setdefault((row["density"], row["case"]), []).append(row)
    dense = {row["seed"]: float(row["test_top1"]) for row in rows if row["case"] == "dense"}
    found = []
    for (density, case), of in cases.items():
        lengths = [float(row["aspl"]) for row in of if row["aspl"]]
        found.append(
            Summary(
                density,
                case,
                len(of),
                statistics.mean(float(row["macs"]) for row in of) / 1e6,
                statistics.mean(lengths) if lengths else None,
                _spread([float(row["val_top1"]) for row in of]),
                _spread([float(row["test_top1"]) for row in of]),
                _spread([float(row["test_loss"]) for row in of]),
                _beside([float(row["test_top1"]) - dense[row["seed"]] for row in of if row["seed"] in dense])
                if case != "dense"
                else None,
                statistics.mean(float(row["seconds"]) for row in of),
            )
        )
    return sorted(found, key=lambda each: -float(each.density.rstrip("%")))


def table(rows: Sequence[Mapping[str, str]]) -> Table:
    """One row a case."""
    grid = Table("MACs", "case", "n", "MMAC", "ASPL", "val, %", "test, %", "s a run")
    for each in summaries(rows):
        aspl = "" if each.aspl is None else f"{each.aspl:.3f}"
        val, test = each.spread(each.val), each.spread(each.test)
        grid.add_row(each.density, each.case, str(each.n), f"{each.macs:.1f}", aspl, val, test, f"{each.seconds:.0f}")
    return grid


@mpl.rc_context({**STYLE, "text.parse_math": False})
def figure(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Test accuracy, mean and deviation: of every case, and over the ASPL where one graph is in all layers."""
    said = summaries(rows)
    drawn = Figure(figsize=(11, 0.8 + 0.24 * len(said)), layout="constrained")
    cases, paths = drawn.subplots(1, 2, width_ratios=(3, 2))
    for density, colour in zip(dict.fromkeys(each.density for each in said), (GREY, *SERIES[1:]), strict=False):
        places = [place for place, each in enumerate(said) if each.density == density]
        means, deviations = zip(*(said[place].test for place in places), strict=True)
        cases.errorbar(means, places, xerr=deviations, fmt="o", color=colour, capsize=2, label=f"{density} of the MACs")
        # other settings than the graph's have no place on the right
        shown = [said[place] for place in places if said[place].aspl is not None and "init" not in said[place].case]
        if shown:
            means, deviations = zip(*(each.test for each in shown), strict=True)
            lengths = [each.aspl for each in shown]
            paths.errorbar(lengths, means, deviations, fmt="o", color=colour, capsize=2)
        for each in shown:
            if each.case == "ring" or each.case.startswith("ladder"):
                paths.annotate(
                    each.case, (each.aspl or 0, each.test[0]), (4, 4), textcoords="offset points", fontsize=7
                )
    cases.set_yticks(range(len(said)), [each.case for each in said], fontsize=8)
    cases.invert_yaxis()
    cases.set_xlabel("top-1 on the test families, %")
    cases.legend(fontsize=8, loc="lower left")
    paths.set_xlabel("average shortest path length of the graph")
    paths.set_ylabel("top-1 on the test families, %")
    return drawn


def _spread(values: Sequence[float]) -> tuple[float, float]:
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _beside(differences: Sequence[float]) -> tuple[float, float] | None:
    if not differences:
        return None
    mean, deviation = _spread(differences)
    return mean, deviation / math.sqrt(len(differences))
