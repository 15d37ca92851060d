"""rgp-bench as a person types it: one bundle, several against each other, tables, JSON and a picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from rgp import bench, bench_cli
from rgp.bundle import Bundle
from rgp.engines.target import Target
from rgp.preprocess import Preprocess

MakeBundle = Callable[..., Path]
QUICK = ["--threads", "1", "--batch", "2", "--pairs", "9"]


def network(side: int, scale: float, *, floats: bool = False) -> bytes:
    """Logits of two classes: the mean of each of the first two channels, times ``scale``."""
    shape: list[str | int] = ["N", 3, side] if floats else ["N", side, side, 3]
    kind = TensorProto.FLOAT if floats else TensorProto.UINT8
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f", "axes"], ["m"], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["y"]),
    ]
    axes = np.array([2] if floats else [1, 2])
    weights = [numpy_helper.from_array(axes, "axes"), numpy_helper.from_array(np.full((3, 2), scale, np.float32), "w")]
    x, y = (
        helper.make_tensor_value_info("x", kind, shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
    )
    graph = helper.make_graph(nodes, "graph", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeBundle:
    """Write a bundle into the current folder; ``scale`` makes its dense network another."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, side: int = 8, scale: float = 1.0, precision: str = "fp32", *, floats: bool = False) -> Path:
        report = {"latency": [{"batch": 1}, {"batch": 3}]}
        files = {
            "dense.onnx": network(side, scale, floats=floats),
            "compiled.onnx": network(side, 2.0, floats=floats),
            "report.json": json.dumps(report).encode(),
        }
        preprocess = None if floats else Preprocess(3, side, side, (0.5,) * 3, (0.5,) * 3)
        labels = () if floats else ("a", "b")
        Bundle.write(
            Path(name),
            name=f"net {name}",
            architecture="net",
            labels=labels,
            preprocess=preprocess,
            target=Target(precision=precision),
            files=files,
        )
        return Path(name)

    return write


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert bench_cli.main([*arguments]) == 0
    printed = capsys.readouterr()
    assert not printed.err.strip()
    return printed.out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert bench_cli.main([*arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    return err


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(capsys, *arguments, "--json"))["rows"]
    return found


def test_one_bundle_is_measured_dense_against_compiled(make: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    make("a")
    result = json.loads(run(capsys, "a", *QUICK, "--json"))
    (row,) = result["latency"]
    assert (row["threads"], row["batch"], row["pairs"]) == (1, 2, 9)
    assert row["speedup_ci95"][0] <= row["speedup"] <= row["speedup_ci95"][1]
    assert result["environment"]["threads"] == 1
    assert result["name"] == "net a"
    printed = run(capsys, "a", *QUICK)
    assert "net a, ort on cpu, fp32" in printed
    assert "speed-up" in printed


def test_batches_come_from_the_first_report_unless_given(make: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    make("a")
    result = json.loads(run(capsys, "a", "--threads", "1", "--pairs", "3", "--json"))
    assert [row["batch"] for row in result["latency"]] == [1, 3]


def test_each_number_of_threads_has_a_table_and_the_machine_is_named_once(
    make: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    make("a")
    printed = run(capsys, "a", "--threads", "1,2,1", "--batch", "1", "--pairs", "3")
    assert printed.count("speed-up") == 2
    assert ("threads: 1" in printed, "threads: 2" in printed) == (True, True)
    assert printed.count("on cpu\n") == 1
    result = json.loads(run(capsys, "a", "--threads", "1,2", "--batch", "1", "--pairs", "3", "--json"))
    assert [row["threads"] for row in result["latency"]] == [1, 2]
    assert "threads" not in result["environment"]  # it would be one of them only


def test_several_bundles_meet_the_dense_network_of_the_first_in_the_same_rounds(
    make: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        make(name)
    make("c", scale=3.0)
    found = rows(capsys, "a", "b", "c", *QUICK)
    assert [(row["bundle"], row["network"]) for row in found] == [
        *(("a", "dense"), ("a", "compiled")),
        ("b", "compiled"),  # its dense network is that of a
        *(("c", "dense"), ("c", "compiled")),
    ]
    assert (found[0]["speedup"], found[0]["speedup_ci95"]) == (1.0, [1.0, 1.0])
    for row in found:
        assert (row["threads"], row["batch"], row["n"], row["builds"]) == (1, 2, 9, 8)
        assert row["ms_p50"] <= row["ms_p90"]
        assert row["images_per_second"] == pytest.approx(2000 / row["ms_p50"])
        low, high = row["speedup_ci95"]
        assert low <= row["speedup"] <= high


def test_every_setting_is_a_table_of_its_own(make: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    make("a")
    make("b", scale=2.5)
    printed = run(capsys, "a", "b", "--threads", "1,2", "--batch", "1,2", "--pairs", "3")
    for setting in ("batch 1, 1 thread", "batch 2, 1 thread", "batch 1, 2 threads", "batch 2, 2 threads"):
        assert f"\n{setting}\n" in printed
    assert printed.count("A compiled") == printed.count("B compiled") == 4
    assert "A  a: net a, ort on cpu, fp32" in printed
    assert printed.count("on cpu\n") == 1
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_bundles_of_different_precision_can_be_compared(make: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    make("a")
    make("b", precision="int8")
    found = rows(capsys, "a", "b", *QUICK)
    assert [row["precision"] for row in found] == ["fp32", "fp32", "int8", "int8"]
    assert "B  b: net b, ort on cpu, int8" in run(capsys, "a", "b", *QUICK)


def test_a_bundle_beside_itself_is_measured_twice(make: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    make("a")
    assert [row["network"] for row in rows(capsys, "a", "a", *QUICK)] == ["dense", "compiled", "compiled"]


def test_networks_that_take_no_images_get_numbers(make: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    make("a", floats=True)
    assert json.loads(run(capsys, "a", *QUICK, "--json"))["latency"][0]["pairs"] == 9
    inputs = bench.sample(Bundle.open(Path("a")), 2)
    assert inputs.shape == (2, 3, 8)
    assert inputs.dtype == np.float32


def test_different_inputs_are_refused_with_both_named(make: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    make("a")
    make("b", side=12)
    make("c", floats=True)
    assert "a takes 8 x 8 x 3 uint8, b 12 x 12 x 3 uint8" in refused(capsys, "a", "b", *QUICK)
    assert "a takes 8 x 8 x 3 uint8, c 3 x 8 float32" in refused(capsys, "a", "c", *QUICK)


def test_the_picture_names_every_network_and_setting(make: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    make("a$b$")
    make("c", scale=2.5)
    run(capsys, "a$b$", "c", "--threads", "1", "--batch", "1,2", "--pairs", "3", "--plot", "p.svg")
    svg = Path("p.svg").read_text()
    ElementTree.fromstring(svg)
    for text in ("a$b$", "A compiled, fp32", "B dense, fp32", "ms a run, batch 2, 1 thread", "speed-up over A dense"):
        assert text in svg
    run(capsys, "a$b$", *QUICK, "--plot", "p.png")
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "p.jpg"], "'p.jpg' must end in .svg or .png"),
        (["--plot", "none/p.svg"], "'none/p.svg' cannot be written"),
        (["--batch", "0"], "'0' is not a whole number from 1"),
        (["--threads", "1,x"], "'x' is not a whole number from 1"),
        (["--pairs", "-1"], "'-1' is not a whole number from 1"),
        (["--colour"], "unrecognized arguments: --colour (see rgp-bench --help)"),
    ],
)
def test_usage_errors_are_one_line_before_anything_is_measured(
    make: MakeBundle, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    make("a")
    assert message in refused(capsys, "a", *arguments)


def test_a_picture_without_matplotlib_names_what_brings_it(
    make: MakeBundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make("a")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'rgp[graph]'" in refused(capsys, "a", "--plot", "p.svg")


def test_a_missing_bundle_exits_with_1(make: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    make("a")
    assert bench_cli.main(["a", "none"]) == 1
    assert "none: no such folder" in capsys.readouterr().err
