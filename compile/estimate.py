"""What a choice is expected to cost before anything was measured, so that hopeless ones need not be.

Unit: multiply-accumulates that a dense convolution does in that time. The constants were read off ONNX Runtime 1.32
on two AVX-512 cores (ResNet-50, 80 GMAC/s; a shuffle of 200,000 elements takes 0.14 ms, layout changes included).
"""

from __future__ import annotations

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.layout import FIXED_COST, Wiring
from rgp.compile.lowerings import LOWERINGS

MACS_PER_SHUFFLED_ELEMENT = 55
MACS_PER_ADDED_ELEMENT = 15


def estimated_speedup(conv: Conv, choice: Choice, wiring: Wiring) -> float:
    """Dense time over the expected time of ``choice``, its shuffles and sums included."""
    lowering = LOWERINGS[choice.lowering]
    macs = sum(lowering.estimate(conv, term) for term in choice.terms)
    moved = sum(
        (term.reads != wiring.x) * (conv.in_elements + FIXED_COST)
        + (term.writes != wiring.y) * (conv.out_elements + FIXED_COST)
        for term in wiring.terms
    )
    added = (len(choice.terms) - 1) * conv.out_elements
    return conv.macs / (macs + MACS_PER_SHUFFLED_ELEMENT * moved + MACS_PER_ADDED_ELEMENT * added)
