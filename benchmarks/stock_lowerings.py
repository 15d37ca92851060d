"""What stock operators make of a graph: compile networks with random weights, dense against compiled.

``make bench`` runs it and writes ``benchmarks/results/stock_lowerings.json``. Weights do not change the time
of a convolution, so untrained networks do; every one is verified like a trained one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.untrained import checkpoint
from rgp.compile.pipeline import Settings, compile_source
from rgp.compile.source import from_checkpoint
from rgp.environment import available_cores
from rgp.prune import Turns

RESULTS = Path("benchmarks/results/stock_lowerings.json")
KEPT = ("name", "lowering", "terms", "parts", "macs_share", "shuffles", "dense_ms", "chosen_ms")
"""Of each layer; the choices that lost are in the bundle's own report."""
CASES: tuple[tuple[str, int, str, Turns], ...] = (
    ("cifar_resnet18", 32, "affine:16_4", "layers"),  # the same cliques everywhere: a permuted groups=4 network
    ("cifar_resnet18", 32, "affine:16_4?rotate=1", "layers"),
    ("cifar_resnet18", 32, "affine:16_4?rotate=1", "blocks"),
    ("resnet50", 224, "affine:16_4", "layers"),
    ("resnet50", 224, "affine:16_4?rotate=1", "blocks"),
    ("resnet50", 224, "affine:64_16?classes=1&rotate=1", "blocks"),
    ("resnet50", 224, "affine:16_4?rotate=1", "layers"),
    ("resnet50", 224, "affine:64_15?classes=2", "layers"),
    ("resnet50", 224, "ring:64_16", "layers"),
    ("resnet50", 224, "product:16_4x4", "layers"),
    ("resnet50", 224, "random:64_16", "layers"),
)


def main() -> int:
    """Run every case, print the table, write the results."""
    rows = []
    table = Table(*("network", "graph", "MACs", "dense ms", "compiled ms", "speed-up", "95% interval", "shuffles"))
    for architecture, size, graph, turns in CASES:
        report = measure(architecture, size, graph, turns)
        rows.append(report)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")  # after each: the whole takes half an hour
        cost, shuffles = report["cost"], sum(layer["shuffles"] for layer in report["layers"])
        for latency in report["latency"]:
            low, high = latency["speedup_ci95"]
            table.add_row(
                f"{architecture}, batch {latency['batch']}",
                graph + (" in blocks" if turns == "blocks" else ""),
                f"{cost['macs'] / cost['dense_macs']:.1%}",
                f"{latency['dense_ms_p50']:.2f}",
                f"{latency['compiled_ms_p50']:.2f}",
                f"{latency['speedup']:.2f}x",
                f"{low:.2f} to {high:.2f}",
                str(shuffles),
            )
    Console(width=120).print(table)
    print(f"written: {RESULTS}")
    return 0


def measure(architecture: str, size: int, graph: str, turns: Turns) -> dict[str, Any]:
    """Compile one network with random weights (seed 0) and return its report."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pth"
        checkpoint(architecture, size, graph, turns).save(path)
        print(f"{architecture}, {graph}, turns by {turns}", file=sys.stderr)
        settings = Settings(threads=available_cores(), tune="full", seconds=20, without=["native"])
        report = compile_source(from_checkpoint(path), Path(folder) / "bundle", settings).report
        layers = [{key: layer[key] for key in KEPT} for layer in report["layers"]]
        return {"architecture": architecture, "graph": graph, "turns": turns, **report, "layers": layers}


if __name__ == "__main__":
    sys.exit(main())
