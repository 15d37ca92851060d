"""``python -m benchmarks.serving``: what the service must reach, measured, into benchmarks/results/serving.json.

The callers run on the same cores as the services; how much of them they took stands beside the figures. Nothing but
the results is written outside the cache folder; with --quick they go there too. The exit code is 1 if something that
must be reached was not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks.serving import bits, overload, peers, replicas, restarts, soak
from benchmarks.serving.part import Part
from benchmarks.serving.plot import figure
from rgp.bundle import Bundle
from rgp.cli import guarded
from rgp.environment import environment
from rgp.files import written_whole
from rgp.graph_plot import save

RESULTS = Path("benchmarks/results/serving.json")
PICTURE = Path("benchmarks/results/serving.svg")
PARTS = {
    "peers": (peers.run, "beside the bare loop, LitServe, BentoML and Ray Serve"),
    "overload": (overload.run, "ten times the rate that it can answer"),
    "replicas": (replicas.run, "two replicas behind nginx beside one service"),
    "restarts": (restarts.run, "20 restarts under load: what is lost"),
    "soak": (soak.run, "100,000 requests: memory; idle CPU"),
    "bits": (bits.run, "answers equal to offline answers while the baseline lane runs"),
}


def main() -> int:
    failed: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped

    def run(argv: Any) -> None:
        options = _parser().parse_args(argv)
        results = options.cache / "quick.json" if options.quick else RESULTS
        for name in PARTS if options.part == "all" else [options.part]:
            shutil.rmtree(options.cache / "rgp", ignore_errors=True)  # thread plans: each part measures its own
            part = Part(options.bundle, options.cache, options.quick, options.leak)
            found = PARTS[name][0](part)
            _keep(results, f"{name}-leaking" if options.leak else name, {**found, **_about(part)})
            for what, holds in found["verdicts"].items():
                print(f"{'yes' if holds else 'NO '} {what}")
                if not holds:
                    failed.append(what)
        said = json.loads(results.read_text())
        if "peers" in said:
            save(figure(said["peers"]), results.with_suffix(".svg"))
        print(f"written: {results}")

    return guarded(run, None, "benchmarks.serving") or int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name:9} {text}" for name, (_, text) in PARTS.items()),
    )  # fmt: skip
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("bundle", type=Path, help="the folder of a bundle")
    parser.add_argument("--cache", type=Path, required=True, help="folder for environments, logs and thread plans")
    parser.add_argument(
        "--quick", action="store_true", help="a minute each, into the cache folder: to see that it works"
    )
    parser.add_argument("--leak", type=int, default=0, metavar="BYTES", help="soak: leak so many for each image")
    return parser


def _about(part: Part) -> dict[str, Any]:
    return {
        "bundle": Bundle.open(part.bundle).name,
        "quick": part.quick,
        "commands": part.commands,
        "environment": environment(),
    }


def _keep(path: Path, name: str, found: dict[str, Any]) -> None:
    """Replace one part of the results."""
    results = json.loads(path.read_text()) if path.is_file() else {}
    results[name] = found
    with written_whole(path) as file:
        file.write(json.dumps(results, indent=1).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
