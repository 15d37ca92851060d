"""``python -m benchmarks.results_page`` writes docs/results.md from benchmarks/results/: no figure goes by hand.

Pictures go from there into docs/images/ as they are.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy import page as accuracy
from benchmarks.peers.page import section

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
PAGE = ROOT / "docs/results.md"
PICTURES = ("peers.svg", "accuracy.svg")

INTRODUCTION = """# Results

Each table names the command that makes it again; the files in `benchmarks/results/` have the spread, the versions and
the machine of every figure. Speed-ups are medians of interleaved pairs, with a bootstrap interval of 95% over several
builds of the engines; both networks run in the same engine at the same settings, the dense one without its zeros used.
Machines here are shared: compare within a row, not between rows.
"""


def main() -> int:
    PAGE.write_text(page())
    print(PAGE.relative_to(ROOT))
    for picture in PICTURES:
        if (RESULTS / picture).is_file():
            shutil.copyfile(RESULTS / picture, ROOT / "docs/images" / picture)
    return 0


def page() -> str:
    """The whole page, as Markdown."""
    parts = [INTRODUCTION, native_kernel(_read("native_kernel")), stock_lowerings(_read("stock_lowerings"))]
    if (RESULTS / "serving.json").is_file():
        parts.append(serving(_read("serving")))
    if (RESULTS / "peers.json").is_file():
        parts.append(section(_read("peers")))
    if (RESULTS / "accuracy.csv").is_file():
        with (RESULTS / "accuracy.csv").open(newline="") as file:
            parts.append(accuracy.section(list(csv.DictReader(file))))
    return "\n".join(parts)


def native_kernel(reports: list[dict[str, Any]]) -> str:
    """Random graphs on our kernel; the machine that was measured last comes first."""
    head = (
        *("network", "graph", "precision", "threads", "batch", "dense, ms", "compiled, ms", "speed-up"),
        *("limit by MACs", "native"),
    )
    text = [
        "## The native kernel\n\n`make bench-kernel`. Dense is ONNX Runtime in the same precision, for bf16 in fp32. "
        "The kernel waits for memory\nmore than for arithmetic: neighbours that use it cost it more than dense. "
        "*Limit by MACs*: what leaving out the zeros can\ngain; in fp32 3x3 layers can pass it "
        "([Winograd](kernel.md#winograd)). *Native*: convolutions that run on the kernel; where\nit is none, the "
        "network ships as dense. Answers are equal: in fp32 to 1e-4 of the largest logit, in int8 to the last\nbit of "
        "the dense network's."
    ]
    machines: dict[str, list[dict[str, Any]]] = {}
    for report in sorted(reports, key=lambda report: str(report["environment"]["time"]), reverse=True):
        machines.setdefault(report["environment"]["cpu"], [])
    for report in reports:
        machines[report["environment"]["cpu"]].append(report)
    for of in machines.values():
        rows = [
            (
                report["architecture"], f"`{report['graph']}`", report["precision"], report["threads"],
                *_latency(latency), f"{report['cost']['dense_macs'] / report['cost']['macs']:.2f}x",
                f"{report['lowerings'].get('native', 0)} of {sum(report['lowerings'].values())}",
            )
            for report in of
            for latency in report["latency"]
        ]  # fmt: skip
        newest = max((report["environment"] for report in of), key=lambda environment: str(environment["time"]))
        text += [_machine(newest), _table(head, rows)]
    return "\n\n".join(text)


def stock_lowerings(reports: list[dict[str, Any]]) -> str:
    """Structured graphs on stock operators."""
    head = ("network", "graph", "MACs", "batch", "dense, ms", "compiled, ms", "speed-up", "shuffles")
    rows = [
        (
            report["architecture"],
            f"`{report['graph']}`" + (", in blocks" if report["turns"] == "blocks" else ""),
            f"{report['cost']['macs'] / report['cost']['dense_macs']:.1%}",
            *_latency(latency),
            sum(layer["shuffles"] for layer in report["layers"]),
        )
        for report in reports
        for latency in report["latency"]
    ]
    return (
        "## Stock operators alone\n\n`make bench`: `--without native`, which is all that there is on GPUs. "
        + _machine(reports[0]["environment"])
        + "\n`affine:16_4` has the same cliques in every layer, which no one should train: it shows what grouped "
        "convolutions gain where no\nshuffle is needed. *In blocks*: `--turns blocks`.\n\n" + _table(head, rows)
    )


def serving(parts: dict[str, Any]) -> str:
    """The service: beside its peers, overloaded, restarted, soaked."""
    text = ["## The service\n\n`make bench-serve`; the callers run on the same cores."]
    if "peers" in parts:
        text.append(_peers(parts["peers"]))
    for name, described in (("replicas", _replicas), ("overload", _overload), ("restarts", _restarts), ("soak", _soak)):
        if name in parts:
            text.append(described(parts[name]))
    said = {name: part["verdicts"] for name, part in parts.items() if not name.endswith("-leaking")}
    rows = [(name, what, "yes" if holds else "**no**") for name, of in said.items() for what, holds in of.items()]
    text.append(_table(("part", "what must hold", "does it"), rows))
    return "\n\n".join(text)


def _peers(part: dict[str, Any]) -> str:
    base = part["bare"]
    head = ("service", "images/s", "of the bare loop, 95%", "p50 at half load, ms", "p99, ms", "CPU ms", "MiB")
    services = sorted(part["services"].items(), key=lambda item: -float(item[1]["of_bare"]))
    rows = [
        (
            name, f"{of['per_second']:.1f}", _share(of['of_bare'], of['of_bare_ci95']), f"{of['p50_ms_at_half']:.0f}",
            "-" if of["p99_ms_at_half"] is None else f"{of['p99_ms_at_half']:.0f}", f"{of['cpu_ms']:.1f}",
            f"{of['memory'] / 2**20:.0f}",
        )
        for name, of in services
    ]  # fmt: skip
    return (
        f"{part['bundle']}. {_machine(part['environment'])} The bare loop (decode, preprocess, run, no HTTP) does "
        f"{base['per_second']:.1f} images/s.\nEach service at the best of its settings and numbers of callers.\n\n"
        + _table(head, rows)
    )


def _replicas(part: dict[str, Any]) -> str:
    head = ("way", "images/s", "of one service, 95%", "p50, ms")
    rows = [
        (
            name, f"{way['per_second']:.1f}", _share(way['of_one'], way['of_one_ci95']), f"{way['p50_ms']:.0f}",
        )
        for name, way in part["ways"].items()
    ]  # fmt: skip
    return (
        f"Replicas on the same {part['environment']['cores']} cores, beside nginx and callers: what a proxy costs.\n\n"
        + _table(head, rows)
    )


def _overload(part: dict[str, Any]) -> str:
    medians = part["medians"]
    return (
        f"Overload: {part['offered_over_saturation']:.1f} times the {part['saturation']['per_second']:.1f} images/s "
        f"that it can do, medians of {part['calm']} rounds. Alone p99 {medians['unloaded_p99']:.0f} ms; admitted p50 "
        f"{medians['admitted_p50']:.0f} ms, p99 {medians['admitted_p99']:.0f} ms, "
        f"{medians['admitted_p99_over_unloaded']:.2f} times as long (median of the rounds' ratios);\n429 after "
        f"{medians['refused_p50']:.1f} ms (p50), {medians['refused_p95']:.1f} (p95), "
        f"{medians['refused_p99']:.1f} (p99); "
        f"memory {part['memory']['before'] / 2**20:.0f} MiB before, {part['memory']['most'] / 2**20:.0f} at most."
    )


def _restarts(part: dict[str, Any]) -> str:
    gap = part["from_sigterm_to_ready_s"]
    return (
        f"Restarts: {part['restarts']} under the load of {part['callers']} callers, {part['accepted']} requests "
        f"accepted, {len(part['lost'])} of them lost; "
        f"{gap['least']:.1f} to {gap['most']:.1f} s from SIGTERM to ready again."
    )


def _soak(part: dict[str, Any]) -> str:
    low, high = (each / 2**20 for each in part["growth_ci95"])
    idle = part["idle_cpu_percent"]
    return (
        f"Soak: {part['requests']:,} requests at {part['per_second']:.0f}/s to {part['bundle']}, memory grew by "
        f"{part['growth'] / 2**20:.2f} MiB ({low:.2f} to {high:.2f}, {part['allowed'] / 2**20:.2f} allowed); idle CPU "
        f"{idle['before']:.2f}% of a core before, {idle['after']:.2f}% after."
    )


def _share(value: float, interval: Sequence[float]) -> str:
    return f"{value:.0%}, {interval[0]:.0%} to {interval[1]:.0%}"


def _latency(latency: dict[str, Any]) -> tuple[object, ...]:
    low, high = latency["speedup_ci95"]
    return (
        latency["batch"], f"{latency['dense_ms_p50']:.2f}", f"{latency['compiled_ms_p50']:.2f}",
        f"{latency['speedup']:.2f}x, {low:.2f} to {high:.2f}",
    )  # fmt: skip


def _machine(environment: dict[str, Any]) -> str:
    return (
        f"{environment['cores']} cores of an {environment['cpu']}, ONNX Runtime "
        f"{environment['versions']['onnxruntime']}, {environment['time'][:10]}."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


if __name__ == "__main__":
    sys.exit(main())
