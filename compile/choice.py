"""How one convolution is to run: a lowering, and the parts that it splits into.

A *term* is one convolution over parts of the channels; a choice has one, or several whose results are added
(a sum of grouped convolutions, one for each parallel class of cliques).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rgp.compile.convs import Conv
from rgp.compile.structure import Channels, Part

Term = tuple[Part, ...]


@dataclass(frozen=True)
class Choice:
    """A lowering's name and the terms that it splits into.

    ``wants``: which channels of each part must lie together, its outputs, its inputs as well, or none.
    """

    lowering: str
    terms: tuple[Term, ...]
    wants: Literal["nothing", "outputs", "both"] = "outputs"

    @classmethod
    def dense(cls, conv: Conv) -> Choice:
        """As it is: every output reads every input."""
        ins, outs = conv.channels
        return cls("dense", ((Part(tuple(range(outs)), tuple(range(ins))),),))

    @property
    def constrains(self) -> bool:
        """Whether it asks anything of the order of channels."""
        return self.wants != "nothing" and any(len(term) > 1 for term in self.terms)

    def ins(self, term: Term) -> list[Channels]:
        """What must lie together in the input of one term; empty if nothing must."""
        return [part.ins for part in term] if self.wants == "both" and len(term) > 1 else []

    def outs(self, term: Term) -> list[Channels]:
        """What must lie together in the output of one term."""
        return [part.outs for part in term] if self.wants != "nothing" and len(term) > 1 else []

    def macs_share(self, conv: Conv) -> float:
        """The share of the dense convolution's MACs that it computes."""
        ins, outs = conv.channels
        return sum(len(part.outs) * len(part.ins) for term in self.terms for part in term) / (ins * outs)

    def __str__(self) -> str:
        counts = {len(term) for term in self.terms}
        parts = f" {'/'.join(map(str, sorted(counts)))}" if self.constrains else ""
        return f"{self.lowering}{parts}{f' x {len(self.terms)} summed' if len(self.terms) > 1 else ''}"


def shares(conv: Conv, choice: Choice) -> Iterator[Conv]:
    """What each term computes: ``conv`` with the weights that no term before it has; the bias comes once."""
    if len(choice.terms) == 1:
        yield conv
        return
    taken = np.zeros(conv.weight.shape[:2], bool)
    for index, term in enumerate(choice.terms):
        covered = np.zeros_like(taken)
        for part in term:
            covered[np.ix_(part.outs, part.ins)] = True
        fresh = covered & ~taken
        taken |= covered
        weight = np.where(fresh[:, :, None, None], conv.weight, np.float32(0))
        name = f"{conv.name}.term{index}" if index else conv.name
        yield replace(conv, weight=weight, bias=None if index else conv.bias, name=name)
