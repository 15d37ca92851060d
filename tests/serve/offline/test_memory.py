"""Memory does not grow with the input: a tar file of 600 MB takes no more than one of 60."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from rgp.bundle import Bundle
from tests.serve.serving import ROOT
from tests.serve.tiny import encoded

MEASURED = """
import resource, sys
from rgp.serve.offline.__main__ import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
BOUND_MB = 100
"""What one run may take more than the other; 256 MB would be read ahead if nothing but that bound it."""


def peak_mb(bundle: Bundle, path: Path) -> float:
    arguments = [path, "--bundle", bundle.path, "-o", path.with_suffix(".parquet"), "--threads", "1", "--json"]
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, cwd=ROOT, check=True,
    )  # fmt: skip
    assert '"errors": 0' in ran.stdout
    return int(ran.stderr) * 1024 / 1e6


def test_ten_times_the_input_takes_no_more_memory(bundle: Bundle, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(256, size=(400, 500, 3), dtype=np.uint8)
    image = encoded(Image.fromarray(noise), "PNG")  # 600 kB: noise does not shrink
    peaks = []
    for count in (100, 1000):
        path = tmp_path / f"{count}.tar"
        with tarfile.open(path, "w") as tar:
            for number in range(count):
                info = tarfile.TarInfo(f"{number}.png")
                info.size = len(image)
                tar.addfile(info, io.BytesIO(image))
        peaks.append(peak_mb(bundle, path))
        path.unlink()
    assert peaks[1] - peaks[0] < BOUND_MB, peaks
