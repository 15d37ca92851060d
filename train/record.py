"""Runs read back from their folders, which may have been copied from anywhere: nothing in them is trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from rgp.errors import RgpError, UsageError
from rgp.train.config import TrainConfig
from rgp.train.history import Epoch, History
from rgp.train.tracking import MAY_CHANGE, RunFolder

MAX_RUNS = 500
MAX_SETTINGS_BYTES = 256 << 10
MAX_SETTINGS = 1000
MAX_LETTERS = 4096
"""Of a setting: aliases could make a small file's values huge."""
MAX_RESULT_BYTES = 16 << 20
_COSTS = ("dense_macs", "macs", "dense_parameters", "parameters")


@dataclass(frozen=True)
class Run:
    """One run, finished or not."""

    path: Path
    settings: dict[str, str]
    """As text, those that its config.yaml lacks by their default."""
    history: Sequence[Epoch]
    cost: dict[str, int] | None
    """MACs and parameters for one image, dense and remaining; None until the run has ended."""
    device: str
    """What a finished run was trained on."""

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.cost is not None

    @cached_property
    def decisive(self) -> dict[str, str]:
        """The settings that decide the result: neither where it is kept nor how fast it comes."""
        return {key: value for key, value in self.settings.items() if key not in MAY_CHANGE}

    @classmethod
    def read(cls, path: Path) -> Run:
        """Read the folder ``path``; RgpError names the file that is wrong, and what is wrong with it."""
        folder = RunFolder(path)
        settings, history = _settings(path / "config.yaml"), History(folder.history).read()
        result = _result(folder.result) if folder.result.exists() else None
        if result is None or not history or result["epochs"] != history[-1].epoch:  # begun again: not at its end
            return cls(path, settings, history, None, "")
        cost = {name: result["cost"][name] for name in _COSTS}
        return cls(path, settings, history, cost, printable(result["environment"]["device"]))


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """The folders of runs that ``paths`` name or hold, each once; UsageError for a path without any."""
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path}: no such folder: give a run's folder, as in runs/digits/run")
        inside = list(_inside(path))
        if not inside:
            raise UsageError(
                f"{path}: no history.csv in it: give the folder of a run that trained an epoch, or of runs"
            )
        for run in inside:
            if not str(run).isprintable():
                raise UsageError(f"{str(run)!a}: its name has letters that cannot be printed: rename the folder")
            found.setdefault(run.resolve(), run)
        if len(found) > MAX_RUNS:
            raise UsageError(f"{path}: with it there are more than {MAX_RUNS} runs: give fewer")
    return list(found.values())


def printable(text: str) -> str:
    """``text`` with a question mark for each letter that a terminal would obey rather than show."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _inside(path: Path) -> Iterator[Path]:
    """A run, or those of runs/<config>/ or runs/."""
    if (path / "history.csv").is_file():
        yield path
        return
    for pattern in ("*/history.csv", "*/*/history.csv"):
        yield from sorted((file.parent for file in path.glob(pattern) if file.is_file()), key=_natural)


def _natural(path: Path) -> tuple[str, int, str]:
    """run-2 before run-10."""
    name, _, number = path.name.rpartition("-")
    return (str(path.parent / name), int(number), "") if name and number.isdecimal() else (str(path), -1, "")


def _settings(path: Path) -> dict[str, str]:
    text = _content(path, MAX_SETTINGS_BYTES)
    try:
        values = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  # it makes only text
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RgpError(f"{path}: not a YAML file ({type(error).__name__}): copy it again from its run") from error
    if not isinstance(values, dict):
        raise RgpError(f"{path}: holds no settings: copy it again from its run")
    if len(values) > MAX_SETTINGS:
        raise RgpError(f"{path}: holds {len(values)} settings: copy it again from its run")
    return _defaults() | {_as_text(path, key): _as_text(path, value) for key, value in values.items()}


@cache
def _defaults() -> dict[str, str]:
    values: dict[str, Any] = yaml.load(yaml.safe_dump(asdict(TrainConfig())), Loader=yaml.BaseLoader)  # noqa: S506
    return {key: _as_text(Path(), value) for key, value in values.items()}


def _as_text(path: Path, value: object) -> str:
    parts = value if isinstance(value, list) else [value]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts) or sum(map(len, texts)) > MAX_LETTERS:
        raise RgpError(f"{path}: has a value that no setting can have: copy it again from its run")
    return printable(f"[{', '.join(texts)}]" if isinstance(value, list) else texts[0])


def _result(path: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(_content(path, MAX_RESULT_BYTES))
        costs = [result["cost"][name] for name in _COSTS]
        if not all(type(count) is int and 0 < count < 10**18 for count in costs):
            raise ValueError(f"its cost is {costs!s:.60}")
        if type(result["epochs"]) is not int or type(result["environment"]["device"]) is not str:
            raise ValueError("its epochs or its device are missing")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = printable(f"{type(error).__name__}: {error}")
        raise RgpError(
            f"{path}: not what rgp-train writes ({reason:.100}): without it the run counts as unfinished"
        ) from error
    return result


def _content(path: Path, most: int) -> bytes:
    if not path.is_file():  # a pipe would never end
        raise RgpError(f"{path}: missing: copy the run's whole folder")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise RgpError(f"{path}: larger than {most >> 10} KiB: no run writes so much")
    return content
