"""On Ray the rows are the same, and a run that began on one machine may go on there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rgp.bundle import Bundle
from rgp.serve.offline.parts import Parts
from tests.serve.offline.making import classify, images, write_folder, write_tar
from tests.serve.offline.test_resume import began
from tests.serve.serving import ROOT

pytest.importorskip("ray", reason="needs rgp[ray]")
pytestmark = pytest.mark.slow


def on_ray(*arguments: object, code: int = 0) -> Any:
    """In a process of its own: Ray changes how a process handles signals and logs."""
    command = [sys.executable, "-m", "rgp.serve.offline", *map(str, arguments), "--json"]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    assert ran.returncode == code, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1]) if code == 0 else ran.stderr


def test_the_file_has_the_same_bytes_from_the_start_and_gone_on_with(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = images(300)
    shards = tmp_path / "shards"
    shards.mkdir()
    for number in range(5):
        write_tar(shards / f"{number}.tar", dict(list(files.items())[number * 40 : number * 40 + 40]))
    (shards / "2.tar").write_bytes((shards / "2.tar").read_bytes()[:20_000])
    write_folder(tmp_path / "folder", files)
    whole = (shards, tmp_path / "folder", "--bundle", bundle.path, "--threads", 1, "-o")
    classify(*whole, tmp_path / "one.parquet", capsys=capsys)
    assert on_ray(*whole, tmp_path / "two.parquet", "--ray", "local")["resumed_at"] == 0
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()

    began(bundle, shards, tmp_path / "four.parquet", monkeypatch)
    only = (shards, "--bundle", bundle.path, "--threads", 1, "-o")
    classify(*only, tmp_path / "three.parquet", capsys=capsys)
    with Parts.opened(tmp_path / "four.parquet.parts") as parts:
        done = parts.cursor.rows
    assert done > 0
    assert on_ray(*only, tmp_path / "four.parquet", "--ray", "local")["resumed_at"] == done
    assert (tmp_path / "three.parquet").read_bytes() == (tmp_path / "four.parquet").read_bytes()


def test_a_cluster_that_is_not_there_or_too_small_is_refused_in_one_line(bundle: Bundle, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", images(3))
    arguments = (folder, "--bundle", bundle.path, "-o", tmp_path / "o.parquet")
    said = on_ray(*arguments, "--threads", 1000, "--ray", "local", code=2)
    assert said.splitlines()[-1] == "rgp-classify: error: --ray local: it has no 1000 CPUs: give --threads 1"
