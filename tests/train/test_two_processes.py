"""Two processes over WebDataset shards, started by torchrun: what each reads, and that together they are one run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rgp.checkpoint import Checkpoint
from rgp.train.config import load
from rgp.train.history import History
from rgp.train.loop import train
from tests.train.painted import write_shards

EPOCHS, TRAIN, HELD_OUT = 2, [20, 12, 16, 16], [9, 4]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run of this process alone, and that of two."""
    root = tmp_path_factory.mktemp("two")
    shards = write_shards(root, TRAIN, HELD_OUT)
    arguments = [
        *("--data", f"webdataset:{shards}", "--image_size", "8", "--width", "8", "--graph", "ring:8_2"),
        *("--batch_size", "16", "--lr", "0.01", "--momentum", "0", "--epochs", str(EPOCHS), "--save_every", "1"),
        *("--device", "cpu"),
    ]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = Path(__file__).with_name("recorded.py")
    done = subprocess.run(
        [sys.executable, *launcher, str(program), *arguments, "--runs", str(root / "both")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "RECORD": str(root)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    train(load([*arguments, "--runs", str(root / "one")]))
    return root / "one" / "default" / "run", root / "both" / "default" / "run"


def read(folder: Path, rank: int, part: str) -> list[str]:
    """The files that process ``rank`` read of a part's shards, in order."""
    names = json.loads((folder.parents[2] / f"{rank}.json").read_text())
    return ["/".join(name.rsplit("/", 2)[1:]) for name in names if f"/{part}-" in name]


def test_each_image_is_read_by_one_of_them_in_every_epoch(folders: tuple[Path, Path]) -> None:
    _, both = folders
    first, second = (read(both, rank, "train") for rank in (0, 1))
    share = sum(TRAIN) // 2
    assert len(first) == len(second) == EPOCHS * share
    for epoch in range(EPOCHS):
        mine, others = (set(names[epoch * share : (epoch + 1) * share]) for names in (first, second))
        assert len(mine) == len(others) == share
        assert not mine & others
    assert first[:share] != first[share:]  # another order


def test_each_held_out_image_is_read_by_one_of_them(folders: tuple[Path, Path]) -> None:
    first, second = (read(folders[1], rank, "val") for rank in (0, 1))
    shards = [0] * HELD_OUT[0] + [1] * HELD_OUT[1]
    every = [f"val-{shard}.tar/{number:05}.png" for number, shard in enumerate(shards)]
    assert sorted(first + second) == sorted(EPOCHS * every)
    assert not set(first) & set(second)


def test_they_have_the_steps_the_losses_and_the_weights_of_one_process(folders: tuple[Path, Path]) -> None:
    ours, theirs = (History(folder / "history.csv").read() for folder in folders)
    assert [epoch.steps for epoch in ours] == [epoch.steps for epoch in theirs] == [4, 8]
    for our, their in zip(ours, theirs, strict=True):
        assert our.train_loss == pytest.approx(their.train_loss, abs=1e-4)
        assert our.loss == pytest.approx(their.loss, abs=1e-3)
    first, second = (Checkpoint.load(folder / "checkpoints" / "epoch-002.pth").state for folder in folders)
    for key, value in first.items():
        assert torch.allclose(value.double(), second[key].double(), atol=1e-3), key


def test_one_of_them_writes(folders: tuple[Path, Path]) -> None:
    one, both = ([path.name for path in sorted(folder.rglob("*")) if path.suffix == ".pth"] for folder in folders)
    assert one == both == ["best.pth", "epoch-001.pth", "epoch-002.pth", "first.pth", "last.pth"]
    assert len((folders[1].parents[1] / "results.csv").read_text().splitlines()) == 2  # the header and one run
    assert [folder.name for folder in folders[1].parent.iterdir()] == ["run"]
