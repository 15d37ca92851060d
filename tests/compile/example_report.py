"""A report.json of three layers, as a compilation writes it, for what shows reports."""

from __future__ import annotations

from typing import Any

import numpy as np

from rgp.measure import Comparison

COMPARISON = Comparison(1, np.linspace(3.9, 4.1, 21), np.linspace(1.9, 2.1, 21), np.arange(21) % 8)


def candidate(lowering: str, speedup: float, shuffles: int = 0, terms: int = 1) -> dict[str, Any]:
    """One that was measured, with an interval of 0.1 on both sides."""
    return {
        "lowering": lowering,
        "parts": 4,
        "terms": terms,
        "macs_share": 0.25,
        "estimated_speedup": 2.9,
        "shuffles": shuffles,
        "dense_ms": 1.5,
        "ms": 1.5 / speedup,
        "speedup": speedup,
        "speedup_ci95": [speedup - 0.1, speedup + 0.1],
    }


def layer(name: str, **changes: Any) -> dict[str, Any]:
    """A 3x3 convolution with zeros that stayed dense unmeasured, but for ``changes``."""
    return {
        "name": name,
        "in_channels": 64,
        "out_channels": 128,
        "kernel": [3, 3],
        "stride": [2, 2],
        "image": [16, 16],
        "nodes": 16,
        "density": 0.25,
        "regular": True,
        "structure": "16 x 16 classes, every output class reads 4",
        "lowering": "dense",
        "terms": 1,
        "parts": 1,
        "macs_share": 1.0,
        "dense_macs": 4_718_592,
        "shuffles": 0,
        "shuffled": [],
        "dense_ms": None,
        "chosen_ms": None,
        "candidates": [],
        "refusals": [],
        "why": "dense: nothing applies",
        **changes,
    }


def report(*layers: dict[str, Any]) -> dict[str, Any]:
    """``layers``, by default a stem without zeros, a lowered layer and one that fell back to dense."""
    stem = layer("conv1", density=1.0, why="dense: no zeros to leave out", refusals=["no zeros to leave out"])
    lowered = layer(
        "layer1.conv1",
        lowering="grouped",
        parts=4,
        macs_share=0.25,
        shuffles=1,
        shuffled=["input"],
        dense_ms=1.5,
        chosen_ms=0.75,
        candidates=[candidate("grouped", 2.5), candidate("sliced", 1.3), candidate("grouped", 2.0, 1)],
        refusals=["not matmul: only a 1x1 convolution is a matrix product"],
        why="grouped 4 with 1 shuffle measured 2.00x dense [1.90, 2.10]",
    )
    fallen = layer(
        "layer1.conv2",
        dense_ms=1.5,
        chosen_ms=1.5,
        candidates=[candidate("grouped", 1.2), candidate("sliced", 1.05)],
        why="dense: grouped 4 with 2 shuffles measured 0.95x dense [0.85, 1.05]",
    )
    return {
        "name": "small_resnet affine:16_4",
        "verdict": "2.00x faster than dense at batch 1 [1.90 to 2.10]",
        "source": "checkpoint",
        "precision": "fp32",
        "engine": "ort",
        "tune": "quick",
        "environment": {
            "cpu": "A processor",
            "cores": 2,
            "system": "Linux",
            "python": "3.11",
            "versions": {"rgp": "0.1.0"},
            "time": "2026-01-01T00:00:00+00:00",
            "engine": "ort",
            "version": "1.32.0",
            "device": "cpu",
            "threads": 2,
        },
        "cost": {
            "dense_macs": 20_000_000,
            "macs": 5_000_000,
            "compiled_macs": 16_461_056,
            "dense_parameters": 200_000,
            "parameters": 50_000,
        },
        "equivalence": {
            "max_abs_diff": 1e-7,
            "max_abs_logit": 3.0,
            "top1_agreement": 1.0,
            "inputs": 40,
            "real_images": 0,
            "batches": [1, 2, 7],
            "tolerance": 1e-4,
        },
        "latency": [COMPARISON.to_dict()],
        "sizes": {"dense.onnx": 800_000, "compiled.onnx": 200_000},
        "stages": {"planning": 3.2, "verifying": 1.1},
        "layers": list(layers) or [stem, lowered, fallen],
    }
