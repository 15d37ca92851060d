"""Killed at any moment, the same command goes on: the same file, no row twice, none missing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rgp.bundle import Bundle
from rgp.serve.offline import cli, parts
from rgp.serve.offline.classifier import Classifier, thread_plan
from rgp.serve.offline.inputs import Inputs
from rgp.serve.offline.parts import Parts
from rgp.serve.offline.stream import Done, classified
from tests.serve.offline.making import classify, images, refused, rows, write_folder, write_parquet, write_tar
from tests.serve.serving import ROOT
from tests.serve.tiny import network, write_bundle

Capture = pytest.CaptureFixture[str]
FILES = images(100)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Sources of every kind, one of them broken."""
    folder = tmp_path_factory.mktemp("shards")
    names = list(FILES)
    parts = [{name: FILES[name] for name in names[begin : begin + 25]} for begin in range(0, 100, 25)]
    broken = write_tar(folder / "broken.tar", parts[1])
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    return [
        str(write_folder(folder / "images", parts[0])),
        str(broken),
        str(write_tar(folder / "good.tar", parts[2])),
        str(write_parquet(folder / "table.parquet", parts[3], rows=20)),
    ]


class KilledError(Exception):
    pass


@given(
    cuts=st.lists(st.integers(1, 12), max_size=6),
    most=st.integers(1, 60),
    batch=st.sampled_from([1, 2, 5, 16, 17]),
    workers=st.integers(1, 3),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_stopped_after_any_chunks_any_number_of_times_the_rows_are_those_of_one_run(
    cuts: list[int], most: int, batch: int, workers: int, bundle: Bundle, shards: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("parts")
    classifier = Classifier(bundle, thread_plan(bundle, 1, batch), 2)
    whole = [row for done in classified(Inputs(shards).sources(), classifier) for row in done.rows.to_pylist()]
    for cut in [*cuts, 1000]:
        with mock.patch.object(parts, "ROWS", most), Parts.opened(folder) as under_way:
            under_way.begin({})
            for number, done in enumerate(
                classified(Inputs(shards).sources(), classifier, under_way.cursor, workers), start=1
            ):
                under_way.add(done)
                if number == cut:  # what is not on disk is lost
                    break
            else:
                under_way.flush()
    with Parts.opened(folder) as ended:
        assert [row for batch_ in ended.rows() for row in batch_.to_pylist()] == whole
        assert ended.cursor.rows == len(whole)


def test_the_file_has_the_same_bytes_however_often_it_was_interrupted(
    bundle: Bundle, shards: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (*shards, "--bundle", bundle.path, "--threads", 1, "-o")
    classify(*arguments, tmp_path / "one.parquet", capsys=capsys)
    monkeypatch.setattr(parts, "ROWS", 10)
    add, resumed = Parts.add, []
    for limit in (1, 2, 1000):
        left = [limit]

        def adding(self: Parts, done: Done, left: list[int] = left) -> None:
            add(self, done)
            left[0] -= 1
            if not left[0]:
                raise KilledError

        monkeypatch.setattr(Parts, "add", adding)
        try:
            resumed.append(classify(*arguments, tmp_path / "two.parquet", capsys=capsys)["resumed_at"])
        except KilledError:
            capsys.readouterr()
    assert resumed
    assert 0 < resumed[0] < 100
    assert rows(tmp_path / "one.parquet") == rows(tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


SLOWLY = """
import sys, time
from rgp.serve.offline import parts
from rgp.serve.offline.__main__ import main
from rgp.serve.offline.classifier import Classifier

parts.ROWS = 8
rows = Classifier.rows
Classifier.rows = lambda self, *args: (time.sleep(0.05), rows(self, *args))[1]
sys.exit(main(sys.argv[1:]))
"""


def test_killed_with_signal_9_again_and_again_it_ends_with_the_file_of_an_uninterrupted_run(
    bundle: Bundle, tmp_path: Path, capsys: Capture
) -> None:
    source = write_tar(tmp_path / "in.tar", images(300))
    arguments = [source, "--bundle", bundle.path, "--threads", 1, "--json", "-o"]
    classify(*arguments[:-2], "-o", tmp_path / "one.parquet", capsys=capsys)
    command = [sys.executable, "-c", SLOWLY, *map(str, arguments), str(tmp_path / "two.parquet")]
    delays, folder = random.Random(0), tmp_path / "two.parquet.parts"
    seen = []
    for _ in range(3):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            known = len(list(folder.glob("part-*")))
            until = time.monotonic() + 60
            while len(list(folder.glob("part-*"))) < known + 2:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.005)
            time.sleep(delays.random() / 10)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        seen.append(len(list(folder.glob("part-*"))))
    assert seen == sorted(set(seen))
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert 0 < json.loads(ran.stdout)["resumed_at"] < 300
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tar", "one.parquet", "two.parquet"]


def began(bundle: Bundle, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, *options: object) -> None:
    """A run that is killed once its first part is on disk."""

    def killed(self: Parts, done: Done) -> None:
        add(self, done)
        self.flush()
        raise KilledError

    add = Parts.add
    arguments = [*map(str, (source, "--bundle", bundle.path, "-o", output, "--threads", 1, *options))]
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "add", killed)
        with pytest.raises(KilledError):
            cli.run(arguments)


def test_a_run_with_anything_changed_is_refused_and_the_same_one_goes_on(
    bundle: Bundle, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write_folder(tmp_path / "in", FILES), tmp_path / "o.parquet"
    began(bundle, source, output, monkeypatch)
    same = (source, "--bundle", bundle.path, "-o", output)
    assert "--top-k is not what this run began with" in refused(*same, "--top-k", 2, capsys=capsys)
    assert "this run began with --threads 1: give that" in refused(*same, "--threads", 2, capsys=capsys)
    assert "this run began with --batch 1: give that" in refused(*same, "--batch", 2, capsys=capsys)
    other = write_bundle(tmp_path / "other", model=network(seed=1))
    assert "the bundle is not what this run began with" in refused(
        source, "--bundle", other.path, "-o", output, capsys=capsys
    )
    before = (source / "a/0000.jpg").stat()
    os.utime(source / "a/0000.jpg", ns=(1, 1))
    assert "the input is not what this run began with: remove the folder" in refused(*same, capsys=capsys)
    os.utime(source / "a/0000.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert classify(*same, capsys=capsys)["resumed_at"] == 16
    assert rows(output, "key") == list(FILES)


def test_an_input_that_changes_meanwhile_is_noticed(
    bundle: Bundle, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "in", FILES)
    flush = Parts.flush

    def changing(self: Parts) -> None:
        flush(self)
        (source / "new.jpg").touch()

    monkeypatch.setattr(Parts, "flush", changing)
    arguments = (source, "--bundle", bundle.path, "-o", tmp_path / "o.parquet", "--threads", 1)
    assert "the input changed while it was classified" in refused(*arguments, capsys=capsys, code=1)
    assert not (tmp_path / "o.parquet").exists()


def test_a_run_that_has_ended_is_not_done_again(bundle: Bundle, tmp_path: Path, capsys: Capture) -> None:
    source, output = write_folder(tmp_path / "in", FILES), tmp_path / "o.parquet"
    arguments = (source, "--bundle", bundle.path, "-o", output, "--threads", 1)
    first, written = classify(*arguments, capsys=capsys), output.stat().st_mtime_ns
    again = classify(*arguments, capsys=capsys)
    assert output.stat().st_mtime_ns == written
    assert again.pop("resumed_at") == 100
    assert {name: first[name] for name in again if "second" not in name} == {
        name: value for name, value in again.items() if "second" not in name
    }
    assert "exists: remove it" in refused(*arguments, "--top-k", 2, capsys=capsys)


def test_two_at_once_are_refused_and_what_others_wrote_is_left_alone(
    bundle: Bundle, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write_folder(tmp_path / "in", FILES), tmp_path / "o.parquet"
    arguments = (source, "--bundle", bundle.path, "-o", output)
    with Parts.opened(tmp_path / "o.parquet.parts"):
        assert "another rgp-classify is at work on it" in refused(*arguments, capsys=capsys)
    (tmp_path / "o.parquet.parts" / "thesis.txt").write_text("precious")
    assert "holds thesis.txt, which rgp-classify did not write" in refused(*arguments, capsys=capsys)
    assert (tmp_path / "o.parquet.parts" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("broken", ["run.json", "part-00000000.parquet"])
def test_parts_that_are_broken_are_said_to_be(
    broken: str, bundle: Bundle, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write_folder(tmp_path / "in", FILES), tmp_path / "o.parquet"
    began(bundle, source, output, monkeypatch)
    (tmp_path / "o.parquet.parts" / broken).write_bytes(b"{")
    arguments = (source, "--bundle", bundle.path, "-o", output)
    expected = f"{output}.parts: {broken} is broken: remove the folder to begin anew"
    assert refused(*arguments, capsys=capsys, code=1) == expected


def test_a_part_that_is_missing_is_noticed(bundle: Bundle, shards: list[str], tmp_path: Path, capsys: Capture,
                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    source, output = write_folder(tmp_path / "in", FILES), tmp_path / "o.parquet"
    began(bundle, source, output, monkeypatch)
    began(bundle, source, output, monkeypatch)
    (tmp_path / "o.parquet.parts" / "part-00000000.parquet").unlink()
    arguments = (source, "--bundle", bundle.path, "-o", output)
    assert "one before it is missing" in refused(*arguments, capsys=capsys, code=1)


def test_what_a_killed_process_was_writing_or_removing_is_cleared_away(
    bundle: Bundle, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write_folder(tmp_path / "in", FILES), tmp_path / "o.parquet"
    began(bundle, source, output, monkeypatch)
    (tmp_path / "o.parquet.parts" / ".part-00000001.parquet.x").write_bytes(b"half")
    (tmp_path / "o.parquet.parts" / "joined.parquet").write_bytes(b"old")
    (tmp_path / ".o.parquet.parts.done").mkdir()
    (tmp_path / ".o.parquet.parts.done" / "part-00000000.parquet").touch()
    classify(source, "--bundle", bundle.path, "-o", output, capsys=capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "o.parquet"]
    assert rows(output, "key") == list(FILES)
