"""``rgp-compile``: arguments in, one call, a summary out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from rgp.bench_cli import batch_list, latency_table, positive
from rgp.bundle import Bundle, refuse_used
from rgp.cli import guarded
from rgp.environment import available_cores
from rgp.errors import UsageError, unknown

ENGINES = ("ort",)

EPILOG = """example:
  rgp-compile runs/digits/run/checkpoints/best.pth -o bundle
  rgp-serve bundle

The bundle holds the compiled and the dense network, the measurements (report.json, report.html) and all that
rgp-serve needs. A network that is not equal to the masked one leaves no bundle."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(_main, argv, "rgp-compile")


def _main(argv: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="rgp-compile",
        description="Compile a masked network into an engine that is really faster, prove it equal, measure it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of rgp-train, or of the published code of RGP")
    parser.add_argument("--engine", default="ort", help="what runs the network: ort, ONNX Runtime on CPU (default)")
    parser.add_argument("-o", "--output", type=Path, help="the bundle's folder (default: beside the checkpoint)")
    parser.add_argument("--threads", type=positive, default=available_cores(), help="default: all cores (%(default)s)")
    parser.add_argument("--batch", type=batch_list, default=(1, 8), help="batch sizes to measure (default: 1,8)")
    parser.add_argument("--images", type=Path, help="a folder of real images to verify with, beside random ones")
    parser.add_argument("--pairs", type=positive, default=200, help="pairs to measure a batch size (default: 200)")
    arguments = parser.parse_args(argv)
    if arguments.engine not in ENGINES:
        raise UsageError(unknown("engine", arguments.engine, ENGINES))
    out = arguments.output or arguments.checkpoint.with_name(f"{arguments.checkpoint.stem}-bundle")

    refuse_used(out)

    from rgp.compile.pipeline import compile_checkpoint  # torch takes seconds: --help and usage errors need none

    with _stages() as progress:
        bundle = compile_checkpoint(
            arguments.checkpoint,
            out,
            threads=arguments.threads,
            batches=arguments.batch,
            images=arguments.images,
            pairs=arguments.pairs,
            progress=progress,
        )
    _summarise(bundle)


@contextmanager
def _stages() -> Iterator[Callable[[str], None]]:
    """Tell what is being done: a line that changes on a terminal, a line for each stage in a log."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("starting") as status:
            yield status.update
        return
    told: set[str] = set()

    def tell(stage: str) -> None:
        if (kind := stage.partition(":")[0]) not in told:  # what follows a colon is one layer of many
            told.add(kind)
            print(f"rgp-compile: {kind}", file=sys.stderr, flush=True)

    yield tell


def _summarise(bundle: Bundle) -> None:
    report = bundle.report
    lowered = [layer["lowering"] for layer in report["layers"]]
    counts = ", ".join(f"{lowered.count(name)} {name}" for name in sorted(set(lowered), reverse=True))
    equivalence = report["equivalence"]
    console = Console()
    console.print(f"{bundle.name}: {report['verdict']}", highlight=False, soft_wrap=True)
    console.print(latency_table(report["latency"]))
    print(f"convolutions: {counts}; shuffles left: {sum(layer['shuffles'] for layer in report['layers'])}")
    print(
        f"equal to the masked network: max |difference| {equivalence['max_abs_diff']:.2g} of "
        f"{equivalence['max_abs_logit']:.3g}, top-1 agreement {equivalence['top1_agreement']:.1%} "
        f"over {equivalence['inputs']} images ({equivalence['real_images']} real)"
    )
    print(f"bundle: {bundle.path} (report.html shows it all; serve it: rgp-serve {bundle.path})")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
