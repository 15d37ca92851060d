"""Measure the ways to run a convolution, each against dense, interleaved, on the engine that will run it.

A convolution is timed inside a small network (a depthwise convolution before it, global pooling after it), so
that ONNX Runtime's layout changes at the ends fall on both sides alike. Equal shapes are measured once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import onnx_ir as ir

from rgp.compile.convs import Conv
from rgp.compile.export import OPSET, serialize
from rgp.compile.layout import Choice, Wiring
from rgp.compile.nodes import initializer
from rgp.compile.rewrite import lower, register_constants
from rgp.compile.structure import Channels
from rgp.engines.ort import session
from rgp.measure import Run, interleave, median_ci95

BUILDS = 4


@dataclass(frozen=True)
class Timing:
    """One way to run a convolution against dense: medians in ms, the median ratio and its 95% interval."""

    lowering: str
    shuffles: int
    dense_ms: float
    ms: float
    speedup: float
    speedup_ci95: tuple[float, float]

    @property
    def faster(self) -> bool:
        """Faster than dense beyond the noise."""
        return self.speedup_ci95[0] > 1

    def __str__(self) -> str:
        low, high = self.speedup_ci95
        shuffles = f" with {self.shuffles} shuffle{'s' * (self.shuffles > 1)}" if self.shuffles else ""
        return f"{self.lowering}{shuffles} measured {self.speedup:.2f}x dense [{low:.2f}, {high:.2f}]"


@dataclass
class Tuner:
    """Measures at batch 1 on ``threads`` threads; remembers what it measured."""

    threads: int
    pairs: int = 60
    seconds: float = 0.3
    _known: dict[Hashable, Timing] = field(default_factory=dict)

    def time(self, conv: Conv, choice: Choice, wiring: Wiring | None = None) -> Timing:
        """Measure ``choice`` for ``conv``; without ``wiring`` as if every tensor had the order it wants."""
        wiring = wiring or _undisturbed(conv, choice)
        place = {channel: index for index, channel in enumerate(wiring.reads)}
        key = (
            conv.channels,
            conv.kernel,
            str(sorted(conv.attributes.items())),
            _image_shape(conv),
            choice.lowering,
            # where each part's inputs lie decides between a slice and a gather
            tuple((len(part.outs), tuple(sorted(place[channel] for channel in part.ins))) for part in choice.parts),
            wiring.x != wiring.reads,
            wiring.writes != wiring.y,
        )
        if key not in self._known:
            self._known[key] = self._measure(conv, choice, wiring)
        return self._known[key]

    def _measure(self, conv: Conv, choice: Choice, wiring: Wiring) -> Timing:
        ins, outs = (tuple(range(count)) for count in conv.channels)
        plain = _probe(conv, Choice.dense(conv), Wiring(ins, ins, outs, outs))
        lowered = _probe(conv, choice, wiring)
        image = np.random.default_rng(0).random((1, *_image_shape(conv)), np.float32)

        def running(model: bytes) -> Callable[[], Run]:
            return lambda: partial(session(model, threads=self.threads).run, None, {"x": image})

        dense_ms, ms, build = interleave(
            running(plain), running(lowered), pairs=self.pairs, seconds=self.seconds, builds=BUILDS
        )
        ratio = dense_ms / ms
        return Timing(
            choice.lowering,
            wiring.shuffles,
            float(np.median(dense_ms)),
            float(np.median(ms)),
            float(np.median(ratio)),
            median_ci95(ratio, build),
        )


def _undisturbed(conv: Conv, choice: Choice) -> Wiring:
    """As if every tensor had the order that ``choice`` wants."""
    x: Channels = tuple(channel for part in choice.ins for channel in part) or tuple(range(conv.channels[0]))
    y: Channels = tuple(channel for part in choice.outs for channel in part)
    return Wiring(x, x, y, y)


def _image_shape(conv: Conv) -> tuple[int, ...]:
    """(I, H, W) of the convolution's input."""
    assert conv.x.shape is not None
    return tuple(int(side) for side in list(conv.x.shape)[1:] if isinstance(side, int))


def _probe(conv: Conv, choice: Choice, wiring: Wiring) -> bytes:
    """A small network around the convolution: depthwise 1x1, the convolution, global average pooling."""
    channels = conv.channels[0]
    x = ir.Value(name="x", shape=ir.Shape([1, *_image_shape(conv)]), type=ir.TensorType(ir.DataType.FLOAT))
    ones = initializer("before.weight", np.ones((channels, 1, 1, 1), np.float32))
    before = ir.Node("", "Conv", [x, ones], [ir.AttrInt64("group", channels)], num_outputs=1)
    before.outputs[0].shape, before.outputs[0].type = x.shape, x.type
    nodes = lower(conv, choice, wiring, before.outputs[0], {})
    pool = ir.Node("", "GlobalAveragePool", [nodes[-1].outputs[0]], num_outputs=1)
    y = pool.outputs[0]
    y.name, y.type, y.shape = "y", x.type, ir.Shape([1, conv.channels[1], 1, 1])
    graph = ir.Graph([x], [y], nodes=[before, *nodes, pool], opset_imports={"": OPSET}, name="probe")
    register_constants(graph)
    return serialize(ir.Model(graph, ir_version=10))
