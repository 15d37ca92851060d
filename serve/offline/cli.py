"""``rgp-classify``: what is asked, what there is already, and the run between them."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rgp.bench_cli import positive
from rgp.bundle import Bundle
from rgp.cli import Parser
from rgp.environment import available_cores
from rgp.errors import DataError, UsageError
from rgp.files import written_whole
from rgp.serve.answers import ThreadPlan
from rgp.serve.offline.classifier import Classifier, thread_plan
from rgp.serve.offline.formats import FORMATS
from rgp.serve.offline.inputs import Inputs, Survey
from rgp.serve.offline.parts import Parts, forget_left
from rgp.serve.offline.stream import Cursor, Done, classified
from rgp.serve.offline.summary import Totals, table

DESCRIPTION = """\
Classify every image of folders, of tar shards (WebDataset) or of Parquet files with a bundle that rgp-compile wrote:
one row for each, in the order of the input, with what the service would answer, bit for bit. An image that cannot be
read gets its error in the row and stops nothing. Killed at any moment, the same command goes on where it stopped.
"""
EXAMPLES = """\
examples:
  rgp-classify photographs/ --bundle runs/demo/bundle -o classes.parquet
  rgp-classify 'shards-{0000..0009}.tar' --bundle bundle -o classes.csv --top-k 1
  rgp-classify table.parquet --column image --bundle bundle -o classes.jsonl --json
  rgp-classify shards/ --bundle bundle -o classes.parquet --ray auto

