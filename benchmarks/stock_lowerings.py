"""What stock operators make of a graph: compile networks with random weights, dense against compiled.

``make bench`` runs it and writes ``benchmarks/results/stock_lowerings.json``. Weights do not change the time
of a convolution, so untrained networks do; every one is verified like a trained one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from rgp.checkpoint import Checkpoint
from rgp.compile.pipeline import compile_checkpoint
from rgp.environment import available_cores
from rgp.families import affine, parse
from rgp.graph import Graph
from rgp.models.registry import build
from rgp.preprocess import Preprocess
from rgp.prune import prune

RESULTS = Path("benchmarks/results/stock_lowerings.json")
CLIQUES = (affine(16, 4),)
"""16 nodes in 4 cliques, the same in every layer: a permuted groups=4 network."""

CASES: tuple[tuple[str, int, str, Sequence[Graph]], ...] = (
    ("cifar_resnet18", 32, "4 cliques of 4 nodes", CLIQUES),
    ("cifar_resnet18", 32, "affine:16_4?rotate=1", parse("affine:16_4?rotate=1")),
    ("cifar_resnet18", 32, "random:64_16", parse("random:64_16")),
    ("resnet50", 224, "4 cliques of 4 nodes", CLIQUES),
    ("resnet50", 224, "affine:16_4?rotate=1", parse("affine:16_4?rotate=1")),
)


def main() -> int:
    """Run every case, print the table, write the results."""
    rows = []
    table = Table(*("network", "graph", "MACs", "dense ms", "compiled ms", "speed-up", "95% interval", "shuffles"))
    for architecture, size, name, graphs in CASES:
        report = measure(architecture, size, name, graphs)
        rows.append(report)
        cost, shuffles = report["cost"], sum(layer["shuffles"] for layer in report["layers"])
        for latency in report["latency"]:
            low, high = latency["speedup_ci95"]
            table.add_row(
                f"{architecture}, batch {latency['batch']}",
                name,
                f"{cost['macs'] / cost['dense_macs']:.1%}",
                f"{latency['dense_ms_p50']:.2f}",
                f"{latency['compiled_ms_p50']:.2f}",
                f"{latency['speedup']:.2f}x",
                f"{low:.2f} to {high:.2f}",
                str(shuffles),
            )
    Console(width=120).print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"written: {RESULTS}")
    return 0


def measure(architecture: str, size: int, name: str, graphs: Sequence[Graph]) -> dict[str, Any]:
    """Compile one network with random weights (seed 0) and return its report."""
    torch.manual_seed(0)
    options = {"num_classes": 10, "in_channels": 3}
    model = build(architecture, **options)
    prune(model, graphs)
    preprocess = Preprocess(3, size, size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pth"
        Checkpoint(architecture, options, tuple("0123456789"), preprocess, name, model.state_dict()).save(path)
        print(f"{architecture}, {name}", file=sys.stderr)
        bundle = compile_checkpoint(path, Path(folder) / "bundle", threads=available_cores(), seconds=20)
        return bundle.report


if __name__ == "__main__":
    sys.exit(main())
