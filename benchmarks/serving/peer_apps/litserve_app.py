"""LitServe: the raw JPEG as the body, decoded in the workers."""

# no "from __future__ import annotations": LitServe hands the annotation of decode_request to FastAPI as it is

from typing import Annotated, Any

import litserve  # type: ignore[import-not-found]
import numpy as np
from fastapi import Body
from numpy.typing import NDArray

from benchmarks.serving.peer_apps.network import BATCH, PORT, WAIT_SECONDS, WORKERS, Network


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """One worker."""

    def setup(self, device: str) -> None:
        """LitServe's: in the worker, before its first request."""
        self.network = Network()

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> NDArray[np.uint8]:
        """LitServe's: a request's body to (1, H, W, C)."""
        return self.network.prepare(request)

    def batch(self, inputs: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """LitServe's: several to (B, H, W, C)."""
        return np.concatenate(inputs)

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """LitServe's: to (B, classes)."""
        return self.network.engine.run(pixels)

    def unbatch(self, output: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """LitServe's: to each its own."""
        return list(output)

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, Any]:
        """LitServe's: to what becomes JSON."""
        return self.network.rank(output)


if __name__ == "__main__":
    api = Classifier(max_batch_size=BATCH, batch_timeout=WAIT_SECONDS if BATCH > 1 else 0, api_path="/classify")
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=WORKERS, timeout=False, fast_queue=True
    )
    server.run(
        host="127.0.0.1", port=PORT, log_level="warning", access_log=False, generate_client_file=False
    )  # fmt: skip
