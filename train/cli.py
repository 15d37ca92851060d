"""`rgp-train`: one configuration, then training or evaluation; and the commands that go with it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rgp.cli import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run `rgp-train`; the exit code is 0, 1 for what went wrong, 2 for a wrong command line or configuration."""
    return guarded(_run, argv, "rgp-train")


def _run(argv: Sequence[str] | None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        COMMANDS[argv[0]](argv[1:])
    else:
        _train(argv)


# imports wait until they are needed: torch takes seconds, --help and a mistyped option do not wait for it; and an
# installation without rgp[train] says what is missing
def _train(argv: Sequence[str]) -> None:
    from rgp.train.config import load

    if os.environ.get("RANK", "0") != "0":  # one of several processes that torchrun started: warnings are said once
        logging.getLogger("rgp").setLevel(logging.ERROR)
    config = load(argv)
    if config.bench_data:
        from rgp.train.bench_data import bench_data

        bench_data(config)
    elif config.evaluate is not None:
        from rgp.train.distributed import part, speaks
        from rgp.train.evaluation import evaluate_checkpoint, shown

        metrics = evaluate_checkpoint(config, Path(config.evaluate))
        if speaks():
            print(f"{config.evaluate}: {shown(metrics)} on the held-out images of {config.data}")
        part()
    else:
        from rgp.train.distributed import part
        from rgp.train.loop import train

        train(config)
        part()


def _compare(argv: Sequence[str]) -> None:
    from rgp.train.compare import run

    run(argv)


def _networks(argv: Sequence[str]) -> None:
    from rgp.train.networks_cli import run

    run(argv)


def _shards(argv: Sequence[str]) -> None:
    from rgp.train.make_shards import run

    run(argv)


def _glyphs(argv: Sequence[str]) -> None:
    from rgp.train.glyphs_make import run

    run(argv)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "compare": _compare,
    "glyphs": _glyphs,
    "networks": _networks,
    "shards": _shards,
}
