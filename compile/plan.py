"""The plan: for each convolution what was found, what was measured, what was chosen and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rgp import report_form
from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.estimate import estimated_speedup
from rgp.compile.layout import Layout, TermWiring, Wiring, lay_out, wire
from rgp.compile.lowerings import LOWERINGS
from rgp.compile.spaces import Spaces
from rgp.compile.tune import Timing, Tuner, undisturbed


@dataclass(frozen=True)
class LayerPlan:
    """One convolution: the chosen form, the reason, every timing that led to it, why other forms do not apply.

    ``chosen``: the timing of the chosen form where it stands; None for dense.
    """

    conv: Conv
    choice: Choice
    why: str
    timings: tuple[Timing, ...] = ()
    refusals: tuple[str, ...] = ()
    chosen: Timing | None = None
    shuffles: int = 0

    @property
    def macs_share(self) -> float:
        """Share of the dense MACs that the chosen lowering computes."""
        return self.choice.macs_share(self.conv)

    def to_dict(self) -> report_form.Layer:
        """The form that ``report.json`` and ``plan.json`` have."""
        conv, structure = self.conv, self.conv.structure
        (ins, outs), shape = conv.channels, conv.x.shape
        measured = self.chosen or (self.timings[-1] if self.timings else None)
        assert shape is not None
        return {
            "name": conv.name,
            "in_channels": ins,
            "out_channels": outs,
            "kernel": list(conv.kernel),
            "stride": list(conv.node.attributes.get_ints("strides", (1, 1))),
            "image": [side if isinstance(side, int) else None for side in list(shape)[2:]],
            "nodes": structure.nodes,
            "density": structure.density,
            "regular": structure.regular,
            "structure": structure.describe(),
            "lowering": self.choice.lowering,
            "terms": len(self.choice.terms),
            "parts": len(self.choice.terms[0]),
            "macs_share": self.macs_share,
            "dense_macs": conv.macs,
            "shuffles": self.shuffles,
            "dense_ms": measured.dense_ms if measured else None,
            "chosen_ms": (measured.ms if self.chosen else measured.dense_ms) if measured else None,
            "candidates": [_candidate(timing) for timing in self.timings],
            "refusals": list(self.refusals),
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
    included; where its choice does not gain there it takes the next best that does, or dense, and does not come
    back to the first. That changes the layout, so this is repeated until nothing changes.
    """
    layers: dict[str, LayerPlan] = {}
    open_choices: dict[str, list[Choice]] = {}
    for conv in convs:
        on_layer(conv.name)
        layers[conv.name], open_choices[conv.name] = _choose(conv, tuner)
    while True:
        layout = lay_out(convs, {name: layer.choice for name, layer in layers.items()}, spaces)
        settled = {
            name: _settled(layer, layout.wirings[name], open_choices[name], tuner) for name, layer in layers.items()
        }
        if all(settled[name].choice == layer.choice for name, layer in layers.items()):
            return Plan(tuple(settled.values()), layout)
        layers = settled


def given_plan(convs: Sequence[Conv], spaces: Spaces, choices: Mapping[str, Choice], why: str) -> Plan:
    """The plan that makes these ``choices``, by layer name, because ``why``; nothing is measured."""
    layout = lay_out(convs, choices, spaces)
    return Plan(
        tuple(LayerPlan(conv, choices[conv.name], why, shuffles=layout.wirings[conv.name].shuffles) for conv in convs),
        layout,
    )


def all_dense(plan: Plan, why: str) -> Plan:
    """The plan that leaves every convolution as it is, because ``why`` where it was not so before; timings are kept."""
    layers = tuple(
        replace(
            layer,
            choice=Choice.dense(layer.conv),
            why=layer.why if layer.choice.lowering == "dense" else why,
            chosen=None,
            shuffles=0,
        )
        for layer in plan.layers
    )
    wirings = {layer.conv.name: _straight(layer.conv) for layer in layers}
    return Plan(layers, Layout({}, wirings))


def _straight(conv: Conv) -> Wiring:
    x, y = (tuple(range(channels)) for channels in conv.channels)
    return Wiring(x, y, (TermWiring(x, y),))


