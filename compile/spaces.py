"""Which tensors must keep their channels in one order: the channel spaces of a network.

A space is a set of tensors whose channels can only be permuted together: an elementwise operator ties its
output to its input, a residual addition ties its two inputs. A convolution starts a new space, since its
weight absorbs a permutation on both sides. The network's inputs and outputs, and what an operator unknown
here touches, are *fixed*: their order is what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx_ir as ir

from rgp.compile.convs import constant, find

# Output channel c depends on input channel c alone, whatever c is.
_CHANNELWISE = frozenset(
    {
        *(
            "Relu",
            "Clip",
            "Sigmoid",
            "HardSigmoid",
            "HardSwish",
            "Tanh",
            "LeakyRelu",
            "Elu",
            "Gelu",
            "Mish",
            "Softplus",
        ),
        *("Identity", "Dropout", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"),
    }
)
_BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min"})


@dataclass
class Spaces:
    """Spaces by number. ``channels``: how many each has."""

    channels: list[int] = field(default_factory=list)
    _fixed: set[int] = field(default_factory=set)
    _parent: list[int] = field(default_factory=list)
    _of_value: dict[ir.Value, int] = field(default_factory=dict)

    def of(self, value: ir.Value) -> int:
        """The space of a tensor."""
        return self._root(self._of_value[value])

    def all(self) -> set[int]:
        """Every space."""
        return {self._root(space) for space in self._of_value.values()}

    def fixed_ones(self) -> set[int]:
        """The spaces whose order must not change."""
        return {self._root(space) for space in self._fixed}

    def _root(self, space: int) -> int:
        while self._parent[space] != space:
            space = self._parent[space]
        return space

    def _new(self, value: ir.Value, channels: int, *, fixed: bool) -> None:
        space = len(self.channels)
        self.channels.append(channels)
        self._parent.append(space)
        self._of_value[value] = space
        if fixed:
            self._fixed.add(space)

    def _share(self, value: ir.Value, other: ir.Value) -> None:
        self._of_value[value] = self._of_value[other]

    def _unite(self, a: ir.Value, b: ir.Value) -> None:
        self._parent[self.of(a)] = self.of(b)

    def _fix(self, value: ir.Value) -> None:
        self._fixed.add(self.of(value))


def find_spaces(model: ir.Model) -> Spaces:
    """Walk the network once, in running order."""
    spaces = Spaces()
    convs = {conv.node: conv for conv in find(model)}
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        spaces._new(value, _channels(value), fixed=True)
    for node in model.graph:
        inputs = [value for value in node.inputs if value is not None]
        computed = [value for value in inputs if constant(value) is None]
        output = node.outputs[0]
        conv = convs.get(node)
        if conv is not None and conv.depthwise:
            spaces._share(output, conv.x)
        elif conv is not None and conv.groups == 1:
            spaces._new(output, conv.channels[1], fixed=False)
        elif _channelwise(node, inputs, computed):
            for other in computed[1:]:
                spaces._unite(other, computed[0])
            spaces._share(output, computed[0])
        else:
            for value in computed:
                if not (is_linear(node) and value is node.inputs[0]):  # a Gemm's weight follows its input's order
                    spaces._fix(value)
            for value in node.outputs:
                spaces._new(value, _channels(value), fixed=True)
    for value in model.graph.outputs:
        spaces._fix(value)
    for value in _captured(model.graph):
        spaces._fix(value)
    return spaces


def _captured(graph: ir.Graph) -> Iterator[ir.Value]:
    """Tensors of ``graph`` that the body of an If or Loop reads without naming them among its node's inputs."""
    for node in graph.all_nodes():
        if node.graph is not graph:
            yield from (value for value in node.inputs if value is not None and value.graph is graph)


def _channelwise(node: ir.Node, inputs: list[ir.Value], computed: list[ir.Value]) -> bool:
    if node.domain or not computed or len(node.outputs) != 1:
        return False
    if node.op_type in _CHANNELWISE:
        return len(computed) == 1
    if node.op_type in _BINARY:
        constants = [constant(value) for value in inputs]
        constants_are_scalar = all(array.size == 1 for array in constants if array is not None)
        same_channels = len({_channels(value) for value in computed}) == 1
        same_rank = len({_rank(value) for value in computed}) == 1
        return constants_are_scalar and same_channels and same_rank and _rank(computed[0]) >= 2
    if node.op_type in ("Flatten", "Reshape"):  # (B, C, 1, 1) to (B, C)
        before, after = computed[0].shape, node.outputs[0].shape
        return (
            len(computed) == 1
            and before is not None
            and after is not None
            and len(before) == 4
            and list(before)[2:] == [1, 1]
            and len(after) == 2
            and after[1] == before[1]
        )
    return False


def is_linear(node: ir.Node) -> bool:
    """A Gemm of one computed matrix with a constant one, in the form the exporter writes."""
    attributes = node.attributes
    return (
        node.op_type == "Gemm"
        and not node.domain
        and not attributes.get_int("transA", 0)
        and constant(node.inputs[0]) is None
        and node.inputs.count(node.inputs[0]) == 1
        and constant(node.inputs[1]) is not None
    )


def _channels(value: ir.Value) -> int:
    shape = value.shape
    return shape[1] if shape is not None and len(shape) > 1 and isinstance(shape[1], int) else -1


def _rank(value: ir.Value) -> int:
    return -1 if value.shape is None else len(value.shape)
