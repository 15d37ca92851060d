"""`rgp-train` as a command: exit codes and one-line errors."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from rgp.checkpoint import Checkpoint
from rgp.train.cli import main

QUICK = ["--data", "bars:here", "--width", "4", "--epochs", "1", "--batch_size", "25", "--device", "cpu"]


def test_it_trains_and_then_evaluates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--runs", str(tmp_path)]) == 0
    assert "epoch 1/1: loss" in capsys.readouterr().out
    best = tmp_path / "default" / "run" / "checkpoints" / "best.pth"
    assert main([*QUICK, "--evaluate", str(best)]) == 0
    top1 = Checkpoint.load(best).metrics["top1"]
    assert capsys.readouterr().out == f"{best}: top-1 {top1:.2f}% on the held-out images of bars:here\n"
    assert main([*QUICK, "--pretrained", str(best), "--evaluate"]) == 0
    assert capsys.readouterr().out == f"{best}: top-1 {top1:.2f}% on the held-out images of bars:here\n"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["default"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--epohcs", "3"], 2, "unknown option '--epohcs': did you mean '--epochs'?"),
        (["--data", "digit"], 2, "unknown data set 'digit'"),
        (["--architecture", "resnet51"], 2, "unknown architecture 'resnet51'"),
        (["--data", "imagefolder:absent"], 1, "absent/train: no such folder"),
        (["--evaluate", "absent.pth"], 1, "absent.pth"),
        (["--evaluate"], 2, "evaluate names no checkpoint and pretrained is not set"),
        (["--graph", "absent.npy"], 1, "absent.npy"),
        ([*QUICK, "--lr", "1e30"], 1, "the loss is nan"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    argv: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--runs", str(tmp_path)]) == code
    error = capsys.readouterr().err
    assert error.startswith("rgp-train: error: ")
    assert said in error
    assert error.count("\n") == 1


def test_it_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["rgp-train", "--epochs", "0"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("rgp.train", run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "rgp-train: error: epochs is 0: give a number in [1, inf)\n"


def test_a_wrong_command_line_is_answered_without_waiting_for_torch() -> None:
    code = "import sys; from rgp.train.cli import main; main(['--epochs', '0']); print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
