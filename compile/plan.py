"""The plan: for each convolution what was found, what was measured, what was chosen and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rgp.compile.convs import Conv
from rgp.compile.layout import Choice, Layout, Wiring, lay_out
from rgp.compile.lowerings import LOWERINGS, macs_share
from rgp.compile.spaces import Spaces
from rgp.compile.tune import Timing, Tuner


@dataclass(frozen=True)
class LayerPlan:
    """One convolution: the chosen form, the reason, and every timing that led to it."""

    conv: Conv
    choice: Choice
    why: str
    timings: tuple[Timing, ...]
    shuffles: int = 0

    @property
    def macs_share(self) -> float:
        """Share of the dense MACs that the chosen lowering computes."""
        return macs_share(self.choice.parts, self.conv)

    def to_dict(self) -> dict[str, Any]:
        """The form that ``report.json`` has."""
        ins, outs = self.conv.channels
        last = self.timings[-1] if self.timings else None
        return {
            "name": self.conv.name,
            "in_channels": ins,
            "out_channels": outs,
            "kernel": list(self.conv.kernel),
            "nodes": self.conv.structure.nodes,
            "density": self.conv.structure.density,
            "lowering": self.choice.lowering,
            "parts": len(self.choice.parts),
            "macs_share": self.macs_share,
            "shuffles": self.shuffles,
            "dense_ms": last and last.dense_ms,
            "chosen_ms": last and (last.ms if self.choice.constrains else last.dense_ms),
            "why": self.why,
        }


@dataclass(frozen=True)
class Plan:
    """Every convolution that the compiler may lower, in running order, and the layout that connects them."""

    layers: tuple[LayerPlan, ...]
    layout: Layout

    @property
    def choices(self) -> dict[str, Choice]:
        """By layer name."""
        return {layer.conv.name: layer.choice for layer in self.layers}

    @property
    def lowers_nothing(self) -> bool:
        """Whether every convolution stays dense."""
        return all(layer.choice.lowering == "dense" for layer in self.layers)


def make_plan(
    convs: Sequence[Conv], spaces: Spaces, tuner: Tuner, on_layer: Callable[[str], None] = lambda name: None
) -> Plan:
    """Choose for each convolution the lowering that measures fastest, dense where none beats it.

    First each is measured alone. Then, with the layout known, each is measured as it stands in it, shuffles
    included, and falls back to dense where it does not gain. That changes the layout, so this is repeated until
    nothing changes: each round only turns more of them dense.
    """
    layers: dict[str, LayerPlan] = {}
    for conv in convs:
        on_layer(conv.name)
        layers[conv.name] = _choose(conv, tuner)
    while True:
        layout = lay_out(convs, {name: layer.choice for name, layer in layers.items()}, spaces)
        settled = {name: _settled(layer, layout.wirings[name], tuner) for name, layer in layers.items()}
        if all(settled[name].choice == layer.choice for name, layer in layers.items()):
            return Plan(tuple(settled.values()), layout)
        layers = settled


def all_dense(plan: Plan, spaces: Spaces, why: str) -> Plan:
    """The plan that leaves every convolution as it is, because ``why``; the timings are kept."""
    layers = tuple(LayerPlan(layer.conv, Choice.dense(layer.conv), why, layer.timings) for layer in plan.layers)
    convs = [layer.conv for layer in layers]
    return Plan(layers, lay_out(convs, {layer.conv.name: layer.choice for layer in layers}, spaces))


def _choose(conv: Conv, tuner: Tuner) -> LayerPlan:
    """The fastest lowering of one convolution whose neighbours have the order it wants."""
    timings: list[Timing] = []
    refusals: list[str] = []
    best: tuple[Timing, Choice] | None = None
    for name, lowering in LOWERINGS.items():
        parts = lowering.split(conv.structure)
        if isinstance(parts, str):
            refusals.append(parts)
        elif len(parts) > 1:
            choice = Choice(name, parts)
            timing = tuner.time(conv, choice)
            timings.append(timing)
            if timing.faster and (best is None or timing.speedup > best[0].speedup):
                best = timing, choice
    if best:
        return LayerPlan(conv, best[1], str(best[0]), tuple(timings))
    if conv.structure.density == 1:
        refusals = ["no zeros to leave out"]
    return LayerPlan(conv, Choice.dense(conv), "dense: " + "; ".join([*map(str, timings), *refusals]), tuple(timings))


def _settled(layer: LayerPlan, wiring: Wiring, tuner: Tuner) -> LayerPlan:
    """The layer as it stands in a layout, or dense if it is not faster there."""
    if not layer.choice.constrains:
        return layer
    timing = tuner.time(layer.conv, layer.choice, wiring)
    timings = (*layer.timings, timing)
    if not timing.faster:
        return LayerPlan(layer.conv, Choice.dense(layer.conv), f"dense: {timing}", timings)
    return LayerPlan(layer.conv, layer.choice, str(timing), timings, wiring.shuffles)
