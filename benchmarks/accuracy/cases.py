"""What the study compares: each case is settings of `rgp-train`, at a quarter and at an eighth of the MACs.

A graph spelled ``unequal:64_16?seed=0`` is none of rgp's: blocks as many as in 64_16 put down at random, so that rows
and columns differ in degree, as in unstructured pruning. ``ladder:64_8?rung=1`` stands for ``rgp.ladder``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rgp.families import parse
from rgp.graph import Graph
from rgp.ladder import ladder
from rgp.models.price import price
from rgp.train import network

ARCHITECTURE = "cifar_resnet18"
RUNGS = 5
LOOPS, INIT, MATCH = "self-loops", "density init", "width for dense MACs"


@dataclass(frozen=True)
class Case:
    """``name`` says what, ``density`` which part of the MACs; ``graph`` has {seed} where the run's seed goes."""

    name: str
    density: str
    graph: str
    settings: tuple[tuple[str, Any], ...] = ()
    like: str = ""
    """A dense network as wide as the MACs of this graph allow."""

    @property
    def key(self) -> str:
        """A name for files: letters, digits, dashes."""
        return "".join(letter if letter.isalnum() else "-" for letter in f"{self.density}-{self.name}".lower())

    def resolved(self, seed: int, classes: int, side: int) -> dict[str, Any]:
        """The settings of a run."""
        settings = dict(self.settings) | {"graph": self.graph.format(seed=seed)}
        if self.like:
            options = {"num_classes": classes, "in_channels": 1}
            macs = price(ARCHITECTURE, options, parse(self.like), (1, side, side)).cost.macs
            settings["match_macs"] = f"{macs / 1e6:.6f}"
        return settings


CASES = (
    Case("dense", "100%", "dense"),
    Case("random regular", "25%", "random:64_16?seed={seed}"),
    Case("searched", "25%", "64_16"),
    Case("ring", "25%", "ring:64_16"),
    Case("circulant", "25%", "circulant:64_16"),
    Case("affine, 2 classes", "25%", "affine:64_15?classes=2"),
    Case("affine, 5 classes", "25%", "affine:64_16?classes=5"),
    Case("affine, rotating class", "25%", "affine:64_16?classes=1&rotate=1"),
    Case("product", "25%", "product:16_4x4"),
    Case("unequal blocks", "25%", "unequal:64_16?seed={seed}"),
    Case("narrower dense", "25%", "dense", like="64_16"),
    Case("random regular", "12.5%", "random:64_8?seed={seed}"),
    Case("searched", "12.5%", "64_8"),
    Case("ring", "12.5%", "ring:64_8"),
    Case("circulant", "12.5%", "circulant:64_8"),
    Case("affine, 7 classes", "12.5%", "affine:64_8?classes=7"),  # two classes connect nothing at this degree
    Case("affine, rotating class", "12.5%", "affine:64_8?rotate=1"),
    Case("product", "12.5%", "product:32_4x2"),
    Case("unequal blocks", "12.5%", "unequal:64_8?seed={seed}"),
    Case("narrower dense", "12.5%", "dense", like="64_8"),
    *(Case(f"ladder, rung {rung}", "12.5%", f"ladder:64_8?rung={rung}") for rung in range(1, RUNGS - 1)),
    Case(f"searched, {LOOPS}", "25%", "64_16?loops=1"),
    Case(f"affine, rotating class, no {LOOPS}", "25%", "affine:64_15?classes=1&rotate=1&loops=0"),
    Case(f"searched, {INIT}", "25%", "64_16", (("init", "density"),)),
    Case(f"affine, rotating class, {INIT}", "25%", "affine:64_16?classes=1&rotate=1", (("init", "density"),)),
    # the affine one trains as the grouped convolutions that it is
    Case(
        f"affine, rotating class, {MATCH}", "25%", "affine:64_16?classes=1&rotate=1",
        (("match_macs", "dense"), ("form", "decomposed")),
    ),
    Case(f"searched, {MATCH}", "25%", "64_16", (("match_macs", "dense"),)),
)  # fmt: skip


def graphs(spelling: str) -> tuple[Graph, ...]:
    """What ``rgp.families.parse`` knows, and the two kinds of the study's own."""
    family, _, rest = spelling.partition(":")
    if family not in ("unequal", "ladder"):
        return parse(spelling)
    size, _, option = rest.partition("?")
    number = int(option.partition("=")[2])
    if family == "ladder":
        return (ladder(parse(size)[0], RUNGS)[number],)
    nodes, degree = map(int, size.split("_"))
    return (unequal(nodes, degree, number),)


class Unequal(Graph):
    """Arcs from anywhere to anywhere: what of ``Graph`` takes equal degrees for granted is done the slow way."""

    @property
    def degree(self) -> int:
        """On average."""
        return int(self.adjacency.sum()) // self.nodes

    @cached_property
    def distances(self) -> NDArray[np.int16]:
        """(N, N): layers until a node depends on another, -1 where it never does."""
        reached = np.eye(self.nodes, dtype=bool)
        distance = np.where(reached, 0, -1).astype(np.int16)
        for step in range(1, self.nodes):
            reached = reached | (reached.astype(np.int64) @ self.adjacency > 0)
            distance[reached & (distance < 0)] = step
        return distance


def unequal(nodes: int, degree: int, seed: int) -> Graph:
    """``nodes`` * ``degree`` blocks anywhere, one at least in each row and column."""
    random = np.random.default_rng(seed)
    while True:
        blocks = np.zeros(nodes * nodes, bool)
        blocks[random.choice(nodes * nodes, nodes * degree, replace=False)] = True
        matrix = blocks.reshape(nodes, nodes)
        if matrix.any(axis=0).all() and matrix.any(axis=1).all():
            return Unequal(matrix, f"unequal:{nodes}_{degree}?seed={seed}")


def let_in() -> None:
    """Make `rgp-train` in this process understand the study's own spellings; its families make regular graphs alone."""
    cast(Any, network).parse = graphs
