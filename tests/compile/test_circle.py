"""The drawing of the graph: one dot a node, one line a pair that sees each other, nothing where there is no graph."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from rgp.compile.circle import MOST_NODES, circle_svg
from rgp.compile.convs import Conv, find

SVG = "{http://www.w3.org/2000/svg}"


def conv(reads: NDArray[np.bool_], image: int = 4) -> Conv:
    """A 1x1 convolution whose output o reads the inputs of row o, over a square image."""
    weight = reads[:, :, None, None].astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, reads.shape[1], image, image])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (found,) = find(ir.from_proto(shape_inference.infer_shapes(onnx.load_from_string(model.SerializeToString()))))
    return found


def ring(nodes: int) -> NDArray[np.bool_]:
    eye = np.eye(nodes, dtype=bool)
    return eye | np.roll(eye, 1, axis=0) | np.roll(eye, -1, axis=0)


@pytest.mark.parametrize("nodes", [5, 8, MOST_NODES])
def test_a_ring_has_a_dot_for_each_node_and_a_line_for_each_pair_that_reads(nodes: int) -> None:
    drawing = circle_svg([conv(ring(nodes))])
    assert drawing is not None
    root = ElementTree.fromstring(drawing)
    assert len(root.findall(f"{SVG}circle")) == nodes
    others, first = root.findall(f"{SVG}path")
    assert first.get("d", "").count("M") == 2  # node 0 reads its two neighbours
    assert others.get("d", "").count("M") == 2 * nodes - 4  # what touches node 0 is the other path's
    assert "node 0 reads 3 of them" in (root.findtext(f"{SVG}title") or "")


@pytest.mark.parametrize(
    "reads", [np.ones((8, 8), bool), ring(MOST_NODES + 1), np.eye(4, 6, dtype=bool), np.eye(8, dtype=bool)]
)
def test_what_is_dense_too_large_not_square_or_blocks_is_not_drawn(reads: NDArray[np.bool_]) -> None:
    assert circle_svg([conv(reads)]) is None


def test_the_largest_convolution_is_drawn() -> None:
    drawing = circle_svg([conv(ring(9), image=2), conv(ring(5), image=8), conv(np.ones((9, 9), bool), image=32)])
    assert drawing is not None
    assert drawing.count(b"<circle") == 5
