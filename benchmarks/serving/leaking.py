"""rgp-serve with a leak, to prove that the soak finds one: ``RGP_BENCH_LEAK`` bytes are kept for each image."""

from __future__ import annotations

import os
import sys

from rgp.serve.__main__ import main
from rgp.serve.answers import Timing
from rgp.serve.metrics import Metrics

KEPT: list[bytes] = []


def leak(size: int) -> None:
    """Have every classified image leave ``size`` bytes behind."""
    count = Metrics.image

    def counted(self: Metrics, timing: Timing) -> None:
        KEPT.append(b"x" * size + str(len(KEPT)).encode())
        count(self, timing)

    Metrics.image = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    leak(int(os.environ["RGP_BENCH_LEAK"]))
    sys.exit(main())
