"""One line of JSON for each event, on standard error. A log that cannot be written (a full disk) stops nothing."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

WAITING = 10_000
"""Lines that wait to be written; further ones are lost."""
LAST_SECONDS = 2.0
"""For what waits when the process ends."""
STANDARD_ERROR = 2


class JsonLines(logging.Formatter):
    """``{"time", "level", "message", ...}``; ``extra={"fields": {...}}`` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class Lines(logging.Handler):
    """Writes in a thread of its own: a pipe that nobody reads must not hold up the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str] = queue.Queue(WAITING)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line."""
        with suppress(queue.Full):
            self._lines.put_nowait(self.format(record))

    def flush(self) -> None:
        """Wait a while for what is queued; logging calls this when the process ends."""
        until = time.monotonic() + LAST_SECONDS
        while self._lines.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.005)

    def _write(self) -> None:
        while True:
            line = memoryview(f"{self._lines.get()}\n".encode())
            with suppress(OSError):
                while line:  # not by sys.stderr: its lock, held here, would keep the process from ending
                    line = line[os.write(STANDARD_ERROR, line) :]
            self._lines.task_done()


def install() -> None:
    """Send the service's and uvicorn's records to standard error in this form."""
    handler = Lines()
    handler.setFormatter(JsonLines())
    for name, level in (("rgp.serve", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
