"""The whole path through the real commands: train, compile, serve, classify."""

import json
from pathlib import Path

import pytest

from benchmarks.demo import StepFailedError, demo


@pytest.mark.slow  # `make demo`, which CI runs, is the same with a larger network
def test_the_demo_runs_from_scans_to_answers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "demo"
    demo(runs, ["--epochs", "2", "--width", "16"])
    printed = capfd.readouterr().out
    for step in ("train the dense network", "train under a graph", "compile", "serve"):
        assert f"== {step}" in printed
    assert "364 images" in printed
    report = json.loads((runs / "bundle" / "report.json").read_text())
    assert report["equivalence"]["real_images"] == 364
    assert report["equivalence"]["top1_agreement"] == 1
    assert (runs / "bundle" / "report.html").exists()
    over_http = next(line for line in printed.splitlines() if "the same over HTTP" in line)
    trained = next(line for line in printed.splitlines() if "held-out top-1" in line)
    assert over_http.split("│")[3].strip() == trained.split("│")[3].strip()  # one network, the same answers


def test_a_step_that_fails_stops_the_demo_with_its_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepFailedError, match="step 'train the dense network' failed with exit code 2"):
        demo(tmp_path / "demo", ["--epochs", "none"])
    assert "epochs is 'none': give a whole number" in capfd.readouterr().err
