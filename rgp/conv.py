"""A convolution masked by a graph: RGP (arXiv 2110.15192), section III-B.

Output-channel group i sees input-channel group j iff adjacency[i, j]; rows are outputs. The mask is kept at
node level, (N, N) bool, and spread over the weight in the forward pass: no second dense tensor is stored.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from rgp.blocks import node_of_channel
from rgp.errors import PruneError


class GraphConv2d(nn.Conv2d):
    """``nn.Conv2d`` whose weight (O, I, kh, kw) counts only where the graph has an edge.

    Weights under the mask start at zero, are set to it on loading, and have a gradient of exactly zero as long as
    the gradient is finite: they stay at zero under any optimiser, momentum and weight decay included, and count for
    nothing whatever is written there, short of NaN and infinities. ``adjacency`` (N, N) bool is part of the state
    dict.
    """

    adjacency: Tensor
    _out_node: Tensor
    _in_node: Tensor

    @classmethod
    def of(cls, conv: nn.Conv2d, adjacency: Tensor) -> Self:
        """Mask ``conv`` with ``adjacency`` (N, N) bool: same parameters, zeroed where the graph has no edge.

        Raises PruneError where the convolution has fewer channels than the graph has nodes, or has groups.
        """
        nodes = len(adjacency)
        if min(conv.in_channels, conv.out_channels) < nodes:
            raise PruneError(
                f"a graph of {nodes} nodes needs {nodes} channels, this convolution has "
                f"{conv.in_channels} in and {conv.out_channels} out: choose fewer nodes, or leave it dense"
            )
        if conv.groups != 1:
            raise PruneError(f"the convolution has {conv.groups} groups already: leave it as it is")
        masked = cls(**arguments(conv), device="meta")
        masked.weight, masked.bias = conv.weight, conv.bias
        device = conv.weight.device
        masked.register_buffer("adjacency", adjacency.to(device=device, dtype=torch.bool))
        for name, channels in (("_out_node", conv.out_channels), ("_in_node", conv.in_channels)):
            nodes_of = torch.from_numpy(node_of_channel(channels, nodes)).to(device)
            masked.register_buffer(name, nodes_of, persistent=False)
        masked.zero_pruned_()
        return masked.train(conv.training)

    @property
    def nodes(self) -> int:
        """N, the size of the graph."""
        return len(self.adjacency)

    @property
    def mask(self) -> Tensor:
        """(O, I) bool: which input channels each output channel sees."""
        mask: Tensor = self.adjacency[self._out_node][:, self._in_node]
        return mask

    def masked_weight(self) -> Tensor:
        """(O, I, kh, kw): the weight that the forward pass uses."""
        # A product: torch.where, which is not vectorised on CPUs, would cost two to four times as much.
        if self.in_channels % self.nodes or self.out_channels % self.nodes:
            weight: Tensor = self.weight * self.mask[:, :, None, None]
            return weight
        n = self.nodes
        blocks = self.weight.view(n, self.out_channels // n, n, self.in_channels // n, *self.kernel_size)
        return (blocks * self.adjacency.view(n, 1, n, 1, 1, 1)).reshape(self.weight.shape)

    def forward(self, input: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, H', W')."""
        output: Tensor = self._conv_forward(input, self.masked_weight(), self.bias)
        return output

    @torch.no_grad()
    def zero_pruned_(self) -> None:
        """Set the weights under the mask to zero, where training then keeps them."""
        self.weight.masked_fill_(~self.mask[:, :, None, None], 0)

    def _load_from_state_dict(self, *loaded: Any) -> None:
        """Load, and take away what lies under the mask: NaN and infinities there would survive the product."""
        super()._load_from_state_dict(*loaded)
        self.zero_pruned_()

    def extra_repr(self) -> str:
        """Show the graph's nodes beside the convolution's size."""
        shown = super().extra_repr()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return f"{shown}, nodes={self.nodes}"


def arguments(conv: nn.Conv2d) -> dict[str, Any]:
    """What makes a convolution of the same shape, its groups aside."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode")
    return {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None}
