"""What is compiled, from whatever it came: the working form, and what it has to stay equal to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rgp.compile.image_input import with_image_input
from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from rgp.compile.reference import Reference
from rgp.errors import CompileError, RgpError, UsageError
from rgp.preprocess import Preprocess

Outputs = tuple[NDArray[Any], ...]


@dataclass(frozen=True, eq=False)
class Source:
    """A network before it is compiled.

    ``model``: the working form, dense; it takes one input. ``reference``: a batch to the outputs that every engine
    is compared with: the masked torch network, or the original file run as it is written. ``preprocess``: None
    where the network takes numbers, not images; then ``labels`` may be empty.
    """

    kind: Literal["checkpoint", "onnx"]
    name: str
    architecture: str
    labels: tuple[str, ...]
    preprocess: Preprocess | None
    model: ir.Model
    reference: Callable[[NDArray[Any]], Outputs]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input, without the batch."""
        given = self.model.graph.inputs[0].shape
        assert given is not None
        return tuple(int(side) for side in list(given)[1:] if isinstance(side, int))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the input: uint8 for images."""
        given = self.model.graph.inputs[0].dtype
        assert given is not None
        return given.numpy()

    @property
    def batch(self) -> int | None:
        """The only batch that the network takes, where its file fixes it."""
        given = self.model.graph.inputs[0].shape
        assert given is not None
        return given[0] if isinstance(given[0], int) else None


def from_checkpoint(path: Path, labels: tuple[str, ...] = (), dump: Path | None = None) -> Source:
    """Read a checkpoint of rgp-train or of the published code; ``labels`` replace its own.

    Raises CheckpointError, CompileError, and UsageError for labels that do not match its classes.
    """
    from rgp.compile.export import TorchReference, export  # torch takes seconds, and ONNX files need none
    from rgp.models import official
    from rgp.models.registry import restore

    checkpoint = official.load(path)
    model = restore(checkpoint)
    names = labels or checkpoint.labels
    working = prepare(export(model, checkpoint.preprocess), dump)
    source = Source(
        "checkpoint",
        checkpoint.architecture if checkpoint.graph == "dense" else f"{checkpoint.architecture} {checkpoint.graph}",
        checkpoint.architecture,
        names,
        checkpoint.preprocess,
        working,
        TorchReference(model, checkpoint.preprocess),
    )
    _check_labels(source, path)
    return source


def from_onnx(
    path: Path,
    size: tuple[int, int] | None = None,
    preprocess: Preprocess | Callable[[int], Preprocess] | None = None,
    labels: tuple[str, ...] = (),
    dump: Path | None = None,
) -> Source:
    """Read any ONNX file. With ``preprocess``, or what makes one for an image size, it takes images and can be served.

    Raises CompileError, and UsageError for a ``size`` or ``labels`` that do not fit.
    """
    working = prepare(read_onnx(path, size), dump)
    if preprocess is not None:
        if not labels:
            raise UsageError(f"{path}: --preprocess makes a network for images, which needs --labels too")
        if not isinstance(preprocess, Preprocess):
            sides = working.graph.inputs[0].shape
            preprocess = preprocess(max(side for side in list(sides or ())[1:] if isinstance(side, int)))
        working = with_image_input(working, preprocess)
    elif labels:
        raise UsageError(f"{path}: --labels needs --preprocess too: labels are for networks that take images")
    reference = Reference(path, preprocess)
    source = Source("onnx", path.stem, working.graph.name or path.stem, labels, preprocess, working, reference)
    if preprocess is not None:
        _check_labels(source, path)
    return source


def imagenet(size: int) -> Preprocess:
    """What torchvision's classifiers are trained with: resize by 256/224, crop, the statistics of ImageNet."""
    return Preprocess(3, size, round(size * 256 / 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def read_preprocess(path: Path) -> Preprocess:
    """A JSON object as a manifest has it under "preprocess"; UsageError if it is none."""
    if not path.is_file() or path.stat().st_size > 1 << 20:
        raise UsageError(f"{path}: no such file, or none of a few lines: give 'imagenet' or a JSON file")
    try:
        values = json.loads(path.read_bytes())
        if not isinstance(values, dict):
            raise UsageError(f"holds {type(values).__name__}, not an object")
        return Preprocess.from_dict(values)
    except (ValueError, RecursionError, RgpError) as error:
        raise UsageError(f"{path}: {error}: give channels, size, resize, mean and std") from error


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line, UTF-8; UsageError for an empty file or one with empty lines between labels."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text: give one label a line") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines or not all(line.strip() for line in lines):
        raise UsageError(f"{path}: {len(lines)} lines, some empty: give one label a line")
    return tuple(line.strip() for line in lines)


def _check_labels(source: Source, path: Path) -> None:
    shape = source.model.graph.outputs[0].shape
    classes = shape[1] if shape is not None and len(shape) == 2 else None
    if not isinstance(classes, int):
        raise CompileError(f"{path}: its first output has shape {shape}, a classifier gives (batch, classes)")
    if classes != len(source.labels):
        raise UsageError(
            f"{path}: the network has {classes} classes, but there are {len(source.labels)} labels: "
            "give a file with one label a line with --labels"
        )
