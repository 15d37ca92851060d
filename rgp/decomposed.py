"""A masked convolution as a sum of grouped ones: the same numbers for a fraction of the multiplications.

Where a graph with self-loops is a union of k partitions of its nodes into cliques of c nodes (an affine graph, with
its k parallel classes), the masked convolution is the sum of k convolutions with N/c groups on permuted channels.
The weights are those under the edges, once each, in another order. SGD moves each weight by its own gradient,
momentum and decay alone, so it moves them equally in both forms; so does a moving average.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rgp.conv import GraphConv2d, arguments
from rgp.errors import PruneError, UsageError
from rgp.families.field import prime_power
from rgp.families.space import class_count, cliques, flat


class DecomposedConv2d(nn.Conv2d):
    """A ``GraphConv2d`` as k grouped convolutions; ``weight`` (k * O, I * c/N, kh, kw) has one below the other.

    ``order`` (k, N): the nodes of each class, clique by clique. Every class holds every self-loop; they count in the
    first, and in the others their weights are zero and stay so. The state dict is that of the masked form, saving
    and loading, bit for bit: a checkpoint does not depend on the form that was trained.
    """

    adjacency: Tensor
    order: Tensor
    _reads: Tensor
    _writes: Tensor
    _unlooped: Tensor
    _ordered: list[bool]

    @classmethod
    def of(cls, masked: GraphConv2d) -> Self:
        """The decomposed form of ``masked``, with the same bias parameter; PruneError where there is none."""
        nodes, device = masked.nodes, masked.weight.device
        for channels in (masked.in_channels, masked.out_channels):
            if channels % nodes:
                raise PruneError(f"{nodes} nodes do not divide {channels} channels")
        classes = clique_classes(masked.adjacency.cpu().numpy())
        if classes is None:
            raise PruneError("its graph is no union of partitions into cliques")
        conv = cls(**arguments(masked), groups=int(classes.max()) + 1, device="meta")
        order = torch.from_numpy(np.argsort(classes, axis=1, kind="stable")).to(device)
        unlooped = ~torch.eye(nodes // conv.groups, dtype=torch.bool, device=device)
        conv.register_buffer("adjacency", masked.adjacency)
        for name, value in {
            "order": order,
            "_reads": _channels(order, masked.in_channels),
            "_writes": _channels(order, masked.out_channels),
            "_unlooped": unlooped[:, None, :, None, None, None],
        }.items():
            conv.register_buffer(name, value, persistent=False)
        conv._ordered = [nodes_of == sorted(nodes_of) for nodes_of in order.tolist()]
        conv.weight = nn.Parameter(conv._packed(masked.masked_weight()), masked.weight.requires_grad)
        conv.bias = masked.bias
        return conv.train(masked.training)

    def masked(self) -> GraphConv2d:
        """The masked form, with the same bias parameter."""
        conv = nn.Conv2d(**arguments(self), device="meta")
        conv.weight = nn.Parameter(self.masked_weight(), self.weight.requires_grad)
        conv.bias = self.bias
        return GraphConv2d.of(conv, self.adjacency.clone()).train(self.training)

    def forward(self, input: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, H', W')."""
        first, *others = self.weight.chunk(len(self.order))
        bias = None if self.bias is None else self.bias[self._writes[0, 0]]
        output = self._part(0, input, first, bias)
        for index, weight in enumerate(others, start=1):
            unlooped = (self._blocks(weight) * self._unlooped).reshape(weight.shape)
            output = output + self._part(index, input, unlooped, None)
        return output

    def _part(self, index: int, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """One class: its cliques are the groups once their channels lie together."""
        if not self._ordered[index]:
            input = _Permuted.apply(input, *self._reads[index])
        output: Tensor = self._conv_forward(input, weight, bias)
        if not self._ordered[index]:
            order, back = self._writes[index]
            output = _Permuted.apply(output, back, order)
        return output

    @torch.no_grad()
    def masked_weight(self) -> Tensor:
        """(O, I, kh, kw): the weight of the masked form."""
        outs, ins = self._node_channels
        nodes = len(self.adjacency)
        blocks = self.weight.new_zeros(nodes, nodes, outs, ins, *self.kernel_size)
        parts = zip(self._members, self.weight.chunk(len(self.order)), strict=True)
        for members, weight in reversed(list(parts)):  # the first class comes last, and brings the self-loops
            blocks[members[:, :, None], members[:, None]] = self._blocks(weight).transpose(2, 3)
        return blocks.transpose(1, 2).reshape(self.out_channels, self.in_channels, *self.kernel_size)

    @torch.no_grad()
    def _packed(self, weight: Tensor) -> Tensor:
        """``weight`` (O, I, kh, kw), zero under the mask, in this form."""
        (outs, ins), nodes = self._node_channels, len(self.adjacency)
        blocks = weight.view(nodes, outs, nodes, ins, *self.kernel_size).transpose(1, 2)
        parts = [blocks[members[:, :, None], members[:, None]].transpose(2, 3) for members in self._members]
        parts[1:] = [part * self._unlooped for part in parts[1:]]
        return torch.cat([part.reshape(self.out_channels, -1, *self.kernel_size) for part in parts])

    @property
    def _node_channels(self) -> tuple[int, int]:
        """O/N and I/N."""
        return self.out_channels // len(self.adjacency), self.in_channels // len(self.adjacency)

    @property
    def _members(self) -> Tensor:
        """(k, N/c, c): the nodes of each clique."""
        return self.order.view(len(self.order), self.groups, -1)

    def _blocks(self, weight: Tensor) -> Tensor:
        """One class's weight (O, I * c/N, kh, kw) as (N/c, c, O/N, c, I/N, kh, kw)."""
        (outs, ins), clique = self._node_channels, len(self.adjacency) // self.groups
        return weight.view(self.groups, clique, outs, clique, ins, *self.kernel_size)

    def _save_to_state_dict(self, *destination: Any) -> None:
        self.masked()._save_to_state_dict(*destination)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        masked = self.masked()
        masked._load_from_state_dict(state, prefix, *rest)
        if not torch.equal(masked.adjacency, self.adjacency):
            rest[-1].append(f"{prefix}adjacency: another graph, in the decomposed form it cannot be exchanged")
            return
        self.bias = masked.bias
        with torch.no_grad():
            self.weight.copy_(self._packed(masked.weight))


class _Permuted(torch.autograd.Function):
    """Channels (.., C, H, W) in another order, in the same memory format; ``back`` (C,) is the way back.

    The gradient of torch's own ``index_select`` adds into zeros: a third slower, and atomic on a GPU.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(order, back)
        last = features.movedim(-3, -1)
        if last.is_contiguous():
            return last.index_select(-1, order).movedim(-1, -3)
        return features.index_select(-3, order)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        order, back = ctx.saved_tensors
        return _Permuted.apply(gradient, back, order), None, None


def _channels(order: Tensor, channels: int) -> Tensor:
    """(k, 2, C): the channels of each class in the order (k, N) of its nodes, and the way back."""
    each = channels // order.shape[1]
    taken = (order[:, :, None] * each + torch.arange(each, device=order.device)).flatten(1)
    return torch.stack([taken, taken.argsort(1)], dim=1)


def clique_classes(adjacency: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """(k, N): k partitions of the nodes into cliques of one size that have each edge of (N, N) once; or None.

    Row by row, the number of the clique that each node lies in. Every node must have a self-loop. Found are graphs
    of separate cliques, however the nodes are numbered, and affine graphs, which need not be spelled so.

    >>> clique_classes(np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]], dtype=bool))
    array([[0, 1, 0, 1]])
    """
    nodes = len(adjacency)
    separate = np.unique(adjacency.argmax(1), return_inverse=True)[1]  # a clique is known by its first node
    for classes in (separate[None], *_affine_classes(adjacency)):
        covered = np.zeros((nodes, nodes), dtype=np.int64)
        for clique_of in classes:
            covered += clique_of[:, None] == clique_of
        np.fill_diagonal(covered, 1)
        if (covered == adjacency).all() and all(len(set(np.bincount(clique_of))) == 1 for clique_of in classes):
            return classes
    return None


def _affine_classes(adjacency: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """The parallel classes of lines that have only edges of the graph, if their number is right; long lines first.

    In an affine graph the lines through node 0 tell the rest, and two of them share no other node.
    """
    nodes, others = len(adjacency), int(adjacency[0].sum()) - 1
    prime, size = prime_power(nodes)
    for clique in (prime**s for s in range(size - 1, 0, -1) if size % s == 0):
        if others % (clique - 1) == 0:
            lines = (i for i in range(class_count(nodes, clique)) if adjacency[0, flat(nodes, clique, i)].all())
            classes = [cliques(nodes, clique, i) for i in lines]
            if classes and len(classes) == others // (clique - 1):
                yield np.stack(classes)


def decompose_(network: nn.Module) -> list[str]:
    """Put each masked convolution that decomposes into its decomposed form, in place, and say why others stay.

    UsageError, with nothing changed, if none decomposes. An optimiser must be made afterwards.
    """
    forms: dict[nn.Module, DecomposedConv2d] = {}
    kept: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, GraphConv2d):
            try:
                forms[module] = DecomposedConv2d.of(module)
            except PruneError as error:
                kept.append(f"{name} stays masked: {error}")
    if not forms:
        why = kept[0] if kept else "it has no masked convolution"
        raise UsageError(
            f"nothing to decompose in {type(network).__name__}: {why}; give an affine graph, or leave it masked"
        )
    for place, module in list(network.named_modules(remove_duplicate=False)):
        if module in forms:
            network.set_submodule(place, forms[module])
    return kept