Columns: source (the file or folder), key (the image in it), labels, indices, probabilities (the --top-k classes, most
probable first), error, model (sha256). Exit code 0 though images have errors: they are counted at the end.
"""
FORMAT = "rgp-classify/1"


def run(argv: Sequence[str] | None) -> None:
    """Classify what ``argv`` says, or what is left of it; raises RgpError for what a user can mend."""
    options = _parser().parse_args(argv)
    output: Path = options.output
    inputs = Inputs(options.inputs, options.column)
    _refuse_bad(output, inputs)
    bundle = Bundle.open(options.bundle)
    bundle.require_images()
    console = Console(stderr=True)
    with console.status("going through the input"):
        survey = inputs.survey()
    top_k = min(options.top_k, len(bundle.labels))
    asked = {"format": FORMAT, "input": survey.fingerprint, "bundle": _sha256(bundle), "top_k": top_k}

    folder = output.with_name(f"{output.name}.parts")
    forget_left(folder)
    if output.exists() and not folder.exists():
        _tell(_finished(output, asked), options.json)
        return
    with Parts.opened(folder) as parts:
        plan = _plan(parts, asked, bundle, options)
        resumed_at, started = parts.cursor.rows, time.monotonic()
        dones = _classified(options, bundle, plan, inputs, top_k, parts.cursor)
        for done in _shown(dones, inputs, survey, parts.cursor, console):
            parts.add(done)
        parts.flush()
        seconds = time.monotonic() - started
        if inputs.survey() != survey:
            raise DataError(f"the input changed while it was classified: remove {folder} and begin anew")
        totals, rows = Totals(), parts.cursor.rows
        about = {**asked, "model": bundle.name, "sha256": bundle.sha256, "plan": _named(plan), "rows": rows}
        joined = folder / f"joined{output.suffix}"
        with console.status(f"writing {output}"), written_whole(joined) as file:
            FORMATS[output.suffix](file, totals.counting(parts.rows()), top_k, about)
        parts.publish(joined, output)
    summary = {
        "output": str(output),
        **totals.to_dict(),
        "resumed_at": resumed_at,
        "seconds": seconds,
        "images_per_second": (rows - resumed_at) / seconds if rows > resumed_at else None,
        **{name: about[name] for name in ("model", "sha256", "plan")},
    }
    _tell(summary, options.json)


def _refuse_bad(output: Path, inputs: Inputs) -> None:
    if output.suffix not in FORMATS:
        raise UsageError(f"-o {output}: its name must end in {', '.join(FORMATS)}")
    if output.is_dir() or not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise UsageError(f"-o {output}: cannot be written: name a file in a folder that can be")
    for path in inputs.paths:
        if path.is_dir() and output.resolve().is_relative_to(path.resolve()):
            raise UsageError(f"-o {output}: lies in {path}, which is read: name a file elsewhere")


def _finished(output: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """The summary of a run that ended well earlier; UsageError if ``output`` is something else."""
    try:
        with pq.ParquetFile(output) as file:
            about = json.loads(file.schema_arrow.metadata[b"rgp"])
            totals = Totals()
            for _ in totals.counting(file.iter_batches(4096)) if about.items() >= asked.items() else ():
                pass
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, AttributeError):
        about = {}
    if not about.items() >= asked.items():
        raise UsageError(f"{output}: exists: remove it, or choose another with -o")
    return {
        "output": str(output),
        **totals.to_dict(),
        "resumed_at": about["rows"],
        "seconds": 0.0,
        "images_per_second": None,
        **{name: about[name] for name in ("model", "sha256", "plan")},
    }


def _plan(parts: Parts, asked: dict[str, Any], bundle: Bundle, options: argparse.Namespace) -> ThreadPlan:
    """The plan of the run that is gone on with, so that its rows stay what they would have been; else a new one."""
    before = parts.run()
    if before is None:
        plan = thread_plan(bundle, options.threads, options.batch)
        parts.begin({**asked, "plan": _named(plan)})
        return plan
    for name, what in (("format", "rgp"), ("input", "the input"), ("bundle", "the bundle"), ("top_k", "--top-k")):
        if before.get(name) != asked[name]:
            raise UsageError(f"{parts.folder}: {what} is not what this run began with: remove the folder to begin anew")
    plan = thread_plan(bundle, before["plan"]["threads"], before["plan"]["batch"])
    for name, value in _named(plan).items():
        if getattr(options, name) not in (0, value):
            raise UsageError(
                f"{parts.folder}: this run began with --{name} {value}: give that, or remove the folder to begin anew"
            )
    return plan


def _named(plan: ThreadPlan) -> dict[str, int]:
    return {"threads": plan.threads, "batch": plan.max_batch}


def _classified(
    options: argparse.Namespace, bundle: Bundle, plan: ThreadPlan, inputs: Inputs, top_k: int, start: Cursor
) -> Iterator[Done]:
    if options.ray is None:
        classifier = Classifier(bundle, plan, top_k)
        return classified(inputs.sources(), classifier, start, max(plan.lanes, available_cores()))
    try:
        from rgp.serve.offline.on_ray import classified_on_ray
    except ModuleNotFoundError as error:
        raise UsageError(f"--ray needs {error.name}, which is not installed: pip install 'rgp[ray]'") from error
    return classified_on_ray(options.ray, inputs.sources(), bundle, plan, top_k, start)


def _shown(dones: Iterator[Done], inputs: Inputs, survey: Survey, start: Cursor, console: Console) -> Iterator[Done]:
    """The same, with a progress bar while they pass."""
    columns = (
        TextColumn("{task.fields[rows]} images, {task.fields[rate]:.1f}/s"),
        *(BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=True)),
    )
    sources, begun = enumerate(inputs.sources()), time.monotonic()
    at, before, rows = -1, 0, 0
    size = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=survey.size, rows=start.rows, rate=0.0)
        for done in dones:
            while at < done.source - (done.item == 0):  # what is not images in a source counts once it is left
                before, (at, source) = before + size, next(sources)
                size, reached = source.size, 0
            reached += done.size
            rows += len(done.rows)
            seconds = time.monotonic() - begun
            progress.update(
                bar, completed=before + min(reached, size), rows=start.rows + rows, rate=rows / max(seconds, 1e-3)
            )
            yield done


def _sha256(bundle: Bundle) -> str:
    """Of all that decides an answer."""
    assert bundle.preprocess is not None  # it was required
    said = [bundle.sha256, bundle.labels, bundle.preprocess.to_dict(), bundle.target.to_dict()]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _tell(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
    else:
        Console().print(table(summary))


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="rgp-classify", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=layout)
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="a folder of images, of .tar or of .parquet files; one such file; "
        "or a pattern with braces")  # fmt: skip
    add(
        "--bundle", type=Path, required=True, metavar="DIR", help="a bundle; its files are checked against their hashes"
    )
    add("-o", "--output", type=Path, required=True, metavar="FILE", help=f"ends in {', '.join(FORMATS)}")
    add("--top-k", type=positive, default=5, metavar="N", help="classes in each row (default: 5)")
    add("--column", metavar="NAME", help="of the images in Parquet files (default: the only one that holds bytes)")
    add("--threads", type=positive, default=0, metavar="N", help="threads that one inference uses (default: measured)")
    add("--batch", type=positive, default=0, metavar="N", help="images in one inference (default: measured)")
    add("--ray", metavar="ADDRESS", help="run on Ray: local, auto, HOST:PORT or ray://HOST:PORT (needs rgp[ray])")
    add("--json", action="store_true", help="print JSON instead of a table")
    return parser
