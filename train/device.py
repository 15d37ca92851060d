"""Where to compute, and how precisely."""

from __future__ import annotations

import torch

from rgp.errors import UsageError
from rgp.train.config import TrainConfig


def choose_device(config: TrainConfig) -> torch.device:
    """The GPU if there is one and it is not declined; UsageError if it is asked for and missing."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is 'cuda': torch finds no GPU here: give cpu, or auto")
    return torch.device("cpu" if config.device == "cpu" or not torch.cuda.is_available() else "cuda")


def autocast(config: TrainConfig, device: torch.device) -> torch.autocast:
    """A context that may be entered again and again: the precision that ``amp`` wants; UsageError for fp16 on a CPU."""
    if config.amp == "fp16" and device.type == "cpu":
        raise UsageError("amp is 'fp16': that needs a GPU: give bf16, or off")
    enabled = config.amp in ("bf16", "fp16") or (config.amp == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.float16 if config.amp == "fp16" else torch.bfloat16, enabled=enabled)
