"""What a run leaves behind: its folder, and its row in the table of all runs.

::

    runs/results.csv                    a row for each finished run
    runs/<experiment>/<name>/
        config.yaml                     every setting, as it was resolved
        history.csv                     a row for each epoch (rgp.train.history)
        report.html                     at the end: results, cost, curves, settings
        result.json                     the same figures for programs; a run without it has not ended
        checkpoints/first.pth           before the first step
        checkpoints/best.pth            the epoch with the highest top-1 on the held-out images
        checkpoints/epoch-010.pth       each tenth epoch, with save_every: 10
        checkpoints/last.pth            how far the run has come, with all that --resume needs
        logs/                           for TensorBoard
"""

from __future__ import annotations

import csv
import fcntl
import itertools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from rgp.errors import UsageError
from rgp.files import written_whole
from rgp.train.config import TrainConfig

COLUMNS = {
    "time": "When the run began: ISO 8601, UTC.",
    "config": "The experiment: the folder of its runs.",
    "name": "The run's folder in it.",
    "architecture": "The network.",
    "graph": "As the setting has it.",
    "data": "The data set.",
    "seed": "Of everything that is drawn.",
    "epochs": "Trained.",
    "top1_last": "After the last epoch, in percent on the held-out images, as the next three.",
    "top1_best": "Of the epoch with the highest.",
    "top5_last": "Empty with 5 classes or fewer, as the next.",
    "top5_best": "Of the epoch with the highest top-1.",
    "macs": "Multiply-accumulates for one image.",
    "dense_macs": "Without masks.",
    "parameters": "Weights that are not masked, and biases.",
    "dense_parameters": "Without masks.",
    "seconds": "Of the whole run, evaluation included.",
    "device": "cpu or cuda.",
}
"""Of ``results.csv``."""

MAY_CHANGE = {
    *("download", "device", "workers", "runs", "experiment", "name", "save_every", "save_steps", "resume", "evaluate"),
    *("channels_last", "compile", "bench_data"),
}
"""Settings that do not decide a run's result: where it is kept, and how fast it comes."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def first(self) -> Path:
        """The checkpoint from before the first step."""
        return self.path / "checkpoints" / "first.pth"

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / "checkpoints" / "best.pth"

    @property
    def last(self) -> Path:
        """The newest checkpoint: after an epoch, within one (save_steps), or where the run was stopped."""
        return self.path / "checkpoints" / "last.pth"

    def sweep(self) -> None:
        """Remove what a run that was killed while it wrote left beside its checkpoints."""
        for half in self.last.parent.glob(".*.pth.*"):
            half.unlink()

    def epoch(self, number: int) -> Path:
        """The checkpoint that is kept of an epoch, counted from 1 (save_every)."""
        return self.path / "checkpoints" / f"epoch-{number:03d}.pth"

    @property
    def newest_good(self) -> Path:
        """Where a run that has to end here left its weights: the last checkpoint, or if there is none the first."""
        return self.last if self.last.exists() else self.first

    @property
    def logs(self) -> Path:
        """TensorBoard's folder."""
        return self.path / "logs"

    @property
    def history(self) -> Path:
        """The curves, a row an epoch."""
        return self.path / "history.csv"

    @property
    def report(self) -> Path:
        """What came of it, for people."""
        return self.path / "report.html"

    @property
    def result(self) -> Path:
        """The same for programs; written last, so that a run with it is complete."""
        return self.path / "result.json"

    @classmethod
    def create(cls, config: TrainConfig) -> RunFolder:
        """Make a new folder; where the name is taken the first free one of NAME-1, NAME-2, ..."""
        experiment = Path(config.runs) / config.experiment
        experiment.mkdir(parents=True, exist_ok=True)
        for number in itertools.count():
            path = experiment / (f"{config.name}-{number}" if number else config.name)
            try:
                path.mkdir()
            except FileExistsError:
                continue
            with written_whole(path / "config.yaml") as file:
                file.write(yaml.safe_dump(asdict(config), sort_keys=False).encode())
            break
        return cls(path)

    @classmethod
    def newest(cls, config: TrainConfig) -> RunFolder | None:
        """The folder of this configuration and name with the highest number that has a last checkpoint."""
        numbered = re.compile(re.escape(config.name) + r"(?:-(\d+))?")
        found: dict[int, RunFolder] = {}
        for path in (Path(config.runs) / config.experiment).glob("*"):
            if (match := numbered.fullmatch(path.name)) and cls(path).last.exists():
                found[int(match[1] or 0)] = cls(path)
        return found[max(found)] if found else None


def check_results(path: Path) -> None:
    """Refuse a table with other columns, before a run is spent on it."""
    if path.exists():
        header = path.read_text().partition("\n")[0].strip()
        if header and header != ",".join(COLUMNS):
            raise UsageError(f"{path}: its columns are not those of this rgp: move it away, or choose another --runs")


def has_result(path: Path, config: str, name: str) -> bool:
    """Whether the table has a row for the run of this folder: one killed just before it was added has none."""
    if not path.exists():
        return False
    with path.open(newline="") as file:
        return any((row["config"], row["name"]) == (config, name) for row in csv.DictReader(file))


def append_result(path: Path, row: Mapping[str, object]) -> None:
    """Add a row; the header comes first in a new file. Safe with several runs at once, and after a torn line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", newline="") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        before = file.read()
        if before and not before.endswith("\n"):
            file.write("\n")
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        if not before.strip():
            writer.writeheader()
        writer.writerow(row)
