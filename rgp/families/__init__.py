"""Families of regular graphs, and the one way to spell a graph.

A spelling is ``family:N_d?option=value&option=value``; ``N_d`` alone is the best graph known of that size; a
path ends in ``.npy``. N is the number of nodes, d the number of input groups each output group reads.

>>> [graph.degree for graph in parse("ring:64_16")]
[16]
>>> len(parse("affine:16_4?rotate=1"))  # one graph a layer, five in turn
5
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from rgp.errors import GraphError, UsageError
from rgp.families.affine import affine, affine_turns, parallel_classes
from rgp.families.circulant import circulant, offsets
from rgp.families.product import product
from rgp.families.random import random, random_turns
from rgp.families.ring import ring
from rgp.families.searched import searched, searched_turns
from rgp.families.sizes import looped
from rgp.families.spelling import Spelling
from rgp.graph import Graph, count_parts

__all__ = [
    "FAMILIES",
    "Spelling",
    "affine",
    "circulant",
    "offsets",
    "parallel_classes",
    "parse",
    "product",
    "random",
    "resized",
    "ring",
    "searched",
]

# family -> from N, d and options to a graph
FAMILIES: dict[str, Callable[..., Graph]] = {
    "searched": searched,
    "ring": ring,
    "circulant": circulant,
    "random": random,
    "affine": affine,
}

# the families that know rotate=1 -> from the same to the graphs that layers take in turn
_TURNS: dict[str, Callable[..., Iterator[Graph]]] = {
    "searched": searched_turns,
    "random": random_turns,
    "affine": affine_turns,
}


def parse(text: str, *, connected: bool = True) -> tuple[Graph, ...]:
    """Make the graph, or the graphs that layers take in turn; each one's own spelling makes it again.

    Raises UsageError for a spelling that is none, GraphError for a graph that does not exist and OSError for a
    file that cannot be read; and, unless ``connected=False``, GraphError where the edges of all layers together
    leave the nodes in separate parts.
    """
    graphs = tuple(_made(Spelling.parse(text)))
    if connected:
        union = graphs[0].adjacency.copy()
        for graph in graphs[1:]:
            union |= graph.adjacency
        if (parts := count_parts(union)) > 1:
            raise GraphError(
                f"{text}: not connected: {parts} separate parts, so information never crosses between them; "
                "add edges, or give the layers different graphs in turn (rotate=1, as in affine:64_8?rotate=1)"
            )
    return graphs


def _made(spelling: Spelling) -> Iterator[Graph]:
    if spelling.family == "file":
        yield _loaded(spelling)
    elif spelling.family == "product":
        for base in _made(replace(spelling, family=spelling.base, base="", copies=1)):
            yield product(base, spelling.copies)
    else:
        options = dict(spelling.options)
        if options.pop("rotate", 0):
            yield from _TURNS[spelling.family](spelling.nodes, spelling.degree, **options)
        else:
            yield FAMILIES[spelling.family](spelling.nodes, spelling.degree, **options)


def _loaded(spelling: Spelling) -> Graph:
    """The matrix in a file; ``loops`` adds self-loops, or takes them away."""
    graph = Graph.load(Path(spelling.path))
    if not spelling.options:
        return graph
    loops = dict(spelling.options)["loops"]
    return Graph.of(looped(graph.adjacency, loops), str(replace(spelling, path=graph.spelling)))


def resized(graph: Graph, nodes: int) -> Graph:
    """The same family and density on fewer nodes, for a layer with fewer channels; GraphError if none exists.

    A product takes fewer copies of its base as long as it can: then the layer's channels meet as in any other.
    """
    try:
        spelling = Spelling.parse(graph.spelling)
    except UsageError:  # a matrix that was not made by a family
        spelling = Spelling("file")
    if spelling.family == "product":
        base, *_ = _made(replace(spelling, family=spelling.base, base="", copies=1))
        copies, rest = divmod(nodes, base.nodes)
        if rest or not copies:
            return resized(base, nodes)
        return product(base, copies) if copies > 1 else base
    degree, rest = divmod(graph.degree * nodes, graph.nodes)
    if rest or spelling.family == "file":
        raise GraphError(
            f"{graph.spelling}: has no form with {nodes} nodes at density {graph.density:g}; "
            "choose a ring or random graph, fewer nodes, or leave narrow layers dense"
        )
    (smaller,) = _made(replace(spelling, nodes=nodes, degree=degree))
    return smaller
