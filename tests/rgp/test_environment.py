"""environment: what a figure carries with it."""

from __future__ import annotations

import json
import os
import platform
import re
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from rgp.environment import available_cores, cpu_name, environment, versions


def files(monkeypatch: pytest.MonkeyPatch, contents: dict[str, str]) -> None:
    """Let the system's files hold ``contents``, and no others exist."""

    def read_text(path: Path) -> str:
        if str(path) not in contents:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return contents[str(path)]

    monkeypatch.setattr(Path, "read_text", read_text)


def test_it_says_where_and_when_in_plain_values() -> None:
    here = environment()
    assert json.loads(json.dumps(here)) == here
    assert here.keys() == {"cpu", "cores", "system", "python", "versions", "time"}
    assert here["cpu"]
    assert here["python"] == platform.python_version()
    assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(here["time"]) < timedelta(minutes=1)


def test_it_tells_nothing_of_this_machines_folders_names_or_users() -> None:
    text = json.dumps(environment())
    assert not re.search(r"(?<![\w.])/\w", text)  # no absolute path
    assert str(Path.home()) not in text
    if platform.node():
        assert platform.node() not in text


def test_versions_are_those_installed_and_name_no_package_that_is_not() -> None:
    found = versions()
    assert found["numpy"] == np.__version__
    assert found["torch"] == metadata.version("torch")


def test_a_package_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    assert "torch" not in versions()
    assert versions()["numpy"] == "1"


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),  # half a core is none
        ("50000 100000\n", 1),  # but one there is
        ("1600000 100000\n", 8),  # more than the affinity allows
        ("50000 25000\n", 2),
        ("nonsense\n", 8),
        ("a b\n", 8),
        ("", 8),
        (None, 8),
    ],
)
def test_cores_are_those_of_the_affinity_and_of_the_quota(
    monkeypatch: pytest.MonkeyPatch, quota: str | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    files(monkeypatch, {} if quota is None else {"/sys/fs/cgroup/cpu.max": quota})
    assert available_cores() == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [("-1", "100000", 8), ("200000", "100000", 2), ("50000", "100000", 1), ("", "100000", 8), ("200000", None, 8)],
)
def test_cores_are_those_of_the_first_version_of_cgroups_too(
    monkeypatch: pytest.MonkeyPatch, quota: str, period: str | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    folder = "/sys/fs/cgroup/cpu/cpu.cfs_"
    found = {f"{folder}quota_us": f"{quota}\n"} | ({f"{folder}period_us": f"{period}\n"} if period else {})
    files(monkeypatch, found)
    assert available_cores() == cores


def test_cores_are_counted_where_there_is_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, {})
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert available_cores() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_the_processor_has_the_name_that_linux_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, {"/proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast: CPU @ 3 GHz\nmodel name\t: other\n"})
    assert cpu_name() == "Fast: CPU @ 3 GHz"
    files(monkeypatch, {"/proc/cpuinfo": "processor : 0\n"})  # ARM has no such line
    assert cpu_name() == (platform.processor() or platform.machine())
    files(monkeypatch, {})
    assert cpu_name() == (platform.processor() or platform.machine())
