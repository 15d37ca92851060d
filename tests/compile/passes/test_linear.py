"""A matrix product with a constant matrix is a Gemm, with the bias that is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from tests.compile.handmade import assert_same, images, operators, proto, run, save

RNG = np.random.default_rng(0)
W = RNG.standard_normal((8, 5)).astype(np.float32)
POOLED = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("bias", "is_bias"),
    [((5,), True), ((1,), True), ((), True), ((1, 5), True), ((5, 1), False), ((5, 5), False), ((1, 1, 5), False)],
)
def test_an_add_after_it_is_its_bias_if_it_adds_the_same_to_each_row(
    tmp_path: Path, bias: tuple[int, ...], is_bias: bool, swapped: bool
) -> None:
    add = ["b", "m"] if swapped else ["m", "b"]
    nodes = [*POOLED, helper.make_node("MatMul", ["f", "w"], ["m"]), helper.make_node("Add", add, ["y"])]
    constants = {"w": W, "b": np.asarray(RNG.standard_normal(bias), np.float32)}
    written = proto(nodes, constants, shape=("N", 8, 4, 4), output=(None,) * max(2, len(bias)))
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert operators(model)[2:] == (["Gemm"] if is_bias else ["Gemm", "Add"])
    assert_same(run(written, images((5, 8, 4, 4))), run(model, images((5, 8, 4, 4))))


def test_a_product_that_something_else_reads_too_gets_no_bias(tmp_path: Path) -> None:
    nodes = [
        *POOLED,
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Mul", ["m", "a"], ["y"]),
    ]
    written = proto(nodes, {"w": W, "b": np.ones(5, np.float32)}, shape=("N", 8, 4, 4))
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert operators(model)[2:] == ["Gemm", "Add", "Mul"]
    assert_same(run(written, images((3, 8, 4, 4))), run(model, images((3, 8, 4, 4))))


def test_a_product_of_more_than_two_axes_or_of_two_computed_matrices_stays(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["a"]),
        helper.make_node("Transpose", ["a"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["a", "t"], ["y"]),
    ]
    written = proto(nodes, {"v": W[:4]}, shape=("N", 8, 4, 4), output=(None,) * 4)
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert operators(model) == ["MatMul", "Transpose", "MatMul"]
    assert_same(run(written, images((3, 8, 4, 4))), run(model, images((3, 8, 4, 4))))
