"""The graph inside a network as one small drawing, for the service's page: nodes on a circle, lines where they see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from rgp.compile.convs import Conv
from rgp.svg import ACCENT, GREY

SIDE, RADIUS = 400, 180
MOST_NODES = 256
"""More are a grey disc."""


def circle_svg(convs: Sequence[Conv]) -> bytes | None:
    """An SVG file of the graph of the largest convolution that has one; None if none has.

    A line joins two nodes if one's outputs read the other's inputs; node 0 and whom it reads stand out.
    """
    with_graph = [conv for conv in convs if _drawable(conv)]
    if not with_graph:
        return None
    conv = max(with_graph, key=lambda conv: conv.macs)
    reads = conv.structure.biadjacency
    nodes = len(reads)
    at = [(math.sin(2 * math.pi * n / nodes), -math.cos(2 * math.pi * n / nodes)) for n in range(nodes)]
    places = [(SIDE / 2 + RADIUS * x, SIDE / 2 + RADIUS * y) for x, y in at]
    box = f"0 0 {SIDE} {SIDE}"
    svg = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=box, width=str(SIDE), height=str(SIDE))
    degree = int(reads[0].sum())
    SubElement(svg, "title").text = f"{conv.name}: {nodes} nodes, node 0 reads {degree} of them"
    others = [(i, j) for i in range(1, nodes) for j in range(nodes) if i != j and reads[i, j] and j != 0]
    _lines(svg, others, places, GREY, 0.9 * min(1.0, 200 / max(1, len(others))) + 0.06)
    _lines(svg, [(0, j) for j in range(1, nodes) if reads[0, j]], places, ACCENT, 1)
    dot = max(1.5, min(6.0, 0.35 * 2 * math.pi * RADIUS / nodes))
    for node, (x, y) in enumerate(places):
        seen = bool(reads[0, node]) or node == 0
        SubElement(svg, "circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{dot:.1f}", fill=ACCENT if seen else GREY)
    return tostring(svg)


def _drawable(conv: Conv) -> bool:
    reads = conv.structure.biadjacency
    if reads.shape[0] != reads.shape[1] or not 3 <= len(reads) <= MOST_NODES or reads.all():
        return False
    return bool((reads & ~np.eye(len(reads), dtype=bool)).any())  # separate blocks are no picture


def _lines(
    svg: Element, pairs: Sequence[tuple[int, int]], places: Sequence[tuple[float, float]], colour: str, opacity: float
) -> None:
    path = "".join(f"M{places[a][0]:.1f} {places[a][1]:.1f}L{places[b][0]:.1f} {places[b][1]:.1f}" for a, b in pairs)
    SubElement(svg, "path", {"d": path, "stroke": colour, "stroke-opacity": f"{opacity:.2f}", "fill": "none"})
