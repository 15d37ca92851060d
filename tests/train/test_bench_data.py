"""`rgp-train --bench-data`: images are counted rightly, and the figures can be read by a program."""

import json
from pathlib import Path

import pytest

from rgp.train import bench_data as module
from rgp.train.bench_data import bench_data
from rgp.train.config import TrainConfig
from tests.train.painted import write_shards


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_measured_and_printed(workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    bench_data(TrainConfig(data="synthetic:2x64", image_size=8, batch_size=16, workers=workers))
    words, single, line = capsys.readouterr().out.splitlines()
    figures = json.loads(line)
    assert words.startswith("synthetic:2x64: ")
    assert f"images/s of 8 x 8 (median of {figures['measurements']} measurements; half lie between" in words
    assert words.endswith(f"{workers} workers, batches of 16")
    assert "ms to read and decode" in single
    assert figures["measurements"] == (4 if workers == 0 else 2)
    assert (figures["workers"], figures["batch"], figures["size"]) == (workers, 16, 8)
    low, high = figures["quartiles"]
    assert 0 < low <= figures["images_per_s"] <= high
    assert figures["environment"]["cores"] >= 1


def test_shards_are_measured_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(tmp_path, [10, 10], [1])
    bench_data(TrainConfig(data=f"webdataset:{tmp_path}", image_size=8, batch_size=8))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["measurements"] == 2


def test_it_ends_after_some_seconds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.0)
    bench_data(TrainConfig(data="synthetic:2x64", image_size=8, batch_size=4))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["measurements"] == 1
