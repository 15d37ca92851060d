"""Checkpoints of masked networks with random weights: the weights do not change the time of a convolution.

``python -m benchmarks.untrained resnet50 random:64_16 -o runs/resnet50.pth`` writes one for rgp-compile.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from rgp.checkpoint import Checkpoint
from rgp.families import parse
from rgp.models.registry import build
from rgp.preprocess import Preprocess
from rgp.prune import Turns, prune

OPTIONS = {"num_classes": 10, "in_channels": 3}


def checkpoint(architecture: str, size: int, graph: str, turns: Turns = "layers") -> Checkpoint:
    """The network, pruned, weights by seed 0, for images of ``size`` and ten classes."""
    torch.manual_seed(0)
    model = build(architecture, **OPTIONS)
    prune(model, parse(graph, connected=False), turns=turns)
    preprocess = Preprocess(3, size, size * 8 // 7, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return Checkpoint(architecture, OPTIONS, tuple("0123456789"), preprocess, graph, model.state_dict())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture")
    parser.add_argument("graph")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--size", type=int, default=224, help="of the images' sides (default: %(default)s)")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    checkpoint(options.architecture, options.size, options.graph).save(options.output)
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
