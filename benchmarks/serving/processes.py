"""Services in processes of their own: started, asked until they answer, watched through /proc, ended whole."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rgp.errors import RgpError

START_SECONDS = 120
STOP_SECONDS = 40
PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """``pid`` and the processes that it started, and they in turn."""
    found = [pid]
    for each in found:
        for thread in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                found += map(int, thread.read_text().split())
    return found


def memory(pid: int) -> int:
    """Bytes resident in the process and those that it started, shared pages counted for each."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * PAGE
    return total


def cpu_seconds(pid: int) -> float:
    """CPU time so far of the process and those that it started and that still run."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def pid(self) -> int:
        """Of the process that was started; it may have others."""
        return self.process.pid

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> int:
        """SIGTERM; its exit code. What it leaves behind after STOP_SECONDS is killed."""
        family = tree(self.pid)
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            _kill(family[1:])


@contextmanager
def started(
    command: Sequence[str], port: int, image: bytes, log: Path, *, environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Running]:  # fmt: skip
    """Run ``command`` until the block ends; it must answer ``POST /classify`` of ``image`` with 200 first.

    Raises RgpError with the end of its log if it does not.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, cwd=folder,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    running = Running(process, port)
    try:
        until = time.monotonic() + START_SECONDS
        while not answers(port, image):
            if process.poll() is not None or time.monotonic() > until:
                tail = " ".join(log.read_text(errors="replace").split())[-300:]
                raise RgpError(f"{' '.join(command)}: does not answer; {log} ends: {tail}")
            time.sleep(0.2)
        yield running
    finally:
        if process.poll() is None:
            running.stop()


def answers(port: int, image: bytes) -> bool:
    """Whether ``POST /classify`` of a JPEG gives 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/classify", image, {"Content-Type": "image/jpeg"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def steal() -> float:
    """Seconds that other machines on this host took from this one's cores, since it started, all cores together."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / TICKS


def free_port() -> int:
    """One that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Sampler:
    """The resident bytes of a process, every ``seconds``, on a thread, until it is closed."""

    def __init__(self, pid: int, seconds: float = 0.25) -> None:
        self.rows: list[tuple[float, int]] = []
        self._pid, self._seconds, self._end = pid, seconds, threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> list[tuple[float, int]]:
        """(time.monotonic, bytes) of each sample."""
        self._end.set()
        self._thread.join()
        return self.rows

    def _work(self) -> None:
        while True:
            self.rows.append((time.monotonic(), memory(self._pid)))
            if self._end.wait(self._seconds):
                return


def _kill(pids: Sequence[int]) -> None:
    """End those of our own that outlived their parent."""
    until = time.monotonic() + 5
    while (left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]) and time.monotonic() < until:
        time.sleep(0.1)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
