"""Measure the ways to run a convolution, each against dense, interleaved, on the engine that will run it.

A convolution is timed inside a small network (``rgp.compile.probe``). Equal shapes are measured once, and kept for the
next compilation (``rgp.compile.tune_cache``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.estimate import estimated_speedup
from rgp.compile.layout import TermWiring, Wiring, wire
from rgp.compile.probe import PROBES, Probe, image_shape
from rgp.compile.structure import Channels
from rgp.compile.tune_cache import TuneCache
from rgp.engines import Engine
from rgp.measure import Run, interleave, median_ci95

REVISION = 4
"""Changes whenever the probe or a lowering changes what it emits: older answers no longer count."""


@dataclass(frozen=True)
class Budget:
    """How much is spent on one question.

    ``slack``: choices are measured whose estimate is at most so many times slower than the best one's.
    """

    pairs: int
    seconds: float
    builds: int
    slack: float


BUDGETS: dict[str, Budget | None] = {
    "off": None,
    "quick": Budget(pairs=16, seconds=0.12, builds=2, slack=1.6),
    "full": Budget(pairs=60, seconds=0.4, builds=4, slack=float("inf")),
}
"""By the name that ``--tune`` has; off: nothing is measured, estimates decide."""
ATTEMPTS = 4
"""How often a question is measured at most, until the interval of its answer leaves 1 out."""
SURELY = 1.2
"""Unmeasured, a choice counts as faster from this estimate on."""


@dataclass(frozen=True)
class Timing:
    """One way to run a convolution against dense: medians in ms, the median ratio and its 95% interval.

    Where nothing was measured there are no times, and the speed-up is the estimate.
    """

    lowering: str
    parts: int
    terms: int
    shuffles: int
    macs_share: float
    estimated_speedup: float
    dense_ms: float | None
    ms: float | None
    speedup: float
    speedup_ci95: tuple[float, float] | None

    @property
    def faster(self) -> bool:
        """Faster than dense beyond the noise."""
        return self.speedup_ci95[0] > 1 if self.speedup_ci95 else self.speedup > SURELY

    def __str__(self) -> str:
        shuffles = f" with {self.shuffles} shuffle{'s' * (self.shuffles > 1)}" if self.shuffles else ""
        form = f"{self.lowering}{f' x {self.terms} summed' if self.terms > 1 else ''}{shuffles}"
        if self.speedup_ci95 is None:
            return f"{form} is estimated {self.speedup:.2f}x dense"
        low, high = self.speedup_ci95
        return f"{form} measured {self.speedup:.2f}x dense [{low:.2f}, {high:.2f}]"


class Tuner:
    """Measures at batch 1 on the engine that ``start`` builds from an ONNX file's bytes.

    ``identity``: all that decides its times (engine, version, device, threads, CPU); ``budget`` None: estimates.
    ``refusal``: why the engine has no kernel for a choice, None if it has. ``precision``: one of PROBES, that in which
    it is measured.
    """

    def __init__(
        self,
        start: Callable[[bytes], Engine],
        identity: Mapping[str, Any],
        budget: Budget | None,
        cache: TuneCache | None = None,
        refusal: Callable[[Conv, Choice], str | None] = lambda conv, choice: None,
        *,
        precision: str = "fp32",
    ) -> None:
        self.budget, self.refusal, self._probe = budget, refusal, PROBES[precision]
        self._start, self._identity, self._cache = start, identity, cache or TuneCache(None)
        self._known: dict[str, Timing] = {}

    def time(self, conv: Conv, choice: Choice, wiring: Wiring | None = None) -> Timing:
        """Measure ``choice`` for ``conv``; without ``wiring`` as if every tensor had the order it wants."""
        wiring = wiring or undisturbed(conv, choice)
        question = self._question(conv, choice, wiring)
        key = json.dumps(question, sort_keys=True)
        if key not in self._known:
            self._known[key] = self._answer(question, conv, choice, wiring)
        return self._known[key]

    def _question(self, conv: Conv, choice: Choice, wiring: Wiring) -> dict[str, Any]:
        places = []  # where each part's inputs lie decides between a slice and a gather
        for term, orders in zip(choice.terms, wiring.terms, strict=True):
            place = {channel: index for index, channel in enumerate(orders.reads)}
            parts = [[len(part.outs), sorted(place[channel] for channel in part.ins)] for part in term]
            places.append(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16])
        return {
            "revision": REVISION,
            **self._identity,
            "budget": self.budget and asdict(self.budget),
            "in": list(image_shape(conv)),
            "out": conv.channels[1],
            "kernel": list(conv.kernel),
            "bias": conv.bias is not None,
            "attributes": {name: str(attribute.value) for name, attribute in sorted(conv.attributes.items())},
            "lowering": choice.lowering,
            "parts": places,
            "shuffles": [[term.reads != wiring.x, term.writes != wiring.y] for term in wiring.terms],
        }

    def _answer(self, question: Mapping[str, Any], conv: Conv, choice: Choice, wiring: Wiring) -> Timing:
        estimate = estimated_speedup(conv, choice, wiring)
        measured: dict[str, Any] = {"dense_ms": None, "ms": None, "speedup": estimate, "speedup_ci95": None}
        if self.budget is not None:
            known = self._cache.get(question)
            if known is not None and known.keys() == measured.keys():
                measured = known
            else:
                measured = self._measure(conv, choice, wiring, self.budget)
                self._cache.put(question, measured)
        ci = measured["speedup_ci95"]
        return Timing(
            choice.lowering,
            len(choice.terms[0]),
            len(choice.terms),
            wiring.shuffles,
            choice.macs_share(conv),
            estimate,
            measured["dense_ms"],
            measured["ms"],
            measured["speedup"],
            ci and (ci[0], ci[1]),
        )

    def _measure(self, conv: Conv, choice: Choice, wiring: Wiring, budget: Budget) -> dict[str, Any]:
        ins, outs = (tuple(range(count)) for count in conv.channels)
        dense = Choice.dense(conv)
        straight = Wiring(ins, outs, (TermWiring(ins, outs),))
        plain, lowered = self._probe(conv, dense, straight), self._probe(conv, choice, wiring)

        def running(probe: Probe) -> Callable[[], Run]:
            return lambda: partial(self._start(probe.model).run, probe.image)

        dense_ms, ms, build = (np.empty(0) for _ in range(3))
        for attempt in range(ATTEMPTS):  # on a busy machine the first interval may be wide
            found = interleave(
                running(plain),
                running(lowered),
                pairs=budget.pairs,
                seconds=budget.seconds,
                builds=budget.builds,
                seed=attempt,
            )
            dense_ms, ms = np.append(dense_ms, found[0]), np.append(ms, found[1])
            build = np.append(build, found[2] + attempt * budget.builds)
            ratio = dense_ms / ms
            low, high = median_ci95(ratio, build.astype(np.int64), resamples=500)
            if low > 1 or high < 1:
                break
        return {
            "dense_ms": float(np.median(dense_ms)),
            "ms": float(np.median(ms)),
            "speedup": float(np.median(ratio)),
            "speedup_ci95": [low, high],
        }


def undisturbed(conv: Conv, choice: Choice) -> Wiring:
    """As if the tensors had the order that the first term wants; further terms of a sum are shuffled."""
    term = choice.terms[0]
    x: Channels = tuple(c for part in choice.ins(term) for c in part) or tuple(range(conv.channels[0]))
    y: Channels = tuple(c for part in choice.outs(term) for c in part) or tuple(range(conv.channels[1]))
    return wire(conv, choice, x, y)