def possible(conv: Conv) -> tuple[list[Choice], list[str]]:
    """Every choice but dense that leaves something out, and why other lowerings have none."""
    found: list[Choice] = []
    refusals: list[str] = []
    for name, lowering in LOWERINGS.items():
        choices = lowering.choices(conv) if name != "dense" else ()
        if isinstance(choices, str):
            refusals.append(choices)
        else:
            found += choices
    if conv.structure.density == 1:
        refusals = ["no zeros to leave out"]
    return found, refusals


def _choose(conv: Conv, tuner: Tuner) -> tuple[LayerPlan, list[Choice]]:
    """The fastest form of one convolution whose neighbours have the order it wants; and all that are open to it."""
    found, refusals = possible(conv)
    missing = {choice: reason for choice in found if (reason := tuner.refusal(conv, choice)) is not None}
    refusals += [f"not {choice}: {reason}" for choice, reason in missing.items()]
    choices = _promising(conv, [choice for choice in found if choice not in missing], tuner)
    timed = [(tuner.time(conv, choice), choice) for choice in choices]
    timings = tuple(timing for timing, _ in timed)
    faster = [(timing.speedup, timing, choice) for timing, choice in timed if timing.faster]
    if faster:
        _, timing, choice = max(faster, key=lambda each: each[0])
        still_open = [choice for _, _, choice in faster]
        return LayerPlan(conv, choice, str(timing), timings, tuple(refusals), timing), still_open
    why = "dense: " + "; ".join([*map(str, timings), *refusals])
    return LayerPlan(conv, Choice.dense(conv), why, timings, tuple(refusals)), []


def _promising(conv: Conv, choices: Sequence[Choice], tuner: Tuner) -> list[Choice]:
    """Those worth measuring within the budget, and those that one could not tell apart by their estimates."""
    if tuner.budget is None or not choices:
        return list(choices)
    estimates = [estimated_speedup(conv, choice, undisturbed(conv, choice)) for choice in choices]
    enough = max(estimates) / tuner.budget.slack
    return [choice for choice, estimate in zip(choices, estimates, strict=True) if estimate >= enough]


def _settled(layer: LayerPlan, wiring: Wiring, still_open: list[Choice], tuner: Tuner) -> LayerPlan:
    """The layer as it stands in a layout, or its next best choice there, or dense if nothing is faster."""
    if not layer.choice.constrains:
        return layer
    conv = layer.conv
    timing = tuner.time(conv, layer.choice, wiring)
    timings = _with(layer.timings, timing)
    if timing.faster and (not wiring.shuffles or len(still_open) == 1):
        return replace(layer, why=str(timing), timings=timings, chosen=timing, shuffles=wiring.shuffles)
    best = (timing, layer.choice, wiring.shuffles) if timing.faster else None
    for choice in still_open:
        if choice != layer.choice:
            around = wire(conv, choice, wiring.x, wiring.y)
            other = tuner.time(conv, choice, around)
            timings = _with(timings, other)
            if other.faster and (best is None or other.speedup > best[0].speedup):
                best = other, choice, around.shuffles
    if best is None or best[1] != layer.choice:
        still_open.remove(layer.choice)
    if best is None:
        why = f"dense: {timing}"
        return replace(layer, choice=Choice.dense(conv), why=why, timings=timings, chosen=None, shuffles=0)
    return replace(layer, choice=best[1], why=str(best[0]), timings=timings, chosen=best[0], shuffles=best[2])


def _with(timings: tuple[Timing, ...], timing: Timing) -> tuple[Timing, ...]:
    return timings if timing in timings else (*timings, timing)


def _candidate(timing: Timing) -> report_form.Candidate:
    return {
        "lowering": timing.lowering,
        "parts": timing.parts,
        "terms": timing.terms,
        "macs_share": timing.macs_share,
        "estimated_speedup": timing.estimated_speedup,
        "shuffles": timing.shuffles,
        "dense_ms": timing.dense_ms,
        "ms": timing.ms,
        "speedup": timing.speedup,
        "speedup_ci95": list(timing.speedup_ci95) if timing.speedup_ci95 else None,
    }
