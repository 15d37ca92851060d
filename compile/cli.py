"""``rgp-compile``: arguments in, one call, a summary out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from rgp.bench_cli import batch_list, latency_table, positive
from rgp.bundle import Bundle, refuse_used
from rgp.cli import Parser, guarded
from rgp.compile.verify import AGREEMENTS
from rgp.engines.target import DEVICES, ENGINES, PRECISIONS, Target
from rgp.environment import available_cores
from rgp.errors import BundleError, UsageError, unknown

EPILOG = """examples:
  rgp-compile runs/digits/run/checkpoints/best.pth -o bundle
  rgp-serve bundle                                     serve it over HTTP

  rgp-compile pruned.onnx                              any ONNX model with zeros in blocks
  rgp-compile pruned.onnx --preprocess imagenet --labels imagenet.txt   so that it can be served too
  rgp-compile best.pth --precision bf16                on CPUs with AVX-512 BF16
  rgp-compile best.pth --precision int8 --images val   quantised, calibrated on real images
  rgp-compile best.pth --plan bundle/plan.json         the same choices on another machine, nothing measured again
  rgp-compile bundle --explain layer1.0.conv2          why this layer runs as it does
  rgp-compile bundle --export triton models            a model repository for NVIDIA's Triton

The bundle holds the compiled and the dense network, the plan, the measurements (report.json, report.html) and all
that rgp-serve needs. A network that is not equal to the original leaves no bundle. Single layers that were measured
once are remembered in $XDG_CACHE_HOME/rgp/tune (default: ~/.cache/rgp/tune)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(_main, argv, "rgp-compile")


def _main(argv: Sequence[str] | None) -> None:
    arguments = _parser().parse_args(argv)
    if arguments.export is not None and arguments.export[0] != "triton":
        raise UsageError(unknown("form for --export", arguments.export[0], ["triton"]))
    if (arguments.explain is not None or arguments.export is not None) and arguments.network.is_dir():
        _look_and_export(Bundle.open(arguments.network), arguments)
        return
    if not arguments.network.name:
        raise UsageError(f"'{arguments.network}' is a folder: name a checkpoint or an .onnx file")
    device = arguments.device or ("cpu" if arguments.engine == "ort" else "cuda")
    target = Target(arguments.engine, device, arguments.precision)
    out = arguments.output or arguments.network.with_name(f"{arguments.network.stem}-bundle")
    refuse_used(out)
    if arguments.export is not None:
        from rgp.compile import triton

        triton.refuse(Path(arguments.export[1]), target)  # before a compilation of minutes, not after it

    # ONNX, and torch for a checkpoint, take seconds to import: --help and usage errors need none of them
    from rgp.compile.pipeline import Settings, compile_source
    from rgp.compile.stages import Stages
    from rgp.compile.tune_cache import default_folder

    settings = Settings(
        threads=arguments.threads,
        target=target,
        batches=arguments.batch,
        tune=arguments.tune,
        threshold=arguments.threshold,
        without=arguments.without,
        plan=arguments.plan,
        images=arguments.images,
        samples=arguments.samples,
        min_agreement=arguments.min_agreement,
        pairs=arguments.pairs,
        cache=default_folder(),
    )
    with _stages() as progress:
        stages = Stages(progress)
        with stages("reading the network"):
            source, baseline = _sources(arguments)
        bundle = compile_source(source, out, settings, baseline=baseline, stages=stages)
    _summarise(bundle)
    _look_and_export(bundle, arguments)


