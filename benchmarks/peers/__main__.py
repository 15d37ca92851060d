"""``python -m benchmarks.peers``: the compiled network beside what a user would pick instead.

``prepare`` installs the peers, makes the networks' files and compiles; ``run`` measures, and keeps each cell (network,
batch, threads, machine) in benchmarks/results/peers.json as soon as it is done: a run that was stopped goes on where it
was, and a cell measured with the same versions is not measured again without --again. ``show`` prints the table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import OURS, PACKAGES, install, missing, versions
from benchmarks.peers.networks import Network, folder_of, make
from benchmarks.peers.plot import figure
from benchmarks.peers.rounds import Setup, Worker, measure
from benchmarks.peers.table import show
from benchmarks.peers.ways import REFERENCE, RGP, WAYS
from rgp.cli import guarded
from rgp.environment import available_cores, cpu_name, environment
from rgp.errors import RgpError, UsageError, unknown
from rgp.files import written_whole
from rgp.graph_plot import save

RESULTS = Path("benchmarks/results/peers.json")
ARCHITECTURES = ("resnet50", "vgg16_bn", "resnet18", "mobilenet_v2")
GRAPHS = ("random:64_16", "random:64_24", "random:64_36")
BATCHES = (1, 8)
BUILDS, ROUNDS = 3, 5
ABSENT = {
    "ONNX Runtime, dense, bf16": "ONNX Runtime has no bf16 convolution on these CPUs, rgp's kernels are its only ones",
    "torch.compile, int8": "its quantiser has moved to another package (torchao), and was not tried",
    "LiteRT with XNNPACK, sparse": "tried on MobileNetV2 at 64_16 by litert-torch 0.10.0, its 34 masked layers written "
    "as sparse tensors (DENSIFY): equal answers in LiteRT 2.3.0 in the time of the dense network, so no sparse kernel "
    "seems to have run; convolutions of more than 1x1 were not tried",
    "GPU: torch.compile, TensorRT-RTX dense and compiled, fp16": "no GPU at hand",
}
"""What is not even tried here, and why."""


def main() -> int:
    return guarded(_main, None, "benchmarks.peers")


def _main(argv: Any) -> None:
    options = _parser().parse_args(argv)
    results = options.cache / "quick.json" if options.quick else RESULTS
    if options.command == "prepare":
        _prepare(options)
    elif options.command == "run":
        _run(options, results)
    if options.command != "prepare":
        said = json.loads(results.read_text())
        show(said)
        save(figure(said), results.with_suffix(".svg"))
        print(f"written: {results}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("command", choices=["prepare", "run", "show"])
    add("--cache", type=Path, required=True, help="folder for environments, networks, compiled code and logs")
    add("--networks", nargs="+", default=ARCHITECTURES, metavar="NAME", help="default: " + " ".join(ARCHITECTURES))
    add("--graphs", nargs="+", default=GRAPHS, metavar="GRAPH", help="default: " + " ".join(GRAPHS))
    add("--batches", nargs="+", type=int, default=BATCHES, help="default: 1 8")
    add("--threads", nargs="+", type=int, default=sorted({1, available_cores()}), help="default: one, and all cores")
    add("--ways", default="", help="only those whose name contains this; the reference always")
    add("--again", action="store_true", help="measure cells again that are done")
    add("--quick", action="store_true", help="a round or two, into the cache folder: to see that it works")
    return parser


def _prepare(options: argparse.Namespace) -> None:
    for name in PACKAGES:
        try:
            install(name, options.cache)
        except RgpError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    for network in _networks(options):
        folder = make(network, options.cache, options.threads, seconds=1.0 if options.quick else 8.0)
        for batch, threads in _loads(options):  # what is compiled when it is loaded is kept in the cache
            for way in WAYS:
                if way.load_once and options.ways in way.name:
                    print(f"compiling {way.name}, batch {batch}, {threads} threads", file=sys.stderr)
                    try:
                        Worker(way, Setup(folder, options.cache, batch, threads)).close()
                    except RgpError as error:
                        print(f"  {error}", file=sys.stderr)


def _run(options: argparse.Namespace, results: Path) -> None:
    found = json.loads(results.read_text()) if results.is_file() else {"cells": {}}
    names = [name for name in (OURS, *PACKAGES) if missing(name, options.cache) is None]
    current = {name: versions(name, options.cache) for name in names}
    ways = [way for way in WAYS if options.ways in way.name or way.row == REFERENCE]
    for network in _networks(options):
        folder = folder_of(network, options.cache)
        if not (folder / "masked.pth").is_file():
            raise UsageError(f"{network.name} is not prepared in {options.cache}: run prepare first")
        about = json.loads((folder / "about.json").read_text())
        for batch, threads in _loads(options):
            key = f"{network.architecture} {network.graph}, batch {batch}, {threads} threads, {cpu_name()}"
            done = found["cells"].get(key)
            if done and done["versions"] == current and not options.again:
                print(f"{key}: done before", file=sys.stderr)
                continue
            print(key, file=sys.stderr)
            setup = Setup(folder, options.cache, batch, threads)
            builds, rounds = (1, 2) if options.quick else (BUILDS, ROUNDS)
            cell = {
                "architecture": network.architecture, "graph": network.graph, "batch": batch, "threads": threads,
                **about, "lowerings": _lowerings(folder, threads), "versions": current, "environment": environment(),
                **measure(setup, [way for way in ways if way.serves(batch)], builds=builds, rounds=rounds),
            }  # fmt: skip
            found["cells"][key] = cell
            found["absent"] = ABSENT
            with written_whole(results) as file:
                file.write(json.dumps(found, indent=1).encode() + b"\n")


def _lowerings(folder: Path, threads: int) -> dict[str, dict[str, int]]:
    """How the compiled network's layers run: counts by precision and form."""
    reports = {way.precision: folder / way.file.format(threads=threads) for way in WAYS if way.peer == RGP}
    return {
        precision: Counter(layer["lowering"] for layer in json.loads(report.read_text())["layers"])
        for precision, file in reports.items()
        if (report := file.with_name("report.json")).is_file()
    }


def _networks(options: argparse.Namespace) -> Iterator[Network]:
    for architecture in options.networks:
        if architecture not in ARCHITECTURES:
            raise UsageError(unknown("network", architecture, ARCHITECTURES))
        for graph in options.graphs:
            yield Network(architecture, graph)


def _loads(options: argparse.Namespace) -> list[tuple[int, int]]:
    return [(batch, threads) for batch in options.batches for threads in options.threads]


if __name__ == "__main__":
    sys.exit(main())
