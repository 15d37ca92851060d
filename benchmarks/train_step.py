"""What a training step costs under a graph: the masked and the decomposed form beside the dense network.

``make bench-train`` writes ``benchmarks/results/train_step.json``. A step is forward, loss, backward and SGD with
momentum, on random images. All forms of a network take turns, in random order, and the ratio to dense is that of
the same round; what a mask costs depends on its nodes, not on its edges. With a GPU the steps are in bfloat16 with
channels last, and larger.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from rgp.cost import cost
from rgp.decomposed import decompose_
from rgp.environment import available_cores, environment
from rgp.families import parse
from rgp.files import written_whole
from rgp.measure import median_ci95
from rgp.models.registry import build
from rgp.prune import prune

RESULTS = Path(__file__).parent / "results" / "train_step.json"
# network: image size, classes, batch on a CPU, batch on a GPU
NETWORKS = {"cifar_resnet18": (32, 10, 32, 512), "resnet50": (224, 1000, 4, 128)}
FORMS = (
    ("dense", "dense"),
    ("64_16", "masked"),
    ("affine:16_4?rotate=1", "masked"),
    ("affine:16_4?rotate=1", "decomposed"),
    ("affine:64_16?classes=1&rotate=1", "decomposed"),
    ("affine:64_15?classes=2", "decomposed"),
)
BUILDS = 3
"""How often all networks are built anew: where their memory lies decides some of their speed."""
LEAST_ROUNDS = 3

Step = Callable[[], None]


def main() -> int:
    """Measure every network, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=180, help="for each network")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--quick", action="store_true", help="one build and a few rounds; nothing is written")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    builds, seconds = (1, 0.0) if options.quick else (BUILDS, options.seconds)
    rows = [row for network in options.networks for row in measure(network, device, builds, seconds)]
    Console(width=max(140, Console().width)).print(_table(rows))
    if not options.quick:
        results = {
            "environment": environment(),
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "precision": "bfloat16 autocast, channels last" if device.type == "cuda" else "float32",
            "threads": options.threads,
            "steps": rows,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        with written_whole(RESULTS) as file:
            file.write((json.dumps(results, indent=1) + "\n").encode())
        print(f"written: {RESULTS}")
    return 0


def measure(network: str, device: torch.device, builds: int, seconds: float) -> list[dict[str, Any]]:
    """Time the steps of all forms of ``network``, interleaved; at least LEAST_ROUNDS rounds a build."""
    size, classes, on_cpu, on_gpu = NETWORKS[network]
    batch = on_gpu if device.type == "cuda" else on_cpu
    rng = np.random.default_rng(0)
    times: list[list[float]] = []
    build_of: list[int] = []
    rows: list[dict[str, Any]] = []
    for number in range(builds):
        print(f"{network}, build {number + 1} of {builds}", file=sys.stderr)
        made = [_form(network, size, classes, batch, graph, form, device) for graph, form in FORMS]
        rows = rows or [row for _, row in made]
        deadline, done = time.perf_counter() + seconds / builds, 0
        while done < LEAST_ROUNDS or time.perf_counter() < deadline:
            took = [0.0] * len(made)
            for index in rng.permutation(len(made)):
                took[index] = _milliseconds(made[index][0], device)
            times.append(took)
            build_of.append(number)
            done += 1
    milliseconds = np.array(times)
    for row, ms in zip(rows, milliseconds.T, strict=True):
        ratio = ms / milliseconds[:, 0]
        row |= {
            "n": len(ms),
            "builds": builds,
            "ms_p50": float(np.median(ms)),
            "images_per_s": 1000 * batch / float(np.median(ms)),
            "to_dense": float(np.median(ratio)),
            "to_dense_ci95": list(median_ci95(ratio, np.array(build_of))),
        }
    return rows


def _form(
    network: str, size: int, classes: int, batch: int, graph: str, form: str, device: torch.device
) -> tuple[Step, dict[str, Any]]:
    """A step of one form, taken twice already, and what is known of it without a clock."""
    gpu = device.type == "cuda"
    before = torch.cuda.memory_allocated() if gpu else 0
    torch.manual_seed(0)
    model = build(network, num_classes=classes, in_channels=3)
    if graph != "dense":
        prune(model, parse(graph))
    macs = cost(model, (3, size, size))
    if form == "decomposed":
        kept = decompose_(model)
        assert not kept, kept
    layout = torch.channels_last if gpu else torch.contiguous_format
    model.to(device).to(memory_format=layout)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=layout)
    labels = torch.randint(classes, (batch,), device=device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=gpu):
            loss = F.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()

    if gpu:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        step()
    row = {"network": network, "size": size, "batch": batch, "graph": graph, "form": form}
    memory = {"memory_mib": (torch.cuda.max_memory_allocated() - before) / 2**20} if gpu else {}
    return step, row | {"macs": macs.macs, "dense_macs": macs.dense_macs} | memory


def _milliseconds(step: Step, device: torch.device) -> float:
    """Wall time of one step, what it left on a GPU's queue included."""
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="one training step")
    for name in ("network", "graph", "form", "MACs", "n", "ms", "images/s", "MiB", "to dense", "95% interval"):
        table.add_column(name, justify="left" if name in ("network", "graph", "form") else "right", no_wrap=True)
    for row in rows:
        low, high = row["to_dense_ci95"]
        table.add_row(
            row["network"],
            row["graph"],
            row["form"],
            f"{row['macs'] / row['dense_macs']:.1%}",
            str(row["n"]),
            f"{row['ms_p50']:.1f}",
            f"{row['images_per_s']:.1f}",
            f"{row['memory_mib']:.0f}" if "memory_mib" in row else "",
            f"{row['to_dense']:.3f}",
            f"{low:.3f} to {high:.3f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
