"""TensorRT-RTX really builds here, without a GPU: what it makes of our networks, and what it refuses."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from onnx import TensorProto, helper

from rgp.engines.tensorrt import cuda
from rgp.engines.tensorrt.build import Summary, build
from rgp.engines.tensorrt.library import Library, Log
from rgp.engines.tensorrt.settings import Settings
from rgp.errors import EngineError, UsageError
from tests.rgp.tensorrt.networks import data_of, half, lowered, quantised, resnet50, tiny

SMALL = Settings(batches=(4,))


def test_resnet50_builds_dense_and_compiled_in_fp32_and_fp16(rtx: Library) -> None:
    sizes, dense = {}, resnet50()
    for name, model in (("dense", dense), ("compiled", lowered(dense, groups=4))):
        for precision, network in (("fp32", model), ("fp16", half(model))):
            built = build(network, rtx, Settings(precision, (8,)))
            grouped = 52 if name == "compiled" else 0  # all but the first convolution, which reads 3 channels
            types = ("FLOAT",) if precision == "fp32" else ("HALF",)
            assert (built.summary.convolutions, built.summary.grouped) == (53, grouped)
            assert (built.summary.types, built.summary.quantised) == (types, False)
            assert built.engine.startswith(b"vtrt")
            assert built.timing_cache is None
            # the weights are most of an engine; a MiB or two is code
            assert -(1 << 18) < len(built.engine) - len(network) < 6 << 20
            sizes[name, precision] = len(built.engine)
    assert sizes["dense", "fp16"] < 0.6 * sizes["dense", "fp32"]
    assert sizes["compiled", "fp32"] < 0.35 * sizes["dense", "fp32"]


def test_the_network_is_read_as_it_is_written(rtx: Library) -> None:
    built = build(half(tiny()), rtx, Settings("fp16", (4,)))
    assert isinstance(built.summary, Summary)
    assert (built.summary.convolutions, built.summary.grouped, built.summary.types) == (1, 0, ("HALF",))


def test_int8_builds_from_symmetric_qdq(rtx: Library, tmp_path: Path) -> None:
    model = quantised(tiny(), tmp_path)
    assert build(model, rtx, Settings("int8", (4,))).summary.quantised
    with pytest.raises(EngineError, match="computes in fp32 and int8, not in fp32: the ONNX decides"):
        build(model, rtx, SMALL)


@pytest.mark.parametrize("asked", ["fp32", "bf16", "int8"])
def test_a_network_in_another_precision_is_refused(asked: str, rtx: Library) -> None:
    with pytest.raises(EngineError, match=f"computes in fp16, not in {asked}: the ONNX decides"):
        build(half(tiny()), rtx, Settings(asked, (4,)))


def test_each_batch_that_is_named_has_a_profile(rtx: Library) -> None:
    one = build(tiny(), rtx, Settings(batches=(8,)))
    three = build(tiny(), rtx, Settings(batches=(1, 8, 32)))
    assert len(three.engine) > len(one.engine)


def test_targets_can_be_named_and_unknown_ones_are_refused(rtx: Library) -> None:
    engines = {
        build(tiny(), rtx, Settings(batches=(4,), targets=targets)).engine[:64]
        for targets in ((), ("8.6",), ("8.9", "12.0"))
    }
    assert len(engines) == 3  # the header names them
    with pytest.raises(UsageError, match=r"unknown target of tensorrt_rtx [\d.]+ '8\.7'"):
        build(tiny(), rtx, Settings(targets=("8.7",)))


def test_what_a_target_cannot_do_is_said_with_the_librarys_reason(rtx: Library) -> None:
    with pytest.raises(EngineError, match=r"cannot build the network: .*\(SM75\): FP32 GEMM is not supported$"):
        build(tiny(), rtx, Settings(batches=(4,), targets=("7.5",)))


def test_a_workspace_limit_is_taken(rtx: Library) -> None:
    assert build(tiny(), rtx, Settings(batches=(4,), workspace=1 << 24)).engine


def one_node(op: str, domain: str = "", batch: int | str = "batch", side: int | str = 8) -> bytes:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 4, side, 8]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], name="the_node", domain=domain)], "g", ends[:1], ends[1:]
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("another", 1)]
    return data_of(helper.make_model(graph, opset_imports=opsets, ir_version=10))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"no model at all", "cannot read the network: .*Failed to parse the ONNX model"),
        (b"", "must take one input and give an output, not 0 and 0"),
        (one_node("Foo", "another"), r"node 'the_node' \(Foo\): .*Plugin not found"),
        (one_node("Unique"), r"node 'the_node' \(Unique\): unsupported node"),
        (one_node("Relu", batch=3), r"input 'x' has the shape \(3, 4, 8, 8\): only its batch may be, and must be"),
        (one_node("Relu", side="side"), r"input 'x' has the shape \(-1, 4, -1, 8\): only its batch may be"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_with_the_node_and_the_reason(
    model: bytes, message: str, rtx: Library
) -> None:
    with pytest.raises(EngineError, match=message):
        build(model, rtx, SMALL)
    assert build(tiny(), rtx, SMALL).engine  # and the next one builds


def test_progress_is_told(rtx: Library) -> None:
    told: list[str] = []
    build(tiny(), rtx, SMALL, progress=told.append)
    assert told[0] == "Building engine"
    assert any(line.startswith("Optimizing graph, ") for line in told)


def test_what_progress_raises_stops_the_build_and_is_raised(rtx: Library) -> None:
    def interrupted(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tiny(), rtx, SMALL, progress=interrupted)
    assert build(tiny(), rtx, SMALL).engine


def test_threads_that_build_at_once_do_not_mix_their_errors(rtx: Library) -> None:
    found: dict[int, str] = {}

    def work(number: int) -> None:
        try:
            found[number] = str(len(build(tiny() if number % 2 else one_node("Unique"), rtx, SMALL).engine) > 0)
        except EngineError as error:
            found[number] = str(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in (1, 3, 5)] == ["True"] * 3
    assert all("Unique" in found[number] for number in (0, 2, 4))


def test_tensorrt_without_a_gpu_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> cuda.Gpu:
        raise EngineError("no NVIDIA driver")

    monkeypatch.setattr(cuda, "gpu", none)
    library = Library("trt", SimpleNamespace(__version__="11.2"), None, Log())
    with pytest.raises(EngineError, match=r"--engine trt builds on the GPU .*trt-rtx needs none\): no NVIDIA driver"):
        build(tiny(), library, SMALL)


def test_the_form_of_a_compiled_network_is_what_it_says() -> None:
    """``lowered`` stands for the compiler's output, so it must be a valid network with groups and shuffles."""
    model = onnx.load_from_string(lowered(one_conv(), groups=4))
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Gather", "Conv"]


def one_conv() -> bytes:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [16, 8, 3, 3], [0.5] * 16 * 8 * 9)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4, group=1)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", c, 8, 8]) for n, c in (("x", 8), ("y", 16))]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weight])
    return data_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
