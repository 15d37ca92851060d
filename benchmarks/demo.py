"""``make demo``: the whole path on real images: train twice, compile, serve, classify over HTTP, one table.

Everything goes through the commands that a user types; each is printed before it runs.
"""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from rgp.train.digits import held_out_images

GRAPH = "affine:16_4?rotate=1"
HELD_OUT = 1000  # more than there are: all of them


class StepFailedError(Exception):
    """A step of the demo that did not end well."""


def main() -> int:
    """Run the demo; 0 if every step succeeded. Arguments are further settings for rgp-train."""
    started = time.monotonic()
    try:
        demo(Path("runs/demo"), sys.argv[1:])
    except StepFailedError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"demo: done in {time.monotonic() - started:.0f} s")
    return 0


def demo(runs: Path, settings: list[str]) -> None:
    """All steps, into ``runs``, which is replaced; raises StepFailedError with the name of the one that failed."""
    shutil.rmtree(runs, ignore_errors=True)
    train = ["rgp-train", "--config", "configs/digits.yaml", "--runs", str(runs), *settings]
    step("train the dense network", [*train, "--name", "dense"])
    step("train under a graph of 16 nodes at 25%", [*train, "--name", "graph", "--graph", GRAPH])

    images = runs / "held-out"
    labelled = []
    for number, (image, label) in enumerate(held_out_images(HELD_OUT)):
        path = images / label / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        labelled.append((path, label))

    bundle = runs / "bundle"
    checkpoint = runs / "digits" / "graph" / "checkpoints" / "last.pth"
    step("compile", ["rgp-compile", str(checkpoint), "-o", str(bundle), "--images", str(images), "--samples", "4"])
    with served(bundle, runs / "service.log") as address:
        url = f"http://{address}"
        print(f"\n== classify {len(labelled)} held-out images over HTTP: POST {url}/classify; the first answer:")
        answers = [(classify(url, path), label) for path, label in labelled]
    correct = sum(answer["predictions"][0]["label"] == label for answer, label in answers)
    report = json.loads((bundle / "report.json").read_text())
    print(json.dumps(answers[0][0]), "\n")
    Console().print(summary(runs, report, correct, len(answers)))
    print(f"The report: {bundle}/report.html. Serve it yourself: .venv/bin/rgp-serve {bundle}")


def step(name: str, command: list[str]) -> None:
    """Print and run one command of this installation; its output goes to the terminal."""
    print(f"\n== {name}\n$ {shlex.join(command)}", flush=True)
    code = subprocess.run([installed(command[0]), *command[1:]], check=False).returncode
    if code:
        raise StepFailedError(f"step '{name}' failed with exit code {code}")


def installed(command: str) -> str:
    """The command beside this Python, whatever PATH says."""
    return str(Path(sys.executable).with_name(command))


@contextmanager
def served(bundle: Path, log: Path) -> Iterator[str]:
    """A service on a free port, stopped at the end; gives its host and port. Its log goes to a file."""
    command = ["rgp-serve", str(bundle), "--port", "0"]
    print(f"\n== serve\n$ {shlex.join(command)}", flush=True)
    arguments = [installed(command[0]), *command[1:]]
    with (
        log.open("w") as errors,
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            line = server.stdout.readline().strip()  # printed once it listens; empty if it ended instead
            if " on http://" not in line:
                code = server.wait(timeout=30)
                raise StepFailedError(f"step 'serve' failed with exit code {code}: {log.read_text().strip()}")
            print(line)
            yield line.partition(" on http://")[2].split()[0]
        finally:
            server.terminate()


def classify(url: str, path: Path) -> dict[str, Any]:
    """POST one image; the answer."""
    try:
        response = httpx.post(
            f"{url}/classify?top_k=2", content=path.read_bytes(), headers={"Content-Type": "image/png"}
        )
        answer: dict[str, Any] = response.raise_for_status().json()
    except httpx.HTTPError as error:
        raise StepFailedError(f"step 'classify' failed on {path}: {error}") from error
    return answer


def summary(runs: Path, report: dict[str, Any], correct: int, count: int) -> Table:
    """What the demo found, in one table."""
    with (runs / "results.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    dense, graph = rows["dense"], rows["graph"]
    latency, equivalence, environment = report["latency"][0], report["equivalence"], report["environment"]
    low, high = latency["speedup_ci95"]
    table = Table(
        *("", "dense", f"graph {GRAPH}"),
        title="digits, small_resnet",
        caption=f"{environment['cpu']}, {environment['threads']} threads, ONNX Runtime {environment['version']};\n"
        f"batch 1, {latency['pairs']} interleaved pairs over {latency['builds']} builds",
    )
    table.add_row("held-out top-1, last epoch", *(f"{row['top1_last']}%" for row in (dense, graph)))
    table.add_row(f"the same over HTTP, {count} images", "", f"{correct / count:.2%}")
    table.add_row("MACs that count, millions", f"{int(dense['macs']) / 1e6:.1f}", f"{int(graph['macs']) / 1e6:.1f}")
    table.add_row(
        "MACs that run, millions", *(f"{report['cost'][key] / 1e6:.1f}" for key in ("dense_macs", "compiled_macs"))
    )
    table.add_row("parameters, thousands", *(f"{int(row['parameters']) / 1e3:.1f}" for row in (dense, graph)))
    table.add_row(
        "inference, median", f"{latency['dense_ms_p50']:.3f} ms", f"{latency['compiled_ms_p50']:.3f} ms, compiled"
    )
    table.add_row("speed-up over dense", "1", f"{latency['speedup']:.2f}, 95% interval {low:.2f} to {high:.2f}")
    table.add_row(
        "agrees with the masked network",
        "",
        f"{equivalence['top1_agreement']:.1%} of {equivalence['inputs']} images",
    )
    return table


if __name__ == "__main__":
    sys.exit(main())
