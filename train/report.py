"""What a finished run says of itself: a table on the console, report.html for people, result.json for programs."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rgp.cost import Cost
from rgp.environment import cpu_name, environment
from rgp.files import written_whole
from rgp.graph import Graph
from rgp.prune import LayerDecision
from rgp.train.config import TrainConfig
from rgp.train.history import Epoch, History, best, shown_hours, shown_speed, throughput
from rgp.train.pages import page
from rgp.train.plots import history_svg, masks_svg
from rgp.train.result_form import Result, RunEnvironment, RunGraph, RunLayer
from rgp.train.tracking import RunFolder

FORMAT = "rgp-run/1"
_NOT_AGAIN = {"resume", "evaluate", "bench_data"}  # what another run of the same settings leaves out
_SOFTENING = ("label_smoothing", "mixup", "cutmix", "teacher")


@dataclass(frozen=True)
class Report:
    """A finished run. ``history`` has at least one epoch; ``environment`` says where it ran, on what."""

    folder: RunFolder
    config: TrainConfig
    history: Sequence[Epoch]
    cost: Cost
    decisions: Sequence[LayerDecision]
    environment: RunEnvironment

    def to_dict(self) -> Result:
        """The contents of ``result.json``: accuracies in percent, costs of one image."""
        last = self.history[-1]
        return {
            "format": FORMAT,
            "name": self.name,
            "epochs": last.epoch,
            "last": asdict(last),
            "best": asdict(best(self.history)),
            "images_per_second": throughput(self.history),
            "seconds": last.seconds,
            "cost": {
                "dense_macs": self.cost.dense_macs,
                "macs": self.cost.macs,
                "dense_parameters": self.cost.dense_parameters,
                "parameters": self.cost.parameters,
            },
            "settings": asdict(self.config),
            "graphs": list(self._graphs()),
            "layers": list(self._layers()),
            "environment": self.environment,
        }

    def _graphs(self) -> Iterator[RunGraph]:
        spellings = [decision.graph.spelling for decision in self.decisions if decision.graph]
        for spelling, graph in self._distinct.items():
            yield {
                "spelling": spelling,
                "layers": spellings.count(spelling),
                "nodes": graph.nodes,
                "degree": graph.degree,
                "density": graph.density,
                "parts": graph.parts,
                "aspl": _or_none(graph.aspl),
                "aspl_bound": _or_none(graph.aspl_bound),
                "spectral_gap": graph.spectral_gap,
            }

    @cached_property
    def _distinct(self) -> dict[str, Graph]:
        return {decision.graph.spelling: decision.graph for decision in self.decisions if decision.graph}

    def _layers(self) -> Iterator[RunLayer]:
        costs = {layer.name: layer for layer in self.cost.layers}
        for decision in self.decisions:
            cost = costs.get(decision.name)
            yield {
                "name": decision.name,
                "channels": [decision.in_channels, decision.out_channels],
                "kernel": list(decision.kernel),
                "graph": decision.graph.spelling if decision.graph else None,
                "why": decision.why,
                "macs": cost.macs if cost else None,
                "dense_macs": cost.dense_macs if cost else None,
            }

    @property
    def name(self) -> str:
        """CONFIG/NAME, as the folders are called."""
        return "/".join(self.folder.path.resolve().parts[-2:])

    @property
    def headline(self) -> str:
        """The result in one line, beside what it cost."""
        highest, last = best(self.history), self.history[-1]
        later = f", {last.top1:.2f}% at the end" if highest.top1 != last.top1 else ""
        share = f"at {_share(self.cost.macs, self.cost.dense_macs)} MACs" if self.decisions else "dense"
        return f"{highest.top1:.2f}% top-1{later}, {share}"

    def figures(self) -> Iterator[tuple[str, str, str]]:
        """The table of results, with a header: what is measured, and two columns of values."""
        last, highest, cost = self.history[-1], best(self.history), self.cost
        yield "", f"last epoch, {last.epoch}", f"best epoch, {highest.epoch}"
        for label, key in (("top-1", "top1"), ("top-5", "top5"), ("top-1 without averaging", "raw_top1")):
            if getattr(last, key) is not None:
                yield label, f"{getattr(last, key):.2f}%", f"{getattr(highest, key):.2f}%"
        yield "loss on held-out images", f"{last.loss:.4f}", f"{highest.loss:.4f}"
        yield "MACs, millions", _millions(cost.macs), _share(cost.macs, cost.dense_macs)
        yield "parameters, millions", _millions(cost.parameters), _share(cost.parameters, cost.dense_parameters)
        yield "training images/s", shown_speed(throughput(self.history)), "median of the epochs"
        yield "hours", shown_hours(last.seconds), "evaluation included"

    def table(self) -> Table:
        """For the console."""
        (_, *headers), *rows = self.figures()
        where = f"{self.environment['held_out']} held-out images, {self.environment['device']}"
        table = Table(caption=where, caption_justify="left")
        table.add_column(Text(self.name))
        for header in headers:
            table.add_column(header)
        for row in rows:
            table.add_row(*row)
        return table

    def json(self) -> bytes:
        """``result.json``."""
        return (json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n").encode()

    def html(self) -> bytes:
        """``report.html``: one file that needs no network."""
        settings = [
            {
                "name": entry.name,
                "value": _spelt(getattr(self.config, entry.name)),
                "default": _spelt(entry.default),
                "text": entry.metadata["help"],
            }
            for entry in fields(TrainConfig)
        ]
        return page(
            "report.html",
            report=self.to_dict(),
            headline=self.headline,
            figures=list(self.figures()),
            curves=history_svg(self.history),
            masks=masks_svg(list(self._distinct.values())) if self._distinct else "",
            softened=[name.replace("_", " ") for name in _SOFTENING if getattr(self.config, name)],
            changed=[setting for setting in settings if setting["value"] != setting["default"]],
            unchanged=[setting for setting in settings if setting["value"] == setting["default"]],
            again=command(self.config, self.environment["processes"]),
            onward=list(_onward(self.folder)),
        )


def finish(
    console: Console,
    folder: RunFolder,
    config: TrainConfig,
    cost: Cost,
    decisions: Sequence[LayerDecision],
    *,
    held_out: int,
    device: torch.device,
    processes: int,
) -> None:
    """Write the report of a run whose epochs are in ``folder.history``, and print its table.

    ``held_out``: how many images the accuracies are over; ``processes``: how many trained.
    """
    history = History(folder.history).read()
    if not history:
        console.print(f"{folder.history}: gone, so there is no report")
        return
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    where = RunEnvironment(**environment(), device=name, processes=processes, held_out=held_out)
    report = Report(folder, config, history, cost, decisions, where)
    for path, content in ((folder.report, report.html()), (folder.result, report.json())):
        with written_whole(path) as file:
            file.write(content)
    console.print(report.table(), soft_wrap=False)


def command(config: TrainConfig, processes: int = 1) -> str:
    """The command line that gives ``config`` again, but for what only continues, evaluates or measures.

    >>> command(TrainConfig(graph="affine:16_4?rotate=1", epochs=3))
    "rgp-train --graph 'affine:16_4?rotate=1' --epochs 3"
    """
    words = ["rgp-train"] if processes == 1 else ["torchrun", f"--nproc-per-node={processes}", "-m", "rgp.train"]
    for entry in fields(TrainConfig):
        value = getattr(config, entry.name)
        if value != entry.default and entry.name not in _NOT_AGAIN:
            text = _spelt(value)
            words += [f"--{entry.name}={text}"] if text.startswith("-") else [f"--{entry.name}", text]
    return shlex.join(words)


def _millions(count: int) -> str:
    return f"{count / 1e6:.{1 if count >= 1e8 else 3}f}"


def _share(count: int, dense: int) -> str:
    return f"{count / dense:.1%} of dense"


def _onward(folder: RunFolder) -> Iterator[str]:
    yield shlex.join(["rgp-compile", str(folder.best), "-o", str(folder.path / "bundle")])
    yield shlex.join(["rgp-train", "--config", str(folder.path / "config.yaml"), "--evaluate", str(folder.best)])
    yield shlex.join(["rgp-train", "compare", str(folder.path.parent), "-o", "compare.html"])


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _spelt(value: Any) -> str:
    """As the command line and the configuration file take it."""
    return value if isinstance(value, str) else json.dumps(value)