def _look_and_export(bundle: Bundle, arguments: argparse.Namespace) -> None:
    """What is done with a finished bundle, new or not."""
    if arguments.explain is not None:
        _explain(bundle, arguments.explain)
    if arguments.export is not None:
        from rgp.compile import triton

        folder = Path(arguments.export[1])
        triton.export(bundle, folder, threads=arguments.threads, batches=arguments.batch)
        print(f"Triton's models compiled and dense: {folder}; mount it as {triton.MOUNT}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="rgp-compile",
        description="Compile a network with zeros in blocks into an engine that is really faster, prove it equal, "
        "measure it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("network", type=Path, help="a checkpoint of rgp-train or of RGP's published code, or any .onnx file")
    add("-o", "--output", type=Path, help="the bundle's folder (default: beside the network)")
    add(
        "--export",
        nargs=2,
        metavar=("triton", "DIR"),
        help="also write a model repository for Triton, its models on --threads, in batches up to the largest of "
        "--batch; NETWORK may be a bundle then",
    )
    engine = parser.add_argument_group("what it is compiled for").add_argument
    engine("--engine", default="ort", help=f"{', '.join(ENGINES)}: ONNX Runtime (default), TensorRT, TensorRT-RTX")
    engine("--device", help=f"{' or '.join(DEVICES)} (default: cpu for ort, cuda for TensorRT)")
    engine("--precision", default="fp32", help=f"{', '.join(PRECISIONS)} (default: fp32)")
    engine("--threads", type=positive, default=available_cores(), help="of one inference (default: all cores)")
    plan = parser.add_argument_group("how it is planned").add_argument
    plan("--tune", default="quick", help="off (estimates decide), quick (default) or full: how much is measured")
    plan("--plan", type=Path, help="a bundle's plan.json: make its choices, measure no single layer")
    plan("--without", action="append", default=[], metavar="LOWERING", help="never run a layer so, e.g. native")
    plan("--threshold", type=float, default=0.0, help="weights up to this magnitude count as zero (default: 0)")
    proof = parser.add_argument_group("how it is proved and measured").add_argument
    proof("--images", type=Path, help="a folder of real images to verify with, and to calibrate int8 on")
    proof(
        "--samples",
        type=positive,
        default=0,
        metavar="N",
        help="put N of --images into the bundle, for rgp-serve's page",
    )
    agreements = ", ".join(f"{share} in {name}" for name, share in AGREEMENTS.items() if name != "fp32")
    proof("--min-agreement", type=_share, help=f"least share of equal top-1 classes below fp32 (default: {agreements})")
    proof("--batch", type=batch_list, default=(1, 8), help="batch sizes to measure (default: 1,8)")
    proof("--pairs", type=positive, default=200, help="pairs to measure a batch size (default: 200)")
    proof("--dense-checkpoint", type=Path, help="the dense baseline, where it is another network (trained dense)")
    form = parser.add_argument_group("what an .onnx file does not say").add_argument
    form("--size", type=_size, help="H,W of its input, where the file leaves them free")
    form("--preprocess", help="imagenet, or a JSON file (channels, size, resize, mean, std): take images, not numbers")
    form("--labels", type=Path, help="a text file with one label a line (for a checkpoint: instead of its own)")
    look = parser.add_argument_group("to look inside").add_argument
    look("--explain", metavar="LAYER", help="say why a layer runs as it does; NETWORK may be a bundle then")
    look("--dump", type=Path, metavar="DIR", help="write the model before and after each pass into this folder")
    return parser


def _sources(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The network to compile, and the dense baseline if it is another one."""
    from rgp.compile.source import from_checkpoint, from_onnx, imagenet, read_labels, read_preprocess

    labels = read_labels(arguments.labels) if arguments.labels else ()
    if arguments.network.suffix.lower() != ".onnx":
        for option in ("size", "preprocess"):
            if getattr(arguments, option) is not None:
                raise UsageError(f"--{option} is for .onnx files: the checkpoint {arguments.network} says it itself")
        source = from_checkpoint(arguments.network, labels, arguments.dump)
    else:
        given = arguments.preprocess
        preprocess = imagenet if given == "imagenet" else None if given is None else read_preprocess(Path(given))
        source = from_onnx(arguments.network, arguments.size, preprocess, labels, arguments.dump)
    dense = arguments.dense_checkpoint
    return source, from_checkpoint(dense, labels) if dense else None


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return value


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition(",")
    return positive(height), positive(width or height)


@contextmanager
def _stages() -> Iterator[Callable[[str], None]]:
    """Tell what is being done: a line that changes on a terminal, a line for each stage in a log."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("starting") as status:
            yield lambda stage: status.update(escape(stage))
        return
    told: set[str] = set()

    def tell(stage: str) -> None:
        if (kind := stage.partition(":")[0]) not in told:  # what follows a colon is one layer of many
            told.add(kind)
            print(f"rgp-compile: {kind}", file=sys.stderr, flush=True)

    yield tell


def _explain(bundle: Bundle, layer: str) -> None:
    from rgp.compile.explain import explain

    try:
        Console().print(explain(bundle.report, layer))
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{bundle.path}/report.json: {type(error).__name__}: {error}: compile again") from error


def _summarise(bundle: Bundle) -> None:
    report = bundle.report
    lowered = [layer["lowering"] for layer in report["layers"]]
    counts = ", ".join(f"{lowered.count(name)} {name}" for name in sorted(set(lowered), reverse=True))
    equivalence = report["equivalence"]
    console = Console()
    console.print(f"{bundle.name}: {report['verdict']}", highlight=False, markup=False, soft_wrap=True)
    if report["latency"]:
        console.print(latency_table(report["latency"]))
    print(f"convolutions: {counts}; shuffles left: {sum(layer['shuffles'] for layer in report['layers'])}")
    agreement = equivalence["top1_agreement"]
    classes = "" if agreement is None else f", top-1 agreement {agreement:.1%}"
    print(
        f"equal to the original network ({report['precision']}): max |difference| {equivalence['max_abs_diff']:.2g} of "
        f"{equivalence['max_abs_logit']:.3g}{classes} over {equivalence['inputs']} inputs "
        f"({equivalence['real_images']} real)"
    )
    served = f"; serve it: rgp-serve {bundle.path}" if bundle.preprocess else ""
    print(f"bundle: {bundle.path} (report.html shows it all{served})")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
