"""The rows that are done, on disk: OUTPUT.parts, a folder of small Parquet files, each written beside and renamed.

::

    run.json                what is classified with what; a run with something else is refused
    part-00000000.parquet   rows, and in its metadata the place in the input that they reach
    part-00000001.parquet   the next ones

Whenever the process is killed, the last part says where to go on. One process at a time: ``lock`` is locked.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rgp.errors import DataError, UsageError
from rgp.files import written_whole
from rgp.serve.offline.classifier import SCHEMA
from rgp.serve.offline.stream import Cursor, Done

ROWS = 16_384
SECONDS = 30.0
"""A part is closed when it has so many rows or is so old: what a killed process loses."""

CURSOR = b"rgp.cursor"
RUN = "run.json"
NEW = re.compile(r"lock|\..*")
OWN = re.compile(r"run\.json|lock|part-\d+\.parquet|joined\.\w+|\..*")
"""What may lie in the folder; it is all removed in the end."""


class Parts:
    """The parts in ``folder``; use it as ``with Parts.opened(folder) as parts``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = sorted(folder.glob("part-*.parquet"))
        self._held: list[pa.RecordBatch] = []
        self._since = time.monotonic()
        self.cursor = self._last()

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Parts]:
        """Make the folder or go on with it; UsageError if another process does, or if it holds something else."""
        folder.mkdir(parents=True, exist_ok=True)
        own = OWN if (folder / RUN).exists() else NEW  # parts of who knows what are not gone on with
        strange = [path.name for path in folder.iterdir() if not own.fullmatch(path.name)]
        if strange:
            raise UsageError(f"{folder}: holds {min(strange)}, which rgp-classify did not write: choose another -o")
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(f"{folder}: another rgp-classify is at work on it: wait for it, or stop it") from error
            for left in folder.glob(".*"):  # of a process that was killed while it wrote
                left.unlink()
            yield cls(folder)

    def run(self) -> dict[str, Any] | None:
        """What ``begin`` wrote; None in a new folder."""
        try:
            found = json.loads((self.folder / RUN).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._broken(RUN) from error
        if not isinstance(found, dict):
            raise self._broken(RUN)
        return found

    def begin(self, run: dict[str, Any]) -> None:
        """Say what the parts are of."""
        with written_whole(self.folder / RUN) as file:
            file.write(json.dumps(run, indent=1).encode())

    def add(self, done: Done) -> None:
        """Take the next rows; now and then they become a part."""
        self._held.append(done.rows)
        self.cursor = Cursor(done.source, done.item, self.cursor.rows + len(done.rows))
        if sum(map(len, self._held)) >= ROWS or time.monotonic() - self._since >= SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            path = self.folder / f"part-{len(self._files):08}.parquet"
            metadata = {CURSOR: json.dumps(asdict(self.cursor)).encode()}
            with written_whole(path) as file:
                pq.write_table(pa.Table.from_batches(self._held).replace_schema_metadata(metadata), file)
            self._files.append(path)
            self._held = []
        self._since = time.monotonic()

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Every row that is on disk, in order, a few at a time."""
        for path in self._files:
            try:
                with pq.ParquetFile(path) as file:
                    yield from (batch.cast(SCHEMA) for batch in file.iter_batches(4096))
            except (OSError, pa.ArrowException) as error:
                raise self._broken(path.name) from error

    def publish(self, file: Path, output: Path) -> None:
        """Rename ``file``, which lies in the folder, to ``output``, and remove the folder."""
        file.replace(output)
        leaving = _leaving(self.folder)
        self.folder.replace(leaving)  # at once: half a folder of parts would look like one to go on with
        shutil.rmtree(leaving)

    def _last(self) -> Cursor:
        if not self._files:
            return Cursor()
        last = self._files[-1]
        if last.name != f"part-{len(self._files) - 1:08}.parquet":
            raise self._broken(f"{last.name} is number {len(self._files)}: one before it is missing or")
        try:
            said = json.loads(pq.read_schema(last).metadata[CURSOR])
            return Cursor(**{name: int(value) for name, value in said.items()})
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise self._broken(last.name) from error

    def _broken(self, what: str) -> DataError:
        return DataError(f"{self.folder}: {what} is broken: remove the folder to begin anew")


def forget_left(folder: Path) -> None:
    """Remove what a process left that was killed while it removed the parts of a run that had ended."""
    shutil.rmtree(_leaving(folder), ignore_errors=True)


def _leaving(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.done")
