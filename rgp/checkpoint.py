"""A trained network in one file that describes itself: nothing else is needed to rebuild it.

A checkpoint is a ``torch.save`` file of plain values and tensors, read with ``weights_only=True``: no pickled
class, so a hostile file cannot run code. Masks are part of ``state``: each masked convolution X has
``X.adjacency`` (N, N) bool beside ``X.weight``.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray  # numpy has no public name for what makes its scalars
from torch import Tensor

from rgp.environment import versions
from rgp.errors import CheckpointError, RgpError
from rgp.files import written_whole
from rgp.preprocess import Preprocess

FORMAT = "rgp-checkpoint/1"
MAX_BYTES = 16 << 30


@dataclass(frozen=True)
class Checkpoint:
    """Everything about a network."""

    architecture: str
    """Name of the builder in ``rgp.models``."""
    options: dict[str, int]
    """The builder's arguments: num_classes, in_channels and what else it takes."""
    labels: tuple[str, ...]
    """Names of the classes, in the order of the outputs."""
    preprocess: Preprocess
    """From an image to the network's input."""
    graph: str
    """Spelling of the graph; "dense" if there is none."""
    state: dict[str, Tensor]
    """Weights and buffers by name, and the masks: X.adjacency (N, N) bool for each masked convolution X."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What was measured on held-out images: loss; top1 and, of more than 5 classes, top5 in percent; raw_top1, that of
    the weights themselves, where ``state`` is their average. May be empty."""
    training: dict[str, Any] = field(default_factory=dict)
    """What ``--resume`` needs; empty in a checkpoint that is no place to go on from."""
    versions: dict[str, str] = field(default_factory=versions)
    """Of rgp and the libraries that wrote it."""

    @property
    def masks(self) -> dict[str, Tensor]:
        """Adjacency (N, N) bool of each masked convolution, by layer name."""
        ending = ".adjacency"
        return {key.removesuffix(ending): value for key, value in self.state.items() if key.endswith(ending)}

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values |= {"format": FORMAT, "labels": list(self.labels), "preprocess": asdict(self.preprocess)}
        # a numpy float is a float to Python, but not to weights_only
        values["metrics"] = {name: float(value) for name, value in self.metrics.items()}
        with written_whole(path) as file:
            try:
                torch.save(values, file)
            except RuntimeError as error:  # torch hides why the file could not be written
                if isinstance(hidden := error.__context__, OSError):
                    raise OSError(hidden.errno, hidden.strerror, str(path)) from error
                raise

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint onto the CPU; raises CheckpointError that says why a file is none."""
        return cls.of(load_plain(path), path)

    @classmethod
    def of(cls, values: dict[str, Any], path: Path) -> Checkpoint:
        """The checkpoint that ``load_plain`` read from ``path``; CheckpointError if it is none."""
        if values.get("format") != FORMAT:
            keys = ", ".join(sorted(map(str, values))[:8])
            raise CheckpointError(
                f"{path}: its format is {values.get('format')!r}, this rgp reads '{FORMAT}' (it holds: {keys})"
            )
        try:
            checkpoint = cls(
                architecture=_typed(values, "architecture", str),
                options=_typed(values, "options", dict, int),
                labels=tuple(_typed(values, "labels", list, str)),
                preprocess=Preprocess.from_dict(_typed(values, "preprocess", dict)),
                graph=_typed(values, "graph", str),
                state=_typed(values, "state", dict, Tensor),
                metrics=_typed(values, "metrics", dict, float),
                training=_typed(values, "training", dict),
                versions=_typed(values, "versions", dict, str),
            )
        except (RgpError, TypeError, ArithmeticError, RuntimeError) as error:  # the last two: int(inf), int(a tensor)
            raise CheckpointError(f"{path}: {error}: written by another program, or damaged") from error
        for layer, adjacency in checkpoint.masks.items():
            if adjacency.dtype != torch.bool or adjacency.ndim != 2 or not 0 < len(adjacency) == adjacency.shape[1]:
                raise CheckpointError(
                    f"{path}: the mask of {layer} is {adjacency.dtype} {tuple(adjacency.shape)}, not (N, N) bool"
                )
        return checkpoint


def _typed(values: dict[str, Any], name: str, kind: type[Any], of: type[Any] = object) -> Any:
    """The field ``name``: a ``kind``, its entries ``of`` one type; the keys of a dict are names."""
    if name not in values:
        raise TypeError(f"it has no '{name}'")
    value = values[name]
    if not isinstance(value, kind):
        raise TypeError(f"'{name}' is {type(value).__name__}, not {kind.__name__}")
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries:
        if isinstance(value, dict) and not isinstance(key, str):
            raise TypeError(f"'{name}' has the key {key!r:.50}, not a name")
        if not isinstance(entry, of):
            raise TypeError(f"'{name}': {key!r} is {type(entry).__name__}, not {of.__name__}")
    return value


# what a numpy scalar is made of: the published code leaves some in its optimiser's state
_NUMPY_SCALARS: list[Any] = [
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    multiarray.scalar,
    np.dtype,
    type(np.dtype(np.float64)),
]


def load_plain(path: Path) -> dict[str, Any]:
    """``torch.load`` onto the CPU without pickle's powers, sizes and checksums checked first; or CheckpointError."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > min(MAX_BYTES, 2 * path.stat().st_size):  # torch stores, never compresses
                raise CheckpointError(f"{path}: unpacks to {unpacked} bytes: refused as a decompression bomb")
            if damaged := archive.testzip():  # torch itself does not compare checksums
                raise CheckpointError(f"{path}: damaged: '{damaged}' does not match its checksum: copy it again")
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            values = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}: give a checkpoint that rgp-train wrote") from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path}: truncated, or not a checkpoint (no zip archive inside)") from error
    except Exception as error:  # zipfile and torch raise whatever they like on hostile bytes
        if named := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{path}: holds pickled Python objects ({named[1]}), which could run code, and is refused"
            ) from error
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: truncated, or not a checkpoint ({reason:.150})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: holds {type(values).__name__}, not a checkpoint")
    return values
