"""The commands as a person types them: what they print, and their exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rgp import bench_cli
from rgp.compile import cli

Write = Callable[..., Path]


def test_compile_then_bench(write_checkpoint: Write, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_checkpoint()
    assert cli.main([str(checkpoint), "--threads", "1", "--batch", "1,3", "--pairs", "20"]) == 0
    printed = capsys.readouterr().out
    bundle = checkpoint.with_name("net-bundle")  # beside the checkpoint
    assert str(bundle) in printed
    assert "equal to the original network" in printed
    assert bench_cli.main([str(bundle), "--threads", "1", "--batch", "2", "--pairs", "21", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [(row["batch"], row["pairs"]) for row in result["latency"]] == [(2, 21)]
    assert result["environment"]["threads"] == 1
    assert bench_cli.main([str(bundle), "--threads", "1", "--batch", "1", "--pairs", "20"]) == 0
    assert "speed-up" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "ord"], "unknown engine 'ord': did you mean 'ort'?"),
        (["--threads", "0"], "'0' is not a whole number from 1"),
        (["--batch", "1,x"], "'x' is not a whole number from 1"),
        (["--colour"], "unrecognized arguments"),
        (["--threads", "3000000000"], "at most 1024"),
        (["--batch", "1000000"], "give sizes from 1 to 1024"),
        (["--tune", "fast"], "unknown choice for --tune 'fast'"),
        (["--engine", "trt", "--device", "cpu"], "runs on cuda only"),
        (["--size", "3,3"], "--size is for .onnx files"),
        (["--precision", "int8"], "--images"),
        (["--min-agreement", "2"], "'2' is not a share from 0 to 1"),
    ],
)
def test_usage_errors_exit_with_2(
    write_checkpoint: Write, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        code = cli.main([str(write_checkpoint()), *arguments])
    except SystemExit as stopped:  # argparse's own way
        code = int(stopped.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_missing_checkpoint_exits_with_1_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(tmp_path / "none.pth")]) == 1
    *stages, error = capsys.readouterr().err.splitlines()
    assert stages == ["rgp-compile: reading the network"]  # a log gets a line for each stage
    assert error.startswith("rgp-compile: error: ")
    assert "none.pth: No such file" in error


def test_a_missing_bundle_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_cli.main([str(tmp_path / "none")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_a_folder_is_no_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["."]) == 2
    assert "name a checkpoint or an .onnx file" in capsys.readouterr().err


def test_a_layer_of_a_bundle_is_explained(write_checkpoint: Write, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_checkpoint()
    assert cli.main([str(checkpoint), "--threads", "1", "--batch", "1", "--pairs", "20", "--tune", "off"]) == 0
    bundle = str(checkpoint.with_name("net-bundle"))
    capsys.readouterr()
    assert cli.main([bundle, "--explain", "blocks.0.conv1"]) == 0
    assert "blocks.0.conv1" in capsys.readouterr().out
    assert cli.main([bundle, "--explain", "blocks.0.conv9"]) == 2
    assert "did you mean 'blocks.0.conv" in capsys.readouterr().err
