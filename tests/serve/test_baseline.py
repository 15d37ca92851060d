"""The baseline of a bundle's report: its figures, None, or an error that says what is malformed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rgp.errors import BundleError
from rgp.serve.baseline import measured
from tests.serve.tiny import REPORT, write_bundle

_, BATCH_1 = REPORT["latency"]


def test_there_is_a_figure_for_each_batch_size(tmp_path: Path) -> None:
    eight, one = measured(write_bundle(tmp_path / "b"))
    assert (one.batch, one.dense_ms_p50, one.pairs) == (1, 2.5, 100)
    assert (eight.batch, eight.source, eight.age_s) == (8, "bundle", None)


@pytest.mark.parametrize("report", [{}, {**REPORT, "latency": []}])
def test_a_report_without_latency_gives_none(report: dict[str, Any], tmp_path: Path) -> None:
    assert measured(write_bundle(tmp_path / "b", report=report)) == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"latency": [{**BATCH_1, "speedup": "fast"}]}, "latency: speedup: "),
        ({"latency": [{**BATCH_1, "speedup": float("nan")}]}, "latency: speedup: "),
        ({"latency": [{**BATCH_1, "speedup_ci95": [1.0]}]}, "latency: speedup_ci95"),
        ({"latency": [{**BATCH_1, "pairs": 0}]}, "latency: pairs: "),
        ({"latency": [{}]}, "latency: batch: Field required"),
        ({"latency": 3}, "TypeError"),
        ({"environment": {}}, "latency: environment.cpu: "),
    ],
)
def test_malformed_figures_are_a_bundle_error(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", report=REPORT | changed)
    with pytest.raises(BundleError, match=message) as error:
        measured(bundle)
    assert "\n" not in str(error.value)
