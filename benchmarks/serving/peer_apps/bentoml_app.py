"""BentoML: the raw JPEG as the root input; with batches, a service that batches behind the one that decodes."""

# no "from __future__ import annotations": BentoML reads the annotations

from typing import Annotated, Any

import bentoml  # type: ignore[import-not-found]
import numpy as np
from bentoml.validators import ContentType  # type: ignore[import-not-found]
from PIL.Image import Image

from benchmarks.serving.peer_apps.network import BATCH, WORKERS, Network

QUIET = {"access": {"enabled": False}}

if BATCH > 1:

    @bentoml.service(workers=WORKERS, logging=QUIET, traffic={"timeout": 60})
    class Engine:
        """Runs batches."""

        def __init__(self) -> None:
            self.network = Network()

        @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=60_000)  # type: ignore[untyped-decorator]
        def infer(self, pixels: np.ndarray) -> np.ndarray:
            """(B, H, W, C) to (B, classes)."""
            return self.network.engine.run(pixels)

    @bentoml.service(workers=1, logging=QUIET, traffic={"timeout": 60})
    class Classifier:
        """Decodes and ranks."""

        engine = bentoml.depends(Engine)

        def __init__(self) -> None:
            self.network = Network()

        @bentoml.api(route="/classify")  # type: ignore[untyped-decorator]
        async def classify(self, image: Annotated[Image, ContentType("image/jpeg")], /) -> dict[str, Any]:
            """One image."""
            logits = await self.engine.to_async.infer(self.network.preprocess(image)[np.newaxis])
            return self.network.rank(logits)

else:

    @bentoml.service(workers=WORKERS, logging=QUIET, traffic={"timeout": 60})
    class Classifier:  # type: ignore[no-redef]
        """Decodes, runs and ranks."""

        def __init__(self) -> None:
            self.network = Network()

        @bentoml.api(route="/classify")  # type: ignore[untyped-decorator]
        def classify(self, image: Annotated[Image, ContentType("image/jpeg")], /) -> dict[str, Any]:
            """One image."""
            return self.network.rank(self.network.engine.run(self.network.preprocess(image)[np.newaxis]))
