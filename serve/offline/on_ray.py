"""The same rows from a cluster: Ray Data gives each actor a source after the other, and keeps their order."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError

from rgp.bundle import Bundle
from rgp.environment import available_cores
from rgp.errors import EngineError, UsageError
from rgp.serve.answers import ThreadPlan
from rgp.serve.offline.classifier import SCHEMA, Classifier
from rgp.serve.offline.source import Source
from rgp.serve.offline.stream import BEGIN, Cursor, Done, classified

WINDOW = 4096
"""Sources that are described to Ray at once: it holds all of them."""


def classified_on_ray(
    address: str, sources: Iterable[Source], bundle: Bundle, plan: ThreadPlan, top_k: int, start: Cursor = BEGIN
) -> Iterator[Done]:
    """As ``stream.classified``; the workers must see the input under the same paths. The bundle is sent to them.

    Each actor has one lane and as many CPUs as the plan's threads, so the rows are those of one machine. UsageError
    for a cluster that cannot be reached or is too small, EngineError if an engine fails.
    """
    _connect(address)
    try:
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        on_gpu = bundle.target.device != "cpu"
        actors = int(
            ray.cluster_resources().get("GPU", 0) if on_gpu else ray.cluster_resources()["CPU"] // plan.threads
        )
        if actors < 1:
            raise UsageError(
                f"--ray {address}: it has no {'GPU' if on_gpu else f'{plan.threads} CPUs'}: give --threads 1"
            )
        shared = ray.put(bundle)
        numbered = islice(enumerate(sources), start.source, None)
        while window := [
            {"number": number, "skip": start.item if number == start.source else 0, "source": pickle.dumps(source)}
            for number, source in islice(numbered, WINDOW)
        ]:
            rows = ray.data.from_items(window, override_num_blocks=len(window)).map_batches(
                _Actor,
                fn_constructor_args=(shared, plan.model_copy(update={"lanes": 1}), top_k),
                batch_size=1,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
                num_cpus=plan.threads,
                num_gpus=1 if on_gpu else None,
            )
            for table in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
                for row in table.to_pylist():
                    (batch,) = pa.ipc.open_stream(row.pop("rows"))
                    yield Done(rows=batch, **row)
    except RayError as error:
        raise EngineError(f"--ray {address}: {str(error).strip().splitlines()[-1]}") from error
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell a host on the internet
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == "local":
        options |= {"num_cpus": available_cores(), "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = str(error).strip().splitlines()[0]
        raise UsageError(f"--ray {address}: no cluster there: {said}") from error


class _Actor:
    """One engine in a process of its own."""

    def __init__(self, bundle: ray.ObjectRef[Bundle], plan: ThreadPlan, top_k: int) -> None:
        self._classifier = Classifier(ray.get(bundle), plan, top_k)
        self._workers = plan.threads

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """One source, to a row for each chunk of it."""
        for row in batch.to_pylist():
            source: Source = pickle.loads(row["source"])  # noqa: S301  # made by classified_on_ray
            for done in classified([source], self._classifier, replace(BEGIN, item=row["skip"]), self._workers):
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, SCHEMA) as writer:
                    writer.write_batch(done.rows)
                yield pa.table(
                    {
                        "source": [row["number"] + done.source],
                        "item": [done.item],
                        "rows": pa.array([sink.getvalue().to_pybytes()], pa.large_binary()),
                        "size": [done.size],
                    }
                )
