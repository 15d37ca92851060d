"""What every peer serves: the bundle's compiled network on the engine that rgp-serve has, and its preprocessing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgp.bundle import Bundle
from rgp.images import decode

BUNDLE = Path(os.environ.get("RGP_PEER_BUNDLE", ""))
PORT = int(os.environ.get("RGP_PEER_PORT", 0))
WORKERS = int(os.environ.get("RGP_PEER_WORKERS", 1))
THREADS = int(os.environ.get("RGP_PEER_THREADS", 1))
BATCH = int(os.environ.get("RGP_PEER_BATCH", 1))
WAIT_SECONDS = 0.005
"""A batch waits so long for company."""


class Network:
    """One worker's: decode, run, rank."""

    def __init__(self) -> None:
        bundle = Bundle.open(BUNDLE)
        self.preprocess = bundle.require_images()
        self.labels = bundle.labels
        self.engine = bundle.start("compiled", threads=THREADS)

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        """An image file's bytes to (1, size, size, channels)."""
        return self.preprocess(decode(data, self.preprocess.resize))[np.newaxis]

    def rank(self, logits: NDArray[np.float32]) -> dict[str, Any]:
        """(classes,) or (1, classes) logits to the five most probable classes."""
        logits = logits.ravel()
        shares = np.exp(logits.astype(np.float64) - logits.max())
        shares /= shares.sum()
        best = np.argsort(-shares, kind="stable")[:5].tolist()
        return {"predictions": [{"label": self.labels[i], "index": i, "probability": float(shares[i])} for i in best]}
