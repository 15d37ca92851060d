"""A small real HTTP server whose answers the test decides: it stalls, refuses, resets, and remembers what was asked."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = {
    "predictions": [{"label": "cat", "index": 2, "probability": 0.75}],
    "timing_ms": {"queue": 1.0, "decode": 2.0, "preprocess": 3.0, "inference": 4.0, "total": 10.5},
    "request_id": "r",
    "model": {"name": "n", "architecture": "a", "sha256": "s"},
    "baseline": None,
}
RESET = None


@dataclass(frozen=True)
class Asked:
    """One request, and the number of the connection that it came over."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


Answer = Callable[[Asked], bytes | Iterable[bytes] | None]
"""What to send back, whole or in parts; RESET resets the connection. It runs in the connection's thread, may wait."""


@dataclass
class Scripted:
    """A server that listens at ``url``; ``asked`` is what came, in order."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def images(self) -> list[Asked]:
        return [each for each in self.asked if each.method == "POST"]


def reply(status: int = 200, said: object = OK, **headers: str) -> bytes:
    """A whole answer; header names are written with underscores."""
    body = json.dumps(said).encode()
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def probed(classify: Answer, info: object = None) -> Answer:
    """``classify`` for what is posted, before it a service that is ready and says ``info`` of itself."""

    def answer(asked: Asked) -> bytes | Iterable[bytes] | None:
        if asked.method == "POST":
            return classify(asked)
        if asked.path.endswith("/info"):
            return reply(404, {"error": "no such path"}) if info is None else reply(said=info)
        return reply(said={"status": "ok"})

    return answer


@contextmanager
def scripted(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Serve until the block ends."""
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        server = Scripted(f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with suppress(OSError):  # the listener was shut down
                while True:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    number = len(connections)
                    threads.append(threading.Thread(target=serve, args=(connection, number)))
                    threads[-1].start()

        def serve(connection: socket.socket, number: int) -> None:
            with suppress(OSError), _secured(connection, tls) as secured, secured.makefile("rb") as file:
                while line := file.readline():
                    method, path, _ = line.decode().split()
                    headers = {}
                    while (header := file.readline().decode().strip()) != "":
                        name, _, value = header.partition(":")
                        headers[name.lower()] = value.strip()
                    body = file.read(int(headers.get("content-length", 0)))
                    server.asked.append(Asked(method, path, headers, body, number))
                    answered = answer(server.asked[-1])
                    if answered is RESET:
                        secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    parts = [answered] if isinstance(answered, bytes) else answered
                    for part in parts:
                        secured.sendall(part)
                        if b"connection: close" in part.lower():
                            return

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def _secured(connection: socket.socket, tls: ssl.SSLContext | None) -> socket.socket:
    return tls.wrap_socket(connection, server_side=True) if tls else connection
