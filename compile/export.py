"""From a masked torch network to ONNX, once: weights and BatchNorm folded, batch dynamic, bytes in.

The graph takes ``image`` (batch, H, W, C) uint8 as decoders give it and normalises inside; it gives
``logits`` (batch, classes) float32.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnxscript import FLOAT, opset20
from torch import Tensor, nn

from rgp.compile.onnx_bytes import OPSET, serialize
from rgp.conv import GraphConv2d
from rgp.errors import CompileError
from rgp.normalise import Normalise
from rgp.preprocess import Preprocess

__all__ = ["OPSET", "ImageNetwork", "TorchReference", "export", "serialize"]


class ImageNetwork(nn.Module):
    """A network behind its normalisation: (B, H, W, C) uint8 to logits."""

    def __init__(self, network: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.normalise = Normalise(preprocess)
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(B, H, W, C) uint8 to logits (B, classes)."""
        logits: Tensor = self.network(self.normalise(image))
        return logits


class TorchReference:
    """The masked network itself, in torch: a batch (B, H, W, C) uint8 to (logits,)."""

    def __init__(self, model: nn.Module, preprocess: Preprocess) -> None:
        self._network = ImageNetwork(model, preprocess).eval()

    def __call__(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Logits (B, classes) float32."""
        with torch.no_grad():
            return (self._network(torch.from_numpy(images)).numpy(),)


def export(model: nn.Module, preprocess: Preprocess) -> ir.Model:
    """Export ``model`` in evaluation mode; raises CompileError if torch cannot."""
    network = ImageNetwork(folded(model), preprocess).eval()
    example = torch.zeros(2, preprocess.size, preprocess.size, preprocess.channels, dtype=torch.uint8)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                optimize=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
                custom_translation_table={torch.ops.aten.adaptive_avg_pool2d.default: _adaptive_average_pool},
                verbose=False,
            )
    except Exception as error:  # the exporter's errors share no base class
        reason = str(error).strip().partition("\n")[0]
        raise CompileError(f"torch cannot export {type(model).__name__} to ONNX: {reason}") from error
    assert program is not None
    exported = program.model
    for value in tuple(exported.graph.initializers.values()):  # layers are named as in the checkpoint
        assert value.name is not None
        value.name = value.name.removeprefix("network.")
    return exported


def folded(model: nn.Module) -> nn.Module:
    """A copy whose masked convolutions are plain ones, their masks multiplied into the weights."""
    copy = deepcopy(model)
    for name, module in list(copy.named_modules(remove_duplicate=False)):
        if isinstance(module, GraphConv2d):
            plain = nn.Conv2d.__new__(nn.Conv2d)
            plain.__dict__.update({key: value for key, value in module.__dict__.items() if key != "_buffers"})
            plain._buffers = {}
            with torch.no_grad():
                plain.weight = nn.Parameter(module.masked_weight())
            copy.set_submodule(name, plain)
    return copy


def _adaptive_average_pool(input: FLOAT, output_size: list[int]) -> FLOAT:
    """Keep the pooling whole: torch's own decomposition turns it and the flatten after it into a Gather."""
    shape: Any = input.shape
    if list(output_size) == list(shape[2:]):  # torchvision's VGG at 224 pixels
        return opset20.Identity(input)
    if list(output_size) != [1, 1]:
        raise CompileError(f"adaptive average pooling to {list(output_size)} is not supported, only to 1x1")
    return opset20.GlobalAveragePool(input)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's progress prints, log lines and deprecation warnings; errors still raise."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
