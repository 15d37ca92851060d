"""rgp: networks pruned by regular graphs, compiled into engines that are really faster.

This package is the shared vocabulary; ``rgp.train``, ``rgp.compile``, ``rgp.serve`` and ``rgp.models`` are
its four users. Nothing here imports torch on import, so that a service can do without it.
"""

import os

# ONNX Runtime's packages (1.32) send telemetry to their maker unless this is set when they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
