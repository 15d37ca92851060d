"""What the native kernel makes of random regular graphs: networks with random weights, dense against compiled.

``make bench-kernel`` runs it and writes ``benchmarks/results/native_kernel.json``, which keeps what other machines, and
other cases, have measured. Dense is ONNX Runtime in the same precision (float32 for bf16, which it has not) with the
same settings, interleaved with it; weights do not change the time of a convolution, so untrained networks do. Beside
each speed-up stand its limit by MACs (layers by Winograd can pass it), and the share of the float32 multiply-adds that
the CPU does at best, measured in registers.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL, c_double, c_int64
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.untrained import checkpoint
from rgp.compile.pipeline import Settings, compile_source
from rgp.compile.source import from_checkpoint
from rgp.engines import native
from rgp.engines.target import Target
from rgp.environment import available_cores
from rgp.files import written_whole
from rgp.load.images import photographs

RESULTS = Path("benchmarks/results/native_kernel.json")
NETWORKS = (
    ("resnet50", 224, "random:64_16"),
    ("resnet50", 224, "random:64_24"),
    ("resnet50", 224, "random:64_36"),
    ("resnet18", 224, "random:64_16"),
    ("vgg16_bn", 224, "random:64_16"),
    ("cifar_resnet18", 32, "random:64_16"),
)
CASES = (
    *((*network, precision) for network in NETWORKS for precision in ("fp32", "bf16", "int8")),
    ("cifar_resnet56", 32, "random:16_8", "fp32"),
    ("resnet50", 224, "affine:64_15?classes=2", "fp32"),
    ("resnet50", 224, "affine:16_4?rotate=1", "fp32"),
)
PICTURES = 32
"""For int8 to be calibrated on."""
PEAK_ROUNDS = 20_000_000


def main() -> int:
    """Run the cases, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="at most so long at each batch size (default: 20)")
    parser.add_argument("--tune", default="full", help="how much the planner measures: full (default) or quick")
    parser.add_argument("--only", default="", help="cases whose network, graph and precision contain this")
    options = parser.parse_args()
    if (reason := native.missing()) is not None:
        print(f"no kernels to measure: {reason}", file=sys.stderr)
        return 1
    table = Table(
        *(
            "network",
            "graph",
            "precision",
            "threads, batch",
            "dense ms",
            "compiled ms",
            "speed-up",
            "95%",
            "limit",
            "peak",
        )
    )
    for architecture, size, graph, precision in CASES:
        if options.only not in f"{architecture} {graph} {precision}":
            continue
        if (reason := native.missing(precision)) is not None:
            print(f"{architecture}, {graph}, {precision}: {reason}", file=sys.stderr)
            continue
        for threads in sorted({1, available_cores()}):
            report = measure(architecture, size, graph, precision, threads, options.seconds, options.tune)
            _keep(report)  # after each: the whole takes an hour
            cost = report["cost"]
            for latency in report["latency"]:
                low, high = latency["speedup_ci95"]
                done = cost["macs"] * latency["batch"] / (latency["compiled_ms_p50"] / 1000)
                table.add_row(
                    architecture,
                    graph,
                    precision,
                    f"{threads}, {latency['batch']}",
                    f"{latency['dense_ms_p50']:.2f}",
                    f"{latency['compiled_ms_p50']:.2f}",
                    f"{latency['speedup']:.2f}x",
                    f"{low:.2f} to {high:.2f}",
                    f"{cost['dense_macs'] / cost['macs']:.2f}x",
                    f"{done / report['peak_macs']:.0%}",
                )
    Console(width=130).print(table)
    print(f"written: {RESULTS}")
    return 0


def _keep(report: dict[str, Any]) -> None:
    """Write the report into the results, in place of the one of the same case and machine, in the order of CASES."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    case = _case(report)
    place: dict[tuple[object, ...], int] = {
        (architecture, graph, precision): n for n, (architecture, _, graph, precision) in enumerate(CASES)
    }
    kept = [each for each in kept if _case(each) != case] + [report]
    kept.sort(key=lambda each: (place.get(_case(each)[:3], len(CASES)), each["threads"]))
    with written_whole(RESULTS) as file:
        file.write((json.dumps(kept, indent=1) + "\n").encode())


def _case(report: dict[str, Any]) -> tuple[object, ...]:
    about = report["environment"]
    return *(report[name] for name in ("architecture", "graph", "precision", "threads")), about["cpu"], about["cores"]


def measure(
    architecture: str, size: int, graph: str, precision: str, threads: int, seconds: float, tune: str
) -> dict[str, Any]:
    """Compile one network with random weights (seed 0); its report, how layers run, and the CPU's peak then."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint(architecture, size, graph).save(folder / "net.pth")
        print(f"{architecture}, {graph}, {precision}, {threads} threads", file=sys.stderr)
        pictures = folder / "pictures" if precision == "int8" else None
        if pictures is not None:
            pictures.mkdir()
            for number, (data, _) in enumerate(photographs(0, PICTURES)):
                (pictures / f"{number}.jpg").write_bytes(data)
        settings = Settings(
            threads=threads, target=Target(precision=precision), batches=(1, 8), tune=tune, seconds=seconds,
            images=pictures, min_agreement=0.0,  # untrained logits lie close together
        )  # fmt: skip
        report = compile_source(from_checkpoint(folder / "net.pth"), folder / "bundle", settings).report
    lowerings = Counter(layer["lowering"] for layer in report.pop("layers"))
    about = {"architecture": architecture, "graph": graph, "precision": precision, "threads": threads}
    kernels = report["environment"].get("kernels", native.describe())
    return {**about, "lowerings": lowerings, "kernels": kernels, "peak_macs": peak(threads), **report}


def peak(threads: int) -> float:
    """Multiply-adds a second in registers alone, on so many threads at once; the best of five tries."""
    function = CDLL(str(native.LIBRARY)).rgp_peak_macs
    function.restype, function.argtypes = c_double, [c_int64]
    with ThreadPoolExecutor(threads) as pool:
        return max(sum(map(float, pool.map(function, [PEAK_ROUNDS] * threads))) for _ in range(5))


if __name__ == "__main__":
    sys.exit(main())
