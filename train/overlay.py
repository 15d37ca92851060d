"""compare.html: the curves of several runs in one picture, a stroke for each configuration, and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rgp.errors import UsageError
from rgp.train.compare import NUMBERS, Configuration, configurations_table, one_device, runs_table
from rgp.train.pages import page
from rgp.train.plots import MAX_DRAWN, Stroke, overlay_svg


def overlay(found: dict[str, Any], configurations: Sequence[Configuration]) -> bytes:
    """The page; UsageError where there are more configurations than strokes to tell apart."""
    if len(configurations) > MAX_DRAWN:
        raise UsageError(
            f"-o draws at most {MAX_DRAWN} configurations, these are {len(configurations)}: leave some out"
        )
    strokes = {str(each.number): Stroke.of(each.number - 1) for each in configurations}
    lines = [(run.history, strokes[str(each.number)]) for each in configurations for run in each.runs if run.history]
    return page(
        "compare.html",
        found=found,
        strokes=strokes,
        numbers=NUMBERS,
        curves=overlay_svg(lines),
        configurations=configurations_table(found),
        runs=runs_table(found),
        device=one_device(found),
    )
