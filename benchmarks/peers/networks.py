"""The networks' files: the masked network as each peer takes it, and smaller dense ones of equal cost.

Weights are random, by seed 0: they do not change the time of a convolution. BatchNorm has the statistics of pictures,
so that numbers keep the sizes of a trained network's and int8 and bf16 lose what they lose there. In a folder::

    masked.pth            the checkpoint            pictures.npz   images and what the masked network says of them
    dense.onnx            BatchNorm folded          dense-int8.onnx
    narrow.onnx           a fraction of the width   pruned.onnx    Torch-Pruning's output
    floats.onnx           for DeepSparse            nncf-int8.xml  for OpenVINO
    compiled-THREADS      a bundle for so many threads; compiled-bf16-THREADS, compiled-int8-THREADS
    about.json            multiply-accumulates      absent.json    what could not be made, and why
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks.environments import sources
from benchmarks.peers.environments import packages, python
from rgp.checkpoint import Checkpoint
from rgp.compile.export import ImageNetwork, TorchReference, export, folded
from rgp.compile.onnx_bytes import serialize
from rgp.compile.passes import prepare
from rgp.compile.pipeline import Settings, compile_source
from rgp.compile.precision import to_int8
from rgp.compile.source import from_checkpoint
from rgp.cost import cost
from rgp.engines.target import Target
from rgp.errors import RgpError
from rgp.families import parse
from rgp.images import decode
from rgp.load.images import photographs
from rgp.models.registry import build, head_of, restore
from rgp.preprocess import Preprocess
from rgp.prune import prune

OPTIONS = {"num_classes": 10, "in_channels": 3}
JUDGED, CALIBRATION, STATISTICS = 32, 32, 16
"""Pictures, all different: to compare answers on, to calibrate int8 on, for BatchNorm."""
PRUNING_TRIES = 8

Pictures = NDArray[np.uint8]  # (B, size, size, 3)


@dataclass(frozen=True)
class Network:
    """An architecture under a graph."""

    architecture: str
    graph: str
    size: int = 224

    @property
    def name(self) -> str:
        """For a folder."""
        return f"{self.architecture}-{self.graph.replace(':', '-')}"

    @property
    def preprocess(self) -> Preprocess:
        """ImageNet's."""
        return Preprocess(3, self.size, self.size * 8 // 7, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def make(network: Network, cache: Path, threads: Sequence[int], seconds: float) -> Path:
    """Make what is missing of the network's files; its folder. Compiling measures: best on a quiet machine.

    What cannot be made is said and left out; ``absent.json`` keeps the reasons, file by file.
    """
    folder = folder_of(network, cache)
    folder.mkdir(parents=True, exist_ok=True)
    photos = _pictures(network.preprocess, STATISTICS + CALIBRATION + JUDGED)
    statistics, calibration, judged = np.split(photos, [STATISTICS, STATISTICS + CALIBRATION])
    if not (folder / "masked.pth").exists():
        _save_masked(network, folder, statistics, judged)
        np.save(folder / "calibration.npy", calibration)
        (folder / "pictures").mkdir(exist_ok=True)
        for number, photo in enumerate(np.concatenate([calibration, judged])):
            Image.fromarray(photo).save(folder / "pictures" / f"{number:03}.png")
    macs = json.loads((folder / "about.json").read_text())["macs"]

    def dense() -> None:
        (folder / "dense.onnx").write_bytes(serialize(from_checkpoint(folder / "masked.pth").model))

    def int8() -> None:
        (folder / "dense-int8.onnx").write_bytes(to_int8((folder / "dense.onnx").read_bytes(), list(calibration)))

    def smaller(name: str, model: nn.Module) -> None:
        _note(folder, **{f"{name}_macs": cost(model, (3, network.size, network.size)).macs})
        _with_statistics(model, network.preprocess, statistics)
        (folder / f"{name}.onnx").write_bytes(serialize(prepare(export(model, network.preprocess))))

    def compiled(name: str, precision: str, count: int) -> None:
        settings = Settings(
            threads=count, target=Target(precision=precision), seconds=seconds, min_agreement=0.0,
            images=folder / "pictures" if precision == "int8" else None, cache=cache / "tune",
        )  # fmt: skip
        compile_source(from_checkpoint(folder / "masked.pth"), folder / name, settings)

    steps: dict[str, Callable[[], None]] = {
        "dense.onnx": dense,
        "dense-int8.onnx": int8,
        "narrow.onnx": lambda: smaller("narrow", narrow(network, macs)),
        "pruned.onnx": lambda: smaller("pruned", pruned(network, macs, packages("torch-pruning", cache))),
        "floats.onnx": lambda: _for_deepsparse(folder),
        "nncf-int8.xml": lambda: _for_openvino(folder, python("openvino", cache), sources(cache)),
    }
    for count in threads:
        steps[f"compiled-{count}"] = partial(compiled, f"compiled-{count}", "fp32", count)
        for precision in ("bf16", "int8"):
            name = f"compiled-{precision}-{count}"
            steps[name] = partial(compiled, name, precision, count)
    absent: dict[str, str] = {}
    for name, step in steps.items():
        if not (folder / name).exists():
            print(f"making {folder / name}", file=sys.stderr)
            try:
                step()
            except Exception as error:  # a converter's own; the others are made all the same
                absent[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                print(f"  {absent[name]}", file=sys.stderr)
    (folder / "absent.json").write_text(json.dumps(absent) + "\n")
    return folder


def folder_of(network: Network, cache: Path) -> Path:
    """Where its files are."""
    return cache.resolve() / "networks" / network.name


def _save_masked(network: Network, folder: Path, statistics: Pictures, judged: Pictures) -> None:
    torch.manual_seed(0)
    model = build(network.architecture, **OPTIONS)
    prune(model, parse(network.graph, connected=False), narrow="fewer")
    _with_statistics(model, network.preprocess, statistics)
    costs = cost(model, (3, network.size, network.size))
    _note(folder, macs=costs.macs, dense_macs=costs.dense_macs)
    reference = TorchReference(model, network.preprocess)
    logits = np.concatenate([reference(judged[index : index + 1])[0] for index in range(len(judged))])
    np.savez(folder / "pictures.npz", images=judged, logits=logits)
    labels = tuple("0123456789")
    made = Checkpoint(
        network.architecture, OPTIONS, labels, network.preprocess, network.graph, model.eval().state_dict()
    )
    made.save(folder / "masked.pth")


def narrow(network: Network, macs: int) -> nn.Module:
    """The dense network with all widths times one percentage, in steps of 8 channels: the most that ``macs`` allow."""
    low, high = 5, 100
    while high - low > 1:
        middle = (low + high) // 2
        model = build(network.architecture, **OPTIONS, width_percent=middle, width_multiple=8)
        low, high = (middle, high) if cost(model, (3, network.size, network.size)).macs <= macs else (low, middle)
    torch.manual_seed(0)
    return build(network.architecture, **OPTIONS, width_percent=low, width_multiple=8)


def pruned(network: Network, macs: int, packages: Path) -> nn.Module:
    """The dense network pruned by Torch-Pruning: the least share of every layer's channels that leaves ``macs``.

    By magnitude over groups of layers that hang together, in steps of 8 channels; the classifier keeps its classes.
    """
    sys.path.append(str(packages))
    import torch_pruning  # type: ignore[import-not-found]

    def at(ratio: float) -> nn.Module:
        torch.manual_seed(0)
        model = build(network.architecture, **OPTIONS).eval()
        torch_pruning.pruner.BasePruner(
            model,
            torch.zeros(1, 3, network.size, network.size),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            ignored_layers=[model.get_submodule(head_of(model))],
            round_to=8,
        ).step()
        return model

    low, high = 0.0, 0.95
    for _ in range(PRUNING_TRIES):
        middle = (low + high) / 2
        fits = cost(at(middle), (3, network.size, network.size)).macs <= macs
        low, high = (low, middle) if fits else (middle, high)
    return at(high)


def _with_statistics(model: nn.Module, preprocess: Preprocess, images: Pictures) -> nn.Module:
    """The model in evaluation mode, its BatchNorms as ``images`` have it."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, of which there is one
    with torch.no_grad():
        ImageNetwork(model, preprocess).train()(torch.from_numpy(images))
    return model.eval()


def _for_deepsparse(folder: Path) -> None:
    """As DeepSparse reads it: opset 13, and numbers (batch, 3, H, W): it runs no bytes itself."""
    checkpoint = Checkpoint.load(folder / "masked.pth")
    side = checkpoint.preprocess.size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's older exporter, the only one with opset 13, says that it is old
        torch.onnx.export(
            folded(restore(checkpoint)).eval(), (torch.zeros(1, 3, side, side),), folder / "floats.onnx", dynamo=False,
            opset_version=13, input_names=["image"], dynamic_axes={"image": {0: "batch"}},
        )  # fmt: skip


def _for_openvino(folder: Path, python: str, sources: Path) -> None:
    """int8 by NNCF, in its environment."""
    command = [python, "-m", "benchmarks.peers.nncf_int8", str(folder)]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode:
        raise RgpError(f"nncf: {' '.join(done.stderr.split())[-200:]}")


def _pictures(preprocess: Preprocess, count: int) -> Pictures:
    """(count, size, size, 3): photographs, all different."""
    return np.stack([preprocess(decode(data, preprocess.resize)) for data, _ in photographs(0, count)])


def _note(folder: Path, **figures: int) -> None:
    path = folder / "about.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | figures) + "\n")
