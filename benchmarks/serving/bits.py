"""Answers over HTTP beside offline ones, all classes, bit for bit, while the baseline lane takes half the machine."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import httpx
import numpy as np
from rich.console import Console

from benchmarks.serving.callers import Answer, call
from benchmarks.serving.part import JPEG, Part
from rgp.bundle import Bundle
from rgp.load.target import Target
from rgp.serve.classify import classify

BASELINE = "0.5"
CALLERS = 2
PAUSE_SECONDS = 0.03
"""On average, so that the lane finds quiet moments and is also interrupted."""


def run(part: Part) -> dict[str, Any]:
    """3,000 answers (200 with --quick)."""
    requests = 200 if part.quick else 3000
    bundle = Bundle.open(part.bundle)
    classes = len(bundle.labels)
    with part.rgp_serve("--baseline", BASELINE, name="bits") as running:
        target = Target.find(running.url)
        plan = target.require_ready()["plan"]
        engine = bundle.start("compiled", threads=plan["threads"])
        expected = [_said(classify(bundle, engine, image, classes).model_dump()) for image in part.images]
        messages = [target.message(image, JPEG, f"/classify?top_k={classes}") for image in part.images]
        outcomes: Counter[str] = Counter()
        rng = np.random.default_rng(0)

        def on_answer(answer: Answer) -> None:
            if answer.status != 200:
                outcomes[str(answer.status)] += 1
                return
            same = _said(json.loads(answer.body)) == expected[answer.index % len(expected)]
            outcomes["equal" if same else "different"] += 1

        call(
            target,
            lambda index: messages[index % len(messages)],
            callers=CALLERS,
            more=lambda index: index < requests,
            on_answer=on_answer,
            pause=lambda: float(rng.exponential(PAUSE_SECONDS)),
        )
        lane = httpx.get(f"{running.url}/latency").json()["lane"]
    result = {"answers": dict(outcomes), "classes": classes, "lane": lane, "plan": plan, "method": __doc__}
    result["verdicts"] = {
        "every answer equal": set(outcomes) == {"equal"},
        "the lane ran beside them": lane["pairs"] > 0 and lane["dropped"]["busy"] > 0,
    }
    console = Console()
    console.print(f"{dict(outcomes)}, {classes} probabilities each; lane: {lane}", markup=False, highlight=False)
    return result


def _said(answer: dict[str, Any]) -> list[tuple[int, float]]:
    """Floats survive JSON: both sides write the shortest number that reads back as the same bits."""
    return [(each["index"], each["probability"]) for each in answer["predictions"]]
