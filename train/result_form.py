"""The form of a run's ``result.json``: every field with its type and its text, from which the reference is made.

``Report.to_dict`` returns these types, so that a field which is missing here does not pass the type checker. MACs are
multiply-accumulates for one image.
"""

from __future__ import annotations

from typing import Any, TypedDict

from rgp.environment import Environment


class RunCost(TypedDict):
    """What the network takes, dense and masked."""

    dense_macs: int
    """MACs without masks."""
    macs: int
    """MACs of the channel pairs that are connected."""
    dense_parameters: int
    """Weights and biases without masks."""
    parameters: int
    """Those that are not masked."""


class RunGraph(TypedDict):
    """One of the graphs in the network."""

    spelling: str
    """As ``--graph`` reads it, seed included."""
    layers: int
    """How many layers have it."""
    nodes: int
    """Groups of channels, on each side."""
    degree: int
    """Input groups that each output group reads, itself included."""
    density: float
    """degree / nodes."""
    parts: int
    """Connected components."""
    aspl: float | None
    """Average shortest path length; null if the graph is not connected."""
    aspl_bound: float | None
    """The least that a graph of these nodes and this degree can have; null if it cannot be connected."""
    spectral_gap: float
    """degree minus the second largest eigenvalue; 0 if not connected."""


class RunLayer(TypedDict):
    """A convolution, and what became of it."""

    name: str
    """Its path in the network."""
    channels: list[int]
    """Input and output."""
    kernel: list[int]
    """Height and width."""
    graph: str | None
    """Its graph's spelling; null if it is dense."""
    why: str
    """The reason."""
    macs: int | None
    """MACs as it is, null where they are not counted."""
    dense_macs: int | None
    """MACs without the mask, likewise."""


class RunEnvironment(Environment):
    """Where the run was trained, and when it ended."""

    device: str
    """What trained: the GPU's or the processor's name."""
    processes: int
    """How many trained together."""
    held_out: int
    """Images that the accuracies are over."""


class Result(TypedDict):
    """What came of a run."""

    format: str
    """rgp-run/1."""
    name: str
    """EXPERIMENT/NAME, as the folders are called."""
    epochs: int
    """Trained."""
    last: dict[str, float | None]
    """The last epoch: the columns of history.csv."""
    best: dict[str, float | None]
    """The epoch with the highest top-1, likewise."""
    images_per_second: float
    """Training images, the median of the epochs."""
    seconds: float
    """Of the whole run, evaluation included."""
    cost: RunCost
    """What the network takes."""
    settings: dict[str, Any]
    """Every setting, as it was resolved."""
    graphs: list[RunGraph]
    """The graphs in the network, each once."""
    layers: list[RunLayer]
    """The network's convolutions, in its order."""
    environment: RunEnvironment
    """Where it was trained."""
