"""From any ONNX model to the form that the rest of the compiler works on: a list of passes, run once in order.

One pass is one file here, or one of onnx-ir's own; each says what it requires and ensures, and checks it in code.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import PassBase
from onnx_ir.passes.common import IdentityEliminationPass, OutputFixPass, RemoveUnusedNodesPass

from rgp.compile.onnx_bytes import serialize
from rgp.compile.passes.batch import Batch
from rgp.compile.passes.batchnorm import BatchNorm
from rgp.compile.passes.constants import Constants
from rgp.compile.passes.linear import Linear
from rgp.compile.passes.names import Names
from rgp.compile.passes.padding import Padding
from rgp.compile.passes.reshapes import Reshapes
from rgp.compile.passes.shapes import Shapes
from rgp.errors import CompileError
from rgp.files import written_whole

PASSES: dict[str, PassBase] = {
    "constants": Constants(),
    "reshapes": Reshapes(),
    "batch": Batch(),
    "identities": IdentityEliminationPass(),
    "batchnorm": BatchNorm(),
    "padding": Padding(),
    "linear": Linear(),
    "outputs": OutputFixPass(),
    "unused": RemoveUnusedNodesPass(),
    "names": Names(),
    "shapes": Shapes(),
}


def prepare(model: ir.Model, dump: Path | None = None) -> ir.Model:
    """Bring ``model`` into working form, in place: the same function, every constant an initialiser, shapes known.

    ``dump``: a folder, made if need be, that gets the model before and after each pass as ONNX files. Raises
    CompileError that names the pass which cannot do its work on this model.
    """
    for number, (name, run) in enumerate(PASSES.items(), start=1):
        _dump(model, dump, f"{number:02}-before-{name}")
        try:
            with _quiet():
                run(model)
        except Exception as error:  # of onnx, onnx-ir and onnxscript; their errors share no base class
            reason = " ".join(str(error).split())
            raise CompileError(f"pass '{name}': {type(error).__name__}: {reason}") from error
        _dump(model, dump, f"{number:02}-after-{name}")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Libraries warn of what they leave alone, and numpy of a variance below zero: nothing a user could act on."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        logging.disable(previous)


def _dump(model: ir.Model, folder: Path | None, name: str) -> None:
    if folder is not None:
        with written_whole(folder / f"{name}.onnx") as file:
            file.write(serialize(model))
