"""Where a figure was measured: without it the figure means nothing."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TypedDict

PACKAGES = (
    *("rgp", "numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt_rtx_cu13", "cuda-bindings"),
    *("torch", "torchvision", "onnx", "onnx-ir"),
)


class Environment(TypedDict):
    """Where a figure was measured."""

    cpu: str
    """The processor's own name."""
    cores: int
    """How many the process could use."""
    system: str
    """The operating system, its version and the machine's architecture."""
    python: str
    """Its version."""
    versions: dict[str, str]
    """Of rgp and of the packages that decide a result, by name."""
    time: str
    """When: ISO 8601, UTC."""


def environment() -> Environment:
    """CPU, cores, system, versions of the packages that are installed, and the time (UTC)."""
    return {
        "cpu": cpu_name(),
        "cores": available_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide a result; what is not installed is left out."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def available_cores() -> int:
    """Cores this process may use: its affinity and its cgroup quota, whichever is less, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, int(quota) // int(period))
    except (OSError, ValueError):
        pass  # no cgroup v2
    try:
        cpu = Path("/sys/fs/cgroup/cpu")
        quota_us, period_us = (int((cpu / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        if quota_us > 0:
            cores = min(cores, quota_us // period_us)
    except (OSError, ValueError):
        pass  # no cgroup v1: the affinity is all there is to know
    return max(1, cores)


def cpu_name() -> str:
    """The processor's own name, as Linux tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
