"""Which tensors must keep their channels in one order: the channel spaces of a network.

A space is a set of tensors whose channels can only be permuted together: an elementwise operator ties its
output to its input, a residual addition ties its two inputs. A convolution starts a new space, since its
weight absorbs a permutation on both sides. The network's inputs and outputs, and what an operator unknown
here touches, are *fixed*: their order is what it is.

A concatenation is a space of its own, whose order is that of its pieces side by side. Constants that have one
entry for each channel (a BatchNorm's, a depthwise weight, a scale, the columns of a linear layer) *follow*
their space: whoever permutes it permutes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import onnx_ir as ir

from rgp.compile.convs import constant, find

# Output channel c depends on input channel c alone, whatever c is.
_CHANNELWISE = frozenset(
    {
        *("Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "LeakyRelu", "Elu", "Selu", "Gelu"),
        *("Mish", "Softplus", "Erf", "Exp", "Sqrt", "Neg", "Abs", "Swish", "Identity", "Dropout", "Cast"),
        *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"),
    }
)
_BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"})
_SPATIAL_REDUCTIONS = frozenset({"ReduceMean", "ReduceMax", "ReduceSum"})


@dataclass(frozen=True)
class Follower:
    """A constant input of ``node`` whose ``axis`` lists the channels of ``value``'s space, ``repeat`` times each."""

    node: ir.Node
    index: int
    axis: int
    value: ir.Value
    repeat: int = 1


@dataclass
class Spaces:
    """Spaces by number. ``channels``: how many each has; ``pieces``: what a concatenation consists of."""

    channels: list[int] = field(default_factory=list)
    followers: list[Follower] = field(default_factory=list)
    _pieces: dict[int, tuple[ir.Value, ...]] = field(default_factory=dict)
    _fixed: set[int] = field(default_factory=set)
    _parent: list[int] = field(default_factory=list)
    _of_value: dict[ir.Value, int] = field(default_factory=dict)
    _repeat: dict[ir.Value, int] = field(default_factory=dict)

    def of(self, value: ir.Value) -> int:
        """The space of a tensor."""
        return self._root(self._of_value[value])

    def all(self) -> set[int]:
        """Every space."""
        return {self._root(space) for space in self._of_value.values()}

    def fixed_ones(self) -> set[int]:
        """The spaces whose order must not change."""
        return {self._root(space) for space in self._fixed}

    @property
    def pieces(self) -> dict[int, tuple[int, ...]]:
        """Concatenations, in running order: the spaces that lie side by side in each."""
        return {space: tuple(map(self.of, values)) for space, values in self._pieces.items()}

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

    def _share(self, value: ir.Value, other: ir.Value, repeat: int = 1) -> None:
        self._of_value[value] = self._of_value[other]
        self._repeat[value] = repeat * self._repeat.get(other, 1)

    def _unite(self, a: ir.Value, b: ir.Value) -> None:
        self._parent[self.of(a)] = self.of(b)

    def _fix(self, value: ir.Value) -> None:
        self._fixed.add(self.of(value))

    def _follow(self, node: ir.Node, indices: Iterable[int], axis: int) -> None:
        value = next(value for value in node.inputs if value is not None and constant(value) is None)
        self.followers += [Follower(node, index, axis, value, self._repeat.get(value, 1)) for index in indices]

    def _settle_concatenations(self) -> None:
        """A concatenation that something else ties down holds its pieces fixed, later ones first."""
        for space, values in reversed(self._pieces.items()):
            tied = self._root(space) != space or any(
                self._root(other) == space for other in range(len(self.channels)) if other != space
            )
            if tied or space in self.fixed_ones():
                self._fixed.add(space)
                for value in values:
                    self._fix(value)
        self._pieces = {space: values for space, values in self._pieces.items() if space not in self.fixed_ones()}


def find_spaces(model: ir.Model) -> Spaces:
    """Walk the network once, in running order."""
    spaces = Spaces()
    convs = {conv.node: conv for conv in find(model)}
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        spaces._new(value, _channels(value), fixed=True)
    for node in model.graph:
        inputs = [value for value in node.inputs if value is not None]
        computed = [value for value in inputs if constant(value) is None]
        conv = convs.get(node)
        if conv is not None and conv.depthwise:
            spaces._share(conv.y, conv.x)
            spaces._follow(node, tuple(range(1, len(node.inputs))), axis=0)
        elif conv is not None and conv.groups == 1:
            spaces._new(conv.y, conv.channels[1], fixed=False)
            if spaces.channels[spaces.of(conv.x)] != conv.channels[0]:  # flattened pixels, or a number not known
                spaces._fix(conv.x)
                spaces._repeat.pop(conv.x, None)
                spaces._new(conv.x, conv.channels[0], fixed=True)
        elif not _passes_through(spaces, node, computed):
            for value in computed:
                if is_linear(node) and value is node.inputs[0]:  # a Gemm's weight follows its input's order
                    spaces._follow(node, (1,), axis=1 if node.attributes.get_int("transB", 0) else 0)
                else:
                    spaces._fix(value)
            for value in node.outputs:
                spaces._new(value, _channels(value), fixed=True)
    for value in model.graph.outputs:
        spaces._fix(value)
    for value in _captured(model.graph):
        spaces._fix(value)
    spaces._settle_concatenations()
    return spaces


