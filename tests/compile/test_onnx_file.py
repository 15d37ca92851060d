"""Reading an ONNX file: every form of a good one, and every bad one refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rgp.compile import onnx_file
from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from rgp.errors import CompileError, RgpError, UsageError
from tests.compile.handmade import assert_same, block_sparse, images, proto, run, save, small_net

CONV = helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])
W = {"w": np.ones((4, 3, 3, 3), np.float32)}


def after_conv(
    op: str, inputs: Sequence[str] = ("c",), outputs: Sequence[str] = ("y",), **fields: Any
) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), **fields)


def conv_then(*nodes: onnx.NodeProto, **options: Any) -> onnx.ModelProto:
    return proto([CONV, *nodes], {**W, "s": np.ones(4, np.float32)}, output=(None,) * 4, **options)


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 20, 21])
def test_a_file_of_any_opset_is_read_and_means_the_same(tmp_path: Path, opset: int) -> None:
    written = small_net(opset=opset)
    model = read_onnx(save(written, tmp_path / "net.onnx"))
    assert model.opset_imports[""] == max(opset, 20)
    assert [str(dim) for dim in model.graph.inputs[0].shape or ()] == ["batch", "3", "8", "8"]
    assert next(iter(model.graph.initializers)) == "stem.weight"
    x = images((2, 3, 8, 8))
    assert_same(run(written, x), run(model, x))


def test_the_long_name_of_onnx_s_own_domain_is_the_short_one(tmp_path: Path) -> None:
    written = small_net(opset=13)
    for each in (*written.opset_import, *written.graph.node):
        each.domain = "ai.onnx"
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert dict(model.opset_imports) == {"": 20}
    assert_same(run(small_net(), images((2, 3, 8, 8))), run(model, images((2, 3, 8, 8))))


def test_initialisers_that_are_inputs_too_are_no_inputs(tmp_path: Path) -> None:
    written = small_net(opset=9)
    written.ir_version = 3  # which asks for it
    for tensor in written.graph.initializer:
        written.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    assert [value.name for value in read_onnx(save(written, tmp_path / "net.onnx")).graph.inputs] == ["x"]


def test_functions_of_the_model_are_written_out(tmp_path: Path) -> None:
    body = [helper.make_node("Relu", ["a"], ["r"]), helper.make_node("Neg", ["r"], ["b"])]
    function = helper.make_function("mine", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    written = conv_then(after_conv("Twice", domain="mine"), opset=17, domains=["mine"], functions=[function])
    model = read_onnx(save(written, tmp_path / "net.onnx"))
    assert {node.op_type for node in model.graph} == {"Conv", "Relu", "Neg"}
    assert_same(run(written, images((2, 3, 8, 8))), run(model, images((2, 3, 8, 8))))


def test_a_few_functions_that_become_a_million_nodes_are_refused(tmp_path: Path) -> None:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    functions = [helper.make_function("mine", "F0", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], imports)]
    for depth in range(1, 24):
        body = [
            helper.make_node(f"F{depth - 1}", [name], [result], domain="mine")
            for name, result in (("a", "m"), ("m", "b"))
        ]
        functions.append(helper.make_function("mine", f"F{depth}", ["a"], ["b"], body, imports))
    bomb = conv_then(after_conv("F23", domain="mine"), opset=17, domains=["mine"], functions=functions)
    with pytest.raises(CompileError, match="8388609 nodes once its functions are written out"):
        read_onnx(save(bomb, tmp_path / "net.onnx"))


def test_an_operator_of_onnxruntime_is_read_with_its_shape(tmp_path: Path) -> None:
    gelu, conv = after_conv("Gelu", ["c"], ["d"], domain="com.microsoft"), after_conv("Conv", ["d", "v"], ["y"])
    written = proto([CONV, gelu, conv], {**W, "v": block_sparse(4, 2)}, output=(None,) * 4, domains=["com.microsoft"])
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert [[str(dim) for dim in node.outputs[0].shape or ()] for node in model.graph] == [
        ["batch", "4", "8", "8"],
        ["batch", "4", "8", "8"],
        ["batch", "4", "6", "6"],
    ]


@pytest.mark.parametrize(
    ("shape", "size", "read"),
    [
        (("N", 3, "H", "W"), (8, 6), (3, 8, 6)),
        (("N", 3, None, 6), (8, 6), (3, 8, 6)),
        ((None, 3, 8, 6), None, (3, 8, 6)),
        (("N", 3, 8, 6), (8, 6), (3, 8, 6)),
    ],
)
def test_free_height_and_width_are_the_size_given(
    tmp_path: Path, shape: tuple[int | str | None, ...], size: tuple[int, int] | None, read: tuple[int, ...]
) -> None:
    model = read_onnx(save(small_net(shape), tmp_path / "net.onnx"), size)
    assert tuple(model.graph.inputs[0].shape or ())[1:] == read
    body = next(node for node in model.graph if "body" in str(node.inputs[1].name if len(node.inputs) > 1 else ""))  # type: ignore[union-attr]
    assert tuple(body.outputs[0].shape or ())[1:] == (8, 4, 3)


@pytest.mark.parametrize(
    ("shape", "size", "why"),
    [
        (("N", 3, "H", 8), None, r"free height, \[N,3,H,8\]: give the image size with --size"),
        (("N", 3, 8, None), None, "free width"),
        (("N", 3, 8, 8), (9, 8), "has height 8, not 9: leave --size out"),
    ],
)
def test_a_size_that_is_missing_or_wrong_is_an_error_of_usage(
    tmp_path: Path, shape: tuple[int | str | None, ...], size: tuple[int, int] | None, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        read_onnx(save(small_net(shape), tmp_path / "net.onnx"), size)


def test_a_size_at_which_the_network_does_not_run_is_refused(tmp_path: Path) -> None:
    nodes = [CONV, after_conv("Flatten", outputs=["f"]), after_conv("MatMul", ["f", "m"])]
    path = save(
        proto(nodes, {**W, "m": np.ones((256, 5), np.float32)}, shape=("N", 3, "H", "W")), tmp_path / "net.onnx"
    )
    assert read_onnx(path, (8, 8)).graph.outputs[0].shape == ir.Shape(["batch", 5])
    with pytest.raises(CompileError, match=r"images of shape \[batch,3,8,9\] do not pass through it"):
        read_onnx(path, (8, 9))


def two_inputs() -> onnx.ModelProto:
    model = small_net()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    return model


def no_output() -> onnx.ModelProto:
    model = small_net()
    del model.graph.output[:]
    return model


def sparse() -> onnx.ModelProto:
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    model = proto([after_conv("Conv", ["x", "w"])], {}, output=(None,) * 4)
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [5])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4, 3, 3, 3]))
    return model


def half() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["h", "w"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    return proto(nodes, {"w": W["w"].astype(np.float16)}, output=(None,) * 4)


def wrong_shapes() -> onnx.ModelProto:
    model = small_net()
    (head,) = (tensor for tensor in model.graph.initializer if tensor.name == "head.weight")
    head.CopyFrom(numpy_helper.from_array(np.ones((5, 7), np.float32), "head.weight"))
    return model


STATISTICS = ["c", "s", "s", "s", "s"]
REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "custom op": (lambda: conv_then(after_conv("Foo", domain="com.acme"), domains=["com.acme"]), "com.acme::Foo"),
    "unknown op of a known domain": (
        lambda: conv_then(after_conv("Fooo", domain="com.microsoft"), domains=["com.microsoft"]),
        "com.microsoft:Fooo",
    ),
    "unknown op": (lambda: conv_then(after_conv("Fooo")), "No Op registered for Fooo"),
    "future opset": (
        lambda: small_net(opset=99),
        "its opset 99 is newer than ONNX Runtime knows .*: export with opset 20",
    ),
    "opset that cannot be lifted": (
        lambda: conv_then(after_conv("Upsample", ["c"], mode="bilinear", height_scale=2.0, width_scale=2.0), opset=1),
        "Upsample|opset 1 cannot be lifted",
    ),
    "training": (
        lambda: conv_then(after_conv("BatchNormalization", STATISTICS, ["y", "m", "v"], training_mode=1)),
        "'y' is in training: export in evaluation mode",
    ),
    "training of old": (
        lambda: conv_then(after_conv("BatchNormalization", STATISTICS, ["y", "m", "v", "sm", "sv"]), opset=9),
        "'y' is in training",
    ),
    "quantised": (
        lambda: proto(
            [CONV, after_conv("QuantizeLinear", ["c", "k"], ["q"]), after_conv("DequantizeLinear", ["q", "k"])],
            {**W, "k": np.array(0.1, np.float32)},
            output=(None,) * 4,
        ),
        r"already quantised \(QuantizeLinear\): give the float32 model",
    ),
    "no layer": (lambda: proto([after_conv("Relu", ["x"])], {}, output=(None,) * 4), "no convolution and no linear"),
    "no output": (no_output, "one without nodes or outputs"),
    "two inputs": (two_inputs, r"2 inputs \('x', 'mask'\)"),
    "input of floats of 16 bits": (
        lambda: proto(
            [after_conv("Cast", ["x"], ["f"], to=1), after_conv("Conv", ["f", "w"])],
            W,
            dtype=TensorProto.FLOAT16,
            output=(None,) * 4,
        ),
        "input 'x' is float16: give the float32 model",
    ),
    "layers of floats of 16 bits": (half, "Conv 'c' computes in FLOAT16: give the float32 model"),
    "input of integers": (
        lambda: proto(
            [after_conv("Cast", ["x"], ["f"], to=1), after_conv("Conv", ["f", "w"])],
            W,
            dtype=TensorProto.INT64,
            output=(None,) * 4,
        ),
        "input 'x' is INT64 of shape",
    ),
    "input of rank 2": (
        lambda: proto([after_conv("MatMul", ["x", "m"])], {"m": np.ones((3, 5), np.float32)}, shape=("N", 3)),
        r"input 'x' is FLOAT of shape \[N,3\]: give a model that takes \(batch, C, H, W\) float32",
    ),
    "free channels": (lambda: small_net(("N", "C", 8, 8)), "free number of channels"),
    "shapes that do not fit": (wrong_shapes, r"refuses the model: .*Dimension mismatch"),
    "sparse": (sparse, "initializer 'w' is stored sparse: store it dense"),
    "not in order": (lambda: proto([after_conv("Relu"), CONV], W, output=(None,) * 4), "not a valid ONNX model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compiled_is_refused_in_one_line_with_the_file_and_the_reason(tmp_path: Path, case: str) -> None:
    make, why = REFUSED[case]
    path = save(make(), tmp_path / "net.onnx")
    with pytest.raises(CompileError, match=why) as caught:
        read_onnx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes"),
        (b"not a protobuf at all", "not an ONNX model"),
        (bytes(1000), "not an ONNX model"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not an ONNX model"),
        (small_net().SerializeToString()[:-100], "not an ONNX model, or cut short"),
    ],
)
def test_bytes_that_are_no_model_are_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(CompileError, match=why):
        read_onnx(path)


def test_a_folder_a_missing_file_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=r"a folder: name the .onnx file in it"):
        read_onnx(tmp_path)
    with pytest.raises(CompileError, match="no such file"):
        read_onnx(tmp_path / "absent.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(CompileError, match="no such file"):
        read_onnx(tmp_path / "pipe.onnx")


def test_a_file_beyond_two_gibibytes_is_refused_unread(tmp_path: Path) -> None:
    with (path := tmp_path / "net.onnx").open("wb") as file:
        file.truncate(1 << 31)  # a hole: it takes no disk
    with pytest.raises(CompileError, match="2147483648 bytes: an ONNX file has 1 byte to 2 GiB"):
        read_onnx(path)


@settings(max_examples=60)
@given(st.data())
def test_no_damage_to_a_file_raises_anything_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(small_net(opset=data.draw(st.sampled_from([13, 20]))).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(content) - 1))
        content[where] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content)
    try:
        prepare(read_onnx(path))
    except RgpError as error:
        assert "\n" not in str(error)  # noqa: PT017 most damage is refused, some is harmless


def test_reading_and_preparing_need_no_torch(tmp_path: Path) -> None:
    path = save(small_net(opset=13), tmp_path / "net.onnx")
    code = f"""
import sys
from pathlib import Path
from typing import Any
sys.modules["torch"] = None  # importing it would raise
from rgp.compile.image_input import with_image_input
from rgp.compile.macs import network_macs
from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from rgp.compile.reference import Reference
from rgp.preprocess import Preprocess
preprocess = Preprocess(3, 8, 8, (0.5,) * 3, (0.5,) * 3)
model = prepare(with_image_input(read_onnx(Path({str(path)!r})), preprocess))
print(network_macs(model).macs, Reference(Path({str(path)!r}), preprocess) is not None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path.cwd(), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{16 * 8 * 3 * 9 + 16 * 8 * 2 * 9 + 40} True\n"


def test_the_limit_on_nodes_is_what_the_message_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MAX_NODES", 7)
    with pytest.raises(CompileError, match="8 nodes once its functions are written out: at most 7"):
        read_onnx(save(small_net(), tmp_path / "net.onnx"))
