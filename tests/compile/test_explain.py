"""--explain: everything that a report knows of one layer, in sentences."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from rgp.compile.explain import explain
from rgp.errors import UsageError
from tests.compile.example_report import candidate, layer, report


def told(report: dict[str, Any], name: str) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(explain(json.loads(json.dumps(report)), name))
    return console.export_text()


def outcomes(text: str) -> list[str]:
    return [line.strip("│ ").split("│")[-1].strip() for line in text.splitlines() if line.startswith("│")]


def test_a_lowered_layer_is_told_with_its_structure_its_shuffles_and_every_candidate() -> None:
    text = told(report(), "layer1.conv1")
    assert "layer1.conv1 of small_resnet affine:16_4" in text
    assert "64 to 128 channels, 3x3 / 2x2 on 16x16, 4.7 million MACs when dense" in text
    assert "found: 16 x 16 classes, every output class reads 4 (density 0.25)" in text
    assert "chosen: grouped 4, 25% of the MACs, 0.750 ms alone, dense 1.500 ms" in text
    assert "shuffles left around it: 1, on its input" in text
    assert "why: grouped 4 with 1 shuffle measured 2.00x dense [1.90, 2.10]" in text
    assert "does not apply: not matmul: only a 1x1 convolution is a matrix product" in text
    assert outcomes(text) == [
        "the chosen form, under other orders",
        "faster than dense, but another is faster in its place",
        "chosen",
    ]


def test_a_layer_that_fell_back_tells_why_each_candidate_lost() -> None:
    text = told(report(), "layer1.conv2")
    assert "chosen: dense, 100% of the MACs" in text
    assert "shuffles left" not in text
    assert outcomes(text) == [
        "faster alone, not as it stands in the network",
        "not faster than dense beyond the noise",
    ]


def test_a_sum_is_another_form_than_its_lowering_alone() -> None:
    chosen = layer("a", lowering="grouped", parts=4, terms=2, macs_share=0.5, dense_ms=1.5, chosen_ms=0.5)
    text = told(report(chosen | {"candidates": [candidate("grouped", 2.0), candidate("grouped", 3.0, terms=2)]}), "a")
    assert "chosen: grouped 4, 2 summed" in text
    assert outcomes(text) == ["faster than dense, but another is faster in its place", "chosen"]


def test_without_measurements_there_are_estimates_and_no_times() -> None:
    estimate = candidate("grouped", 1.1) | {"dense_ms": None, "ms": None, "speedup_ci95": None}
    text = told(report(layer("a", candidates=[estimate])), "a")
    assert "chosen: dense, 100% of the MACs, not measured" in text
    assert outcomes(text) == ["estimated only"]
    assert "2.90x" in text


def test_a_layer_without_candidates_has_no_table() -> None:
    text = told(report(), "conv1")
    assert "tried" not in text
    assert "does not apply: no zeros to leave out" in text


def test_a_side_of_unknown_length_and_markup_in_a_name_do_no_harm() -> None:
    text = told(report(layer("[bold]a[/x]", image=[None, None], stride=[1, 1])), "[bold]a[/x]")
    assert "[bold]a[/x] of" in text
    assert "64 to 128 channels, 3x3, 4.7 million" in text


def test_an_unknown_layer_is_a_usage_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"unknown layer 'layer1.conv3': did you mean 'layer1.conv\d'\?"):
        explain(report(), "layer1.conv3")


def test_the_report_of_an_older_rgp_is_a_usage_error() -> None:
    older = layer("a")
    del older["candidates"]
    with pytest.raises(UsageError, match="is of an older rgp"):
        explain(report(older), "a")
