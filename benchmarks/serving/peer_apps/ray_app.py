"""Ray Serve: a replica for each worker; the network runs on a thread of its own, so that the event loop stays free."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import ray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.peer_apps.network import BATCH, PORT, WAIT_SECONDS, WORKERS, Network


@serve.deployment(num_replicas=WORKERS, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Classifier:
    """One replica."""

    def __init__(self) -> None:
        self.network = Network()
        self.thread = ThreadPoolExecutor(1)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """One image, its bytes as the body."""
        data = await request.body()
        if BATCH > 1:
            return await self.several(data)  # type: ignore[no-any-return]
        return (await asyncio.get_running_loop().run_in_executor(self.thread, self.classify, [data]))[0]

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=WAIT_SECONDS)  # type: ignore[untyped-decorator]
    async def several(self, images: list[bytes]) -> list[dict[str, Any]]:
        """What came within the wait."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, self.classify, images)

    def classify(self, images: list[bytes]) -> list[dict[str, Any]]:
        """Decode, run and rank."""
        logits = self.network.engine.run(np.concatenate([self.network.prepare(image) for image in images]))
        return [self.network.rank(row) for row in logits]


if __name__ == "__main__":
    stopped = threading.Event()
    ray.init(
        num_cpus=WORKERS, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False,
        _temp_dir=sys.argv[1],
    )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": PORT}, logging_config={"enable_access_log": False})
    serve.run(Classifier.bind(), route_prefix="/classify")  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stopped.wait()
    ray.shutdown()  # with everything that it started
