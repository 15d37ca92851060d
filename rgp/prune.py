"""Put a graph on the convolutions of any network, in place, and say what was done, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

import torch
from torch import nn

from rgp.blocks import block_sizes
from rgp.conv import GraphConv2d
from rgp.errors import GraphError, PruneError, UsageError, unknown
from rgp.families import resized
from rgp.graph import Graph

Narrow = Literal["refuse", "dense", "fewer"]
Turns = Literal["layers", "blocks"]


@dataclass(frozen=True)
class LayerDecision:
    """What became of one convolution; ``graph`` is None where it stays dense, and ``why`` says why."""

    name: str
    in_channels: int
    out_channels: int
    kernel: tuple[int, ...]
    graph: Graph | None
    why: str

    @property
    def kept(self) -> float:
        """The share of its weights, and so of its MACs, that the graph leaves."""
        if self.graph is None:
            return 1.0
        out, into = (block_sizes(channels, self.graph.nodes) for channels in (self.out_channels, self.in_channels))
        return float(out @ self.graph.adjacency @ into) / (self.out_channels * self.in_channels)

    def __str__(self) -> str:
        what = self.graph.spelling if self.graph else "dense"
        size = f"{self.in_channels} -> {self.out_channels} {'x'.join(map(str, self.kernel))}"
        return f"{self.name}: {size}: {what} ({self.why})"


def prune(
    model: nn.Module,
    graph: Graph | Sequence[Graph],
    *,
    first_dense: bool = True,
    last_dense: bool = True,
    skip: Sequence[str] = (),
    narrow: Narrow = "refuse",
    turns: Turns = "layers",
) -> list[LayerDecision]:
    """Mask the convolutions of ``model`` in place with ``graph``, or with several in turn; weights are kept.

    ``first_dense`` and ``last_dense`` leave the stem and the classifier as they are (paper, section IV); the
    classifier is the last convolution or linear layer, so it matters only where that is a convolution.
    ``skip``: shell patterns of layer names to leave dense. ``narrow`` says what happens to a layer with fewer
    channels than the graph has nodes: "refuse" raises PruneError, "dense" leaves it, "fewer" takes the same
    family and density on the most nodes that fit and divide N. Convolutions with groups stay as they are, and so
    do those of a class with a forward pass of its own; one that stands in several places is masked in all of
    them. Nothing is changed if anything is refused.

    ``turns`` says which layer takes which of several graphs: with "layers" each takes the next one; with "blocks"
    the first graph stays on the first, third, ... convolution of each module that holds several, and on those that
    stand alone, and the others take turns on the rest. In bottleneck blocks of three that is all that reads and
    writes the tensor which many blocks share, so a compiled network shuffles narrow tensors only.
    """
    graphs = (graph,) if isinstance(graph, Graph) else tuple(graph)
    if not graphs:
        raise PruneError("no graph was given: give at least one")
    if narrow not in get_args(Narrow):
        raise UsageError(unknown("choice for narrow", narrow, get_args(Narrow)))
    if turns not in get_args(Turns):
        raise UsageError(unknown("choice for turns", turns, get_args(Turns)))
    layers = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    convs = [(name, m) for name, m in layers if isinstance(m, nn.Conv2d)]
    if not convs or isinstance(model, nn.Conv2d):
        raise PruneError(f"{type(model).__name__} has no convolution inside to prune: give a network")
    for pattern in skip:
        if not any(fnmatchcase(name, pattern) for name, _ in convs):
            raise UsageError(unknown("layer to skip", pattern, [name for name, _ in convs]))
    dense = {convs[0][0]: "first layer"} if first_dense else {}
    if last_dense:
        dense[layers[-1][0]] = "last layer"

    decisions: list[LayerDecision] = []
    inside = _inside_blocks([name for name, _ in convs]) if turns == "blocks" and len(graphs) > 1 else None
    for name, conv in convs:
        taken = [decision.name for decision in decisions if decision.graph]
        turn = graphs[len(taken) % len(graphs)]
        if inside is not None:
            turn = graphs[1 + len(inside & set(taken)) % (len(graphs) - 1)] if name in inside else graphs[0]
        chosen, why = None, dense.get(name, "")
        if not why and any(fnmatchcase(name, pattern) for pattern in skip):
            why = "skipped by name"
        if not why:
            chosen, why = _fit(name, conv, turn, narrow)
        decisions.append(LayerDecision(name, conv.in_channels, conv.out_channels, conv.kernel_size, chosen, why))
    if not any(decision.graph for decision in decisions):
        raise PruneError(f"no convolution of {type(model).__name__} was masked: {', '.join(summary(decisions))}")
    if inside is not None and not any(decision.graph and decision.name in inside for decision in decisions):
        raise PruneError(
            f"{type(model).__name__} has no module that holds several masked convolutions, so no block to take turns "
            "inside: set turns to 'layers'"
        )
    places = [(name, m) for name, m in model.named_modules(remove_duplicate=False) if isinstance(m, nn.Conv2d)]
    for (_, conv), decision in zip(convs, decisions, strict=True):
        if decision.graph:
            # numpy's read-only array must not be shared with a tensor that could write to it
            masked = GraphConv2d.of(conv, torch.from_numpy(decision.graph.adjacency.copy()))
            for place in (name for name, m in places if m is conv):
                model.set_submodule(place, masked)
    return decisions


def summary(decisions: Sequence[LayerDecision]) -> list[str]:
    """What was done, in a phrase for each graph and reason: "52 masked by 64_16", "1 dense (first layer)".

    The masked layers come first. Graphs of one size that layers take in turn are one phrase.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for decision in sorted(decisions, key=lambda decision: decision.graph is None):
        graph = decision.graph
        size = f"{graph.nodes}_{graph.degree}" if graph else ""
        alike.setdefault((size, decision.why), []).append(graph.spelling if graph else "")
    phrases = []
    for (size, why), spellings in alike.items():
        distinct = set(spellings)
        by = spellings[0] if len(distinct) == 1 else f"{len(distinct)} graphs {size} in turn"
        reason = "" if why == "masked" else f" ({why})"
        phrases.append(f"{len(spellings)} {f'masked by {by}' if size else 'dense'}{reason}")
    return phrases


