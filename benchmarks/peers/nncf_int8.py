"""``python -m benchmarks.peers.nncf_int8 FOLDER``: dense.onnx as int8 for OpenVINO, by NNCF, in its environment."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main() -> int:
    """Per-channel weights, calibrated on calibration.npy; writes nncf-int8.xml and its weights."""
    import nncf  # type: ignore[import-not-found]
    import openvino as ov  # type: ignore[import-not-found]

    folder = Path(sys.argv[1])
    images = np.load(folder / "calibration.npy")
    model = ov.Core().read_model(folder / "dense.onnx")
    data = nncf.Dataset([image[None] for image in images])
    small = nncf.quantize(model, data, subset_size=len(images), preset=nncf.QuantizationPreset.MIXED)
    ov.save_model(small, folder / "nncf-int8.xml", compress_to_fp16=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
