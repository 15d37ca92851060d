"""What is counted: for Prometheus, and the last requests' times for ``GET /latency``.

Times are histograms in milliseconds: buckets of several processes add up, percentiles do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rgp.serve.answers import Percentiles, Timing
from rgp.serve.network import Network

STAGES = ("queue", "decode", "preprocess", "inference", "total")
BUCKETS_MS = (0.25, 0.5, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 30_000)
KEPT = 1000
GAUGES = {
    "images_in_work": "Images that were admitted and not answered yet.",
    "images_in_work_limit": "Most images that are admitted at once.",
    "queue_depth": "Images that wait for the engine.",
    "bodies_being_read": "Requests whose body is on its way.",
    "ready": "1 if the last canary inference was right and requests are welcome, else 0.",
}


class Metrics:
    """One process's figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "rgp_requests", "Answers; status 499: the client left.", ("route", "status"), registry=self.registry
        )
        self._refused = Counter(
            "rgp_rejections", "Requests refused for load: queue, readers, rate, deadline, body.", ("reason",),
            registry=self.registry,
        )  # fmt: skip
        self._stages = Histogram(
            "rgp_stage_milliseconds", "Where an image's time went, in milliseconds.", ("stage",), buckets=BUCKETS_MS,
            registry=self.registry,
        )  # fmt: skip
        self._request_ms = Histogram(
            "rgp_request_milliseconds", "From a request's headers to its answer's last byte, in ms.", ("route",),
            buckets=BUCKETS_MS, registry=self.registry,
        )  # fmt: skip
        self._batches = Histogram(
            "rgp_batch_images",
            "Images in one inference.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )
        self._recent: dict[str, deque[float]] = {stage: deque(maxlen=KEPT) for stage in STAGES}
        self.inference_ms: float | None = None
        """A moving average over the last images, cheap to read when there is no time."""

    def request(self, route: str, status: int, ms: float) -> None:
        """An answer went out."""
        self._requests.labels(route, str(status)).inc()
        self._request_ms.labels(route).observe(ms)

    def refused(self, reason: str) -> None:
        """A request was refused for load: queue, readers, rate, deadline, body."""
        self._refused.labels(reason).inc()

    def image(self, timing: Timing) -> None:
        """An image was classified."""
        before = timing.inference if self.inference_ms is None else self.inference_ms
        self.inference_ms = before + 0.1 * (timing.inference - before)
        for stage in STAGES:
            ms = getattr(timing, stage)
            self._stages.labels(stage).observe(ms)
            self._recent[stage].append(ms)

    def batch(self, images: int) -> None:
        """The engine begins with so many."""
        self._batches.observe(images)

    def percentiles(self) -> dict[str, Percentiles]:
        """Of each stage, over the last images; {} before the first."""
        found = {}
        for stage, kept in self._recent.items():
            if kept:
                p50, p90, p99 = np.percentile(kept, (50, 90, 99)).tolist()
                found[stage] = Percentiles(p50=p50, p90=p90, p99=p99, n=len(kept))
        return found

    def recent(self) -> list[tuple[float, float]]:
        """Inference and total milliseconds of the last images."""
        return list(zip(self._recent["inference"], self._recent["total"], strict=False))


class Live(Collector):
    """Figures that are read when Prometheus asks."""

    def __init__(self, network: Callable[[], Network], gauges: Callable[[], dict[str, float]]) -> None:
        self._network, self._gauges = network, gauges

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"rgp_{name}", GAUGES[name], value)
        network = self._network()
        info = GaugeMetricFamily("rgp_model", "The network that answers: 1.", labels=("name", "sha256"))
        info.add_metric((network.model.name, network.model.sha256), 1)
        yield info
        if network.lane is None:
            return
        if (live := network.lane.live()) is not None:
            for name, text, value in (
                ("dense_milliseconds", "The dense engine's median time, live.", live.dense_ms_p50),
                ("compiled_milliseconds", "The compiled engine's median time, live.", live.compiled_ms_p50),
                ("speedup", "Median of the live pairs' ratios dense / compiled.", live.speedup),
                ("speedup_low", "Lower end of its 95% interval.", live.speedup_ci95[0]),
                ("speedup_high", "Upper end of its 95% interval.", live.speedup_ci95[1]),
                ("age_seconds", "Since the newest live pair.", live.age_s or 0.0),
            ):
                yield GaugeMetricFamily(f"rgp_baseline_{name}", text, value)
        state = network.lane.state()
        yield CounterMetricFamily("rgp_baseline_pairs", "Pairs measured.", value=state.pairs)
        dropped = CounterMetricFamily(
            "rgp_baseline_dropped", "Pairs or images let go: busy, budget, failed, stale.", labels=("reason",)
        )
        for reason, count in state.dropped.items():
            dropped.add_metric((reason,), count)
        yield dropped
        if (agreement := network.lane.agreement()) is not None:
            yield CounterMetricFamily("rgp_agreement_same", "Live images named alike by both.", value=agreement.agree)
            yield CounterMetricFamily("rgp_agreement_compared", "Live images that both named.", value=agreement.n)
