"""A convolution masked by a graph: RGP (arXiv 2110.15192), section III-B.

Output-channel group i sees input-channel group j iff adjacency[i, j]; rows are outputs. The mask is kept at
node level, (N, N) bool, and spread over the weight in the forward pass: no second dense tensor is stored.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from rgp.blocks import node_of_channel
from rgp.errors import PruneError


class GraphConv2d(nn.Conv2d):
    """``nn.Conv2d`` whose weight (O, I, kh, kw) counts only where the graph has an edge.

    The gradient under the mask is exactly zero, so weights that start at zero there stay at zero under any
    optimiser, momentum and weight decay included. ``adjacency`` (N, N) bool is part of the state dict.
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
        masked = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]  # torch types it as a tuple of any length
            stride=conv.stride,  # type: ignore[arg-type]
            padding=conv.padding,  # type: ignore[arg-type]
            dilation=conv.dilation,  # type: ignore[arg-type]
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
            device="meta",
        )
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
        # where, not a product: under the mask a product would pass on NaN and infinite values.
        weight: Tensor
        if self.in_channels % self.nodes or self.out_channels % self.nodes:
            weight = torch.where(self.mask[:, :, None, None], self.weight, 0)
        else:
            n = self.nodes
            blocks = self.weight.view(n, self.out_channels // n, n, self.in_channels // n, *self.kernel_size)
            weight = torch.where(self.adjacency[:, None, :, None, None, None], blocks, 0).reshape(self.weight.shape)
        return weight

    def forward(self, input: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, H', W')."""
        output: Tensor = self._conv_forward(input, self.masked_weight(), self.bias)
        return output

    @torch.no_grad()
    def zero_pruned_(self) -> None:
        """Set the weights under the mask to zero, where training then keeps them."""
        self.weight.copy_(self.masked_weight())

    def extra_repr(self) -> str:
        """Show the graph's nodes beside the convolution's size."""
        shown = super().extra_repr()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return f"{shown}, nodes={self.nodes}"
