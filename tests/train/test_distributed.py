"""Two processes on one CPU, started by torchrun: the same run as one process alone."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from rgp.checkpoint import Checkpoint
from rgp.errors import UsageError
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.distributed import Processes
from rgp.train.history import History
from rgp.train.learner import Learner
from rgp.train.sync_norm import synchronised

ARGUMENTS = [
    *("--data", "digits", "--width", "8", "--graph", "ring:8_2", "--batch_size", "64", "--lr", "0.01"),
    *("--momentum", "0", "--ema", "0.9", "--device", "cpu"),
]


def command(count: int, runs: Path, *more: str) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m"]
    start = [sys.executable, "-m"] if count == 1 else launcher
    return [*start, "rgp.train", *ARGUMENTS, "--runs", str(runs), *more]


def run(count: int, runs: Path, *more: str) -> Path:
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(count, runs, *more), env=one_thread, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 2/") == 1  # one of them speaks
    return runs / "default" / "run"


def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path) -> None:
    more = ("--epochs", "2", "--save_every", "1")
    one, two = run(1, tmp_path / "one", *more), run(2, tmp_path / "two", *more)
    ours, theirs = (History(folder / "history.csv").read() for folder in (one, two))
    for our, their in zip(ours, theirs, strict=True):
        assert our.train_loss == pytest.approx(their.train_loss, abs=1e-4)
        assert our.loss == pytest.approx(their.loss, abs=1e-3)
        assert our.top1 == pytest.approx(their.top1, abs=1)  # 364 images: one is 0.27
    for epoch in (1, 2):
        states = [Checkpoint.load(folder / "checkpoints" / f"epoch-00{epoch}.pth").state for folder in (one, two)]
        for key, value in states[0].items():
            assert torch.allclose(value.double(), states[1][key].double(), atol=1e-3), key
    assert len(list(csv.DictReader((tmp_path / "two" / "results.csv").read_text().splitlines()))) == 1


def test_two_processes_train_in_bfloat16(tmp_path: Path) -> None:
    folder = run(2, tmp_path, "--epochs", "2", "--amp", "bf16")
    assert [epoch.epoch for epoch in History(folder / "history.csv").read()] == [1, 2]


def test_two_processes_stop_together_and_go_on(tmp_path: Path) -> None:
    more = ("--epochs", "4", "--batch_size", "16", "--save_steps", "10")
    folder = tmp_path / "default" / "run"
    last = folder / "checkpoints" / "last.pth"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command(2, tmp_path, *more), stdout=log, stderr=log)
        deadline = time.monotonic() + 200
        while not last.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)  # torchrun hands it on
        assert process.wait(60) != 0
    assert "continues it (--resume auto)" in (tmp_path / "log").read_text()
    assert len(Checkpoint.load(last).training["random"]) == 2
    run(2, tmp_path, *more, "--resume", "auto")
    assert [epoch.epoch for epoch in History(folder / "history.csv").read()] == [1, 2, 3, 4]


@pytest.mark.parametrize("accumulate", [3, 7, 128])
def test_a_batch_that_cannot_be_shared_is_refused(accumulate: int) -> None:
    config = TrainConfig(batch_size=64, accumulate=accumulate, device="cpu")
    with pytest.raises(UsageError, match=r"batch_size is 64: 1 processes times accumulate \d+ must divide it: give"):
        Learner(config, load_data(config), Processes(config))


def test_a_norm_of_its_own_kind_is_not_passed_over() -> None:
    class Other(nn.BatchNorm2d):
        pass

    with pytest.raises(UsageError, match=r"^0 is a Other, which cannot see the whole batch: set sync_norm to false$"):
        synchronised(nn.Sequential(Other(3)))
