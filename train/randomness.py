"""The global random generators: seeded once, saved in a checkpoint, restored on resume.

Order and augmentation of the images do not use them (see ``rgp.train.batches``); the first weights do, and so
does any layer that is random in training, as dropout is.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators, the GPU's included."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_process(seed: int, index: int) -> None:
    """Let each of the processes that train together draw numbers of its own; the first goes on as it is."""
    if index:
        seed_all((seed + index * 1_000_003) % 2**32)


def random_state(device: torch.device) -> dict[str, Any]:
    """The states as plain values and tensors, which ``torch.load(weights_only=True)`` reads."""
    numpy_state = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = numpy_state["state"]["key"].tolist()
    return {
        "python": random.getstate(),
        "numpy": numpy_state,
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put back what ``random_state`` gave; a GPU keeps its own where the state comes from a CPU."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
