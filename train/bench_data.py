"""`rgp-train --bench-data`: how fast training images arrive, without a network to wait for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from rgp.environment import environment
from rgp.errors import UsageError
from rgp.train.augment import Augmenter
from rgp.train.batches import TrainingBatches
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.dataset import ImageData

SECONDS = 10.0
SINGLE = 32
"""Images that are timed one by one, in this process."""


def bench_data(config: TrainConfig) -> None:
    """Print images/s over an epoch or SECONDS of it, whichever is less, and what one image costs; then as JSON.

    Worker processes deliver in bursts: a measurement is of as many batches as there are workers.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("bench_data measures the loader of one process: start it without torchrun")
    data = load_data(config)
    batches = TrainingBatches(data, config.batch_size, config.seed, config.workers, pin=False)
    turn = max(1, config.workers)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("warming up", total=SECONDS)
        for _ in islice(batches.epoch(0), 2 * turn + 1):
            pass
        progress.update(task, description="measuring")
        rates = _rates(batches, turn, lambda seconds: progress.update(task, completed=seconds))
    low, median, high = np.quantile(rates, [0.25, 0.5, 0.75])
    decode_ms, augment_ms = _one_image(data, config.seed)
    size = f"{data.preprocess.size} x {data.preprocess.size}"
    figures: dict[str, Any] = {
        "data": config.data,
        "images_per_s": round(float(median), 1),
        "quartiles": [round(float(low), 1), round(float(high), 1)],
        "measurements": len(rates),
        "workers": config.workers,
        "batch": batches.order["batch"],
        "size": data.preprocess.size,
        "decode_ms": round(decode_ms, 3),
        "augment_ms": round(augment_ms, 3),
        "environment": environment(),
    }
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{config.data}: {median:.0f} images/s of {size} (median of {len(rates)} measurements; half lie between "
        f"{low:.0f} and {high:.0f}), {config.workers} workers, batches of {figures['batch']}"
    )
    console.print(f"one image in one process: {decode_ms:.2f} ms to read and decode, {augment_ms:.2f} ms to augment")
    print(json.dumps(figures))


def _rates(batches: TrainingBatches, turn: int, tell: Callable[[float], None]) -> list[float]:
    """Images/s of each ``turn`` batches of an epoch."""
    rates, images, began = [], 0, time.perf_counter()
    since = began
    for number, (some, _) in enumerate(batches.epoch(1), start=1):
        images += len(some)
        if number % turn and number < len(batches):
            continue
        now = time.perf_counter()
        rates.append(images / (now - since))
        since, images = now, 0
        tell(now - began)
        if now - began > SECONDS:
            break
    return rates


def _one_image(data: ImageData, seed: int) -> tuple[float, float]:
    """Median milliseconds to read and decode an image, and to augment it."""
    augmenter = Augmenter(data)
    times = []
    for index in range(min(SINGLE, len(data.train))):
        began = time.perf_counter()
        image, _ = data.train[index]
        decoded = time.perf_counter()
        augmenter(image, seed + index)
        times.append((decoded - began, time.perf_counter() - decoded))
    decode, augment = np.median(times, axis=0)
    return 1000 * decode, 1000 * augment