def _inside_blocks(names: Sequence[str]) -> set[str]:
    """The second, fourth, ... convolution of each module: the middle of a block of three, the last of a block of two.

    >>> sorted(_inside_blocks(["conv", "block.conv1", "block.conv2", "block.conv3", "block.down.0"]))
    ['block.conv2']
    """
    seen: dict[str, int] = {}
    inside = set()
    for name in names:
        parent = name.rpartition(".")[0]
        if seen.setdefault(parent, 0) % 2:
            inside.add(name)
        seen[parent] += 1
    return inside


def _fit(name: str, conv: nn.Conv2d, graph: Graph, narrow: Narrow) -> tuple[Graph | None, str]:
    """The graph for one layer, or None, and why."""
    if isinstance(conv, GraphConv2d):
        raise PruneError(f"{name} is masked by a graph already: prune a network once")
    if conv.groups != 1:
        return None, "depthwise" if conv.groups == conv.in_channels else "has groups already"
    if type(conv) is not nn.Conv2d:  # its forward pass may do more, and the mask would drop that in silence
        return None, f"{type(conv).__name__}, not a plain Conv2d"
    width = min(conv.in_channels, conv.out_channels)
    if width >= graph.nodes:
        return graph, "masked"
    if narrow == "dense":
        return None, f"fewer channels than {graph.nodes} nodes"
    if narrow == "refuse":
        raise PruneError(
            f"{name} has {conv.in_channels} -> {conv.out_channels} channels, fewer than the {graph.nodes} nodes "
            f"of {graph.spelling}: choose fewer nodes, skip it, or set narrow to 'dense' or 'fewer'"
        )
    problem = ""
    for nodes in range(width, 1, -1):
        if graph.nodes % nodes == 0:
            try:
                return resized(graph, nodes), f"fewer channels than {graph.nodes} nodes"
            except GraphError as error:
                problem = problem or str(error)
    raise PruneError(f"{name}: no graph with at most {width} nodes: {problem}")