def _passes_through(spaces: Spaces, node: ir.Node, computed: list[ir.Value]) -> bool:
    """Whether a permutation passes through ``node``; if so, its output has found its space."""
    if node.domain or not computed or len(node.outputs) != 1:
        return False
    x, y = computed[0], node.outputs[0]
    if computed == [node.inputs[0]] and (node.op_type in _CHANNELWISE or _reduces_space_only(node)):
        spaces._share(y, x)
    elif node.op_type == "BatchNormalization" and len(computed) == 1:
        spaces._share(y, x)
        spaces._follow(node, range(1, 5), axis=0)
    elif node.op_type in _BINARY and _alike(spaces, computed):
        follows: dict[int, int] = {}  # input -> axis
        for index, value in enumerate(node.inputs):
            array = constant(value)
            if array is not None and array.size > 1:
                axis = 1 - (_rank(x) - array.ndim)
                if array.ndim > _rank(x) or axis < 0 or array.size != array.shape[axis] or array.size != _channels(x):
                    return False
                follows[index] = axis
        for other in computed[1:]:
            spaces._unite(other, x)
        spaces._share(y, x)
        for index, axis in follows.items():
            spaces._follow(node, (index,), axis)
    elif node.op_type == "Concat" and len(computed) == len(node.inputs) and _along_channels(node):
        if any(spaces._repeat.get(value, 1) > 1 for value in computed):
            return False
        spaces._new(y, _channels(y), fixed=False)
        spaces._pieces[spaces._of_value[y]] = tuple(computed)
    elif node.op_type in ("Flatten", "Reshape", "Squeeze", "Unsqueeze") and len(computed) == 1:
        repeat = _flattened(x, y)
        if not repeat:
            return False
        spaces._share(y, x, repeat)
    else:
        return False
    return True


def _alike(spaces: Spaces, values: list[ir.Value]) -> bool:
    """Whether channel c of one is channel c of the other, wherever broadcasting leaves the channels alone."""
    return (
        _rank(values[0]) >= 2
        and len({(_channels(value), _rank(value), spaces._repeat.get(value, 1)) for value in values}) == 1
    )


def _reduces_space_only(node: ir.Node) -> bool:
    if node.op_type not in _SPATIAL_REDUCTIONS:
        return False
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else node.attributes.get_ints("axes", None)
    rank = _rank(node.inputs[0]) if node.inputs[0] is not None else -1
    return axes is not None and len(axes) > 0 and rank > 2 and all(int(axis) % rank >= 2 for axis in axes)


def _along_channels(node: ir.Node) -> bool:
    ranks = {_rank(value) for value in node.inputs if value is not None}
    known = all(value is not None and _channels(value) > 0 for value in (*node.inputs, *node.outputs))
    return len(ranks) == 1 and min(ranks) >= 2 and node.attributes.get_int("axis", 0) % min(ranks) == 1 and known


def _flattened(x: ir.Value, y: ir.Value) -> int:
    """How often each channel of (B, C, H, W) stands in (B, C*H*W), 1 for (B, C) to (B, C, 1, 1), 0 for neither."""
    if x.shape is None or y.shape is None or len(x.shape) < 2 or len(y.shape) < 2:
        return 0
    (_, channels, *space), (_, columns, *rest) = list(x.shape), list(y.shape)
    known = [side for side in space if isinstance(side, int)]
    if any(side != 1 for side in rest) or len(known) < len(space) or not isinstance(channels, int):
        return 0
    repeat = math.prod(known)
    return repeat if columns == channels * repeat else 0


def _captured(graph: ir.Graph) -> Iterator[ir.Value]:
    """Tensors of ``graph`` that the body of an If or Loop reads without naming them among its node's inputs."""
    for node in graph.all_nodes():
        if node.graph is not graph:
            yield from (value for value in node.inputs if value is not None and value.graph is graph)


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
