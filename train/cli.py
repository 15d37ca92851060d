"""`rgp-train`: one configuration, then training or evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rgp.cli import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run `rgp-train`; the exit code is 0, 1 for what went wrong, 2 for a wrong command line or configuration."""
    return guarded(_run, argv, "rgp-train")


def _run(argv: Sequence[str] | None) -> None:
    from rgp.train.config import load  # here, so that an installation without rgp[train] says what is missing

    config = load(argv)
    # torch takes seconds to import: --help and a mistyped option do not wait for it
    from rgp.train.evaluation import evaluate_checkpoint, shown
    from rgp.train.loop import train

    if config.evaluate is None:
        train(config)
    else:
        metrics = evaluate_checkpoint(config, Path(config.evaluate))
        print(f"{config.evaluate}: {shown(metrics)} on the held-out images of {config.data}")
