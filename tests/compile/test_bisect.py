"""A fault is traced to its layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import onnx_ir as ir
import pytest
import torch

from rgp.compile import bisect
from rgp.compile.bisect import Difference, Trace, first_difference
from rgp.compile.convs import Conv, find
from rgp.compile.export import export
from rgp.compile.nodes import initializer, take_channels
from rgp.compile.onnx_bytes import serialize
from rgp.compile.rewrite import register_constants
from rgp.models.registry import build
from tests.compile.conftest import GREY, randomised

Fault = Callable[[ir.Model, dict[str, Conv]], None]
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 1), np.uint8)


@cache
def exported() -> ir.Model:
    torch.manual_seed(0)
    return export(randomised(build("small_resnet", num_classes=5, in_channels=1, width=8)), GREY)


def compiled(fault: Fault = lambda model, convs: None) -> tuple[bytes, bytes, list[Trace]]:
    """The network, and one whose convolutions write their channels in random orders, shuffled back behind them."""
    model = exported().clone()
    dense = serialize(model)
    rng = np.random.default_rng(1)
    traces = []
    convs = {conv.name: conv for conv in find(model)}
    for conv in convs.values():
        order = rng.permutation(len(conv.weight))
        for index, array in ((1, conv.weight), (2, conv.bias)):
            assert array is not None
            conv.node.replace_input_with(index, initializer(f"{conv.name}.{index}", array[order]))
        back = take_channels(conv.y, np.argsort(order).tolist(), f"{conv.name}.back")
        conv.y.replace_all_uses_with(back.outputs[0])
        back.replace_input_with(0, conv.y)
        model.graph.insert_after(conv.node, back)
        name, conv.y.name = str(conv.y.name), f"{conv.name}.permuted"
        traces.append(Trace(conv.name, name, conv.y.name, tuple(order.tolist())))
    fault(model, convs)
    register_constants(model.graph)
    return dense, serialize(model), traces


def changed_weight(layer: str) -> Fault:
    def fault(model: ir.Model, convs: dict[str, Conv]) -> None:
        value = convs[layer].node.inputs[1]
        assert value is not None
        assert value.const_value is not None
        weight = value.const_value.numpy().copy()
        weight[3, :, -1, -1] += 0.05  # all inputs: one alone may be dead behind its ReLU
        convs[layer].node.replace_input_with(1, initializer(f"{layer}.wrong", weight))

    return fault


def shuffled_wrongly(layer: str) -> Fault:
    """Two channels change places behind a layer: those that read it go wrong, not the layer itself."""

    def fault(model: ir.Model, convs: dict[str, Conv]) -> None:
        (back,) = (node for node in model.graph if node.name == f"{layer}.back")
        value = back.inputs[1]
        assert value is not None
        assert value.const_value is not None
        positions = value.const_value.numpy().copy()
        positions[[0, 1]] = positions[[1, 0]]
        back.replace_input_with(1, initializer(f"{layer}.wrong", positions))

    return fault


LAYERS = [conv.name for conv in find(exported())]


def test_an_equal_network_has_no_difference_however_its_channels_lie() -> None:
    assert len(LAYERS) == 9
    assert first_difference(*compiled(), IMAGES, 1e-4) is None


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_with_one_wrong_channel_is_named(layer: str) -> None:
    found = first_difference(*compiled(changed_weight(layer)), IMAGES, 1e-4)
    assert found is not None
    assert found.layer == layer
    assert 1e-4 * found.magnitude < found.largest < found.magnitude
    assert str(found).startswith(f"'{layer}' is the first layer that differs, by up to ")


@pytest.mark.parametrize("chunk", [1, 4, 5, 9])
def test_it_is_named_wherever_the_layers_are_cut_into_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bisect, "CHUNK", chunk)
    found = first_difference(*compiled(changed_weight(LAYERS[4])), IMAGES, 1e-4)
    assert found is not None
    assert found.layer == LAYERS[4]


def test_a_wrong_shuffle_shows_in_the_layer_that_reads_it() -> None:
    for at, reader in (("stem.0", "blocks.0.conv1"), ("blocks.1.conv1", "blocks.1.conv2")):
        found = first_difference(*compiled(shuffled_wrongly(at)), IMAGES, 1e-4)
        assert found is not None
        assert found.layer == reader


def test_two_channels_swapped_in_one_layer_are_found_there() -> None:
    dense, lowered, traces = compiled()
    at = traces[4]
    swapped = Trace(at.layer, at.dense_value, at.compiled_value, (at.order[1], at.order[0], *at.order[2:]))
    found = first_difference(dense, lowered, [*traces[:4], swapped, *traces[5:]], IMAGES, 1e-4)
    assert found is not None
    assert found.layer == at.layer


def test_of_two_faults_the_first_is_named() -> None:
    def both(model: ir.Model, convs: dict[str, Conv]) -> None:
        changed_weight(LAYERS[6])(model, convs)
        changed_weight(LAYERS[2])(model, convs)

    found = first_difference(*compiled(both), IMAGES, 1e-4)
    assert found is not None
    assert found.layer == LAYERS[2]


def test_a_fault_behind_every_layer_is_said_to_be_there() -> None:
    def wrong_classifier(model: ir.Model, convs: dict[str, Conv]) -> None:
        (gemm,) = (node for node in model.graph if node.op_type == "Gemm")
        gemm.replace_input_with(2, initializer("wrong", np.full(5, 9, np.float32)))

    found = first_difference(*compiled(wrong_classifier), IMAGES, 1e-4)
    assert found is not None
    assert found.layer is None
    assert "the fault lies after the last one" in str(found)


def test_nan_and_another_shape_are_differences() -> None:
    def nan(model: ir.Model, convs: dict[str, Conv]) -> None:
        weight = np.full_like(convs[LAYERS[5]].weight, np.nan)
        convs[LAYERS[5]].node.replace_input_with(1, initializer("nan", weight))

    found = first_difference(*compiled(nan), IMAGES, 1e-4)
    assert found is not None
    assert found.layer == LAYERS[5]
    assert np.isnan(found.largest)

    dense, lowered, traces = compiled()
    fewer = Trace(LAYERS[0], traces[0].dense_value, traces[0].compiled_value, traces[0].order[1:])
    found = first_difference(dense, lowered, [fewer], IMAGES, 1e-4)
    assert found is not None
    assert found.largest == np.inf


def test_the_tolerance_is_a_share_of_the_layers_largest_value() -> None:
    files = compiled(changed_weight(LAYERS[0]))
    found = first_difference(*files, IMAGES, 1e-4)
    assert found is not None
    share = found.largest / found.magnitude
    assert isinstance(first_difference(*files, IMAGES, share * 0.99), Difference)
    after = first_difference(*files, IMAGES, share * 1.01)
    assert after is None or after.layer != LAYERS[0]
