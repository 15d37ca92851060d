"""The process around the app: uvicorn, told how to begin, how to end, and how long a client may take to ask."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rgp.errors import RgpError
from rgp.serve.app import create_app
from rgp.serve.service import Service

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
"""Must outlast the proxy's, and 60 is the proxies' usual figure."""
HEAD_SECONDS = 10
"""For a request's line and headers; a client that sends a byte now and then is cut off."""
MAX_HEAD_BYTES = 64 << 10
"""Of the same, of trailers, of what may be written beside a chunk's length; the parser would take any number, and copy
them all for each piece that comes."""
LEAST_CHUNK_SHARE = 8
"""Of a byte of body, so many bytes of framing are no surplus: chunks of one byte take six."""
BODY_HEADERS = (b"content-length", b"transfer-encoding")
MAX_PIPELINED = 16
"""Requests on one connection that wait for the one before them; uvicorn would take any number."""
LAST_BYTES_SECONDS = 0.3
"""Between the last accepted connection and the end of the idle ones: what is on its way still arrives."""

logger = logging.getLogger("rgp.serve")


class Server(uvicorn.Server):
    """Prints one line once it listens, for people and for scripts that asked for a free port.

    SIGTERM: not ready -> grace -> nothing new -> what was accepted ends -> exit code 0. A second signal ends the
    grace. SIGINT (Ctrl-C): the same without the grace. SIGHUP: the bundle is loaded anew.
    """

    def __init__(self, service: Service, announcement: str) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(service),
                loop="uvloop",
                http=_Protocol,
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=service.settings.drain_seconds,
                backlog=BACKLOG,
            )
        )
        self._service, self._announcement = service, announcement
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reloading: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, say so."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        print(self._announcement, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, hear out those that are there, end."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(LAST_BYTES_SECONDS)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal to stop came."""
        grace = 0 if sig == signal.SIGINT or self._service.draining else self._service.settings.grace_seconds
        self._service.draining = True
        if grace and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, grace, super().handle_exit, sig, frame)
        else:
            super().handle_exit(sig, frame)

    def handle_hangup(self, *_: object) -> None:
        """SIGHUP came: load the bundle anew, unless that is going on."""
        if self._loop is not None and not self._service.draining:
            self._loop.call_soon_threadsafe(self._begin_reload)

    def _begin_reload(self) -> None:
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        try:
            await self._service.models.reload()
        except RgpError as error:
            logger.error("the bundle was not reloaded: %s", error)
        except Exception:
            logger.exception("the bundle was not reloaded")


class _Protocol(HttpToolsProtocol):
    """Ends connections that do not bring a whole head in time, or too much of it; uvicorn waits for ever."""

    _late: asyncio.TimerHandle | None = None
    _surplus = 0
    """Bytes of the request that is coming that are not its body."""
    _coming = False
    _body = 0
    """Bytes of body in the piece that is parsed."""
    _lost = False
    """Whether what still comes is a body that the parser takes for requests."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # TCP: always a Transport
        self._expect()

    def data_received(self, data: bytes) -> None:
        if self._lost:
            return
        self._body = 0
        super().data_received(data)
        surplus = self._surplus + len(data) - (1 + LEAST_CHUNK_SHARE) * self._body
        self._surplus = max(0, surplus) if self._coming else 0
        if (self._surplus > MAX_HEAD_BYTES or len(self.pipeline) > MAX_PIPELINED) and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._coming = True
        self._expect()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._late is not None:  # else a trailer: nobody reads them
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._coming = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._forget()
        super().on_headers_complete()

    def _unsupported_upgrade_warning(self) -> None:
        super()._unsupported_upgrade_warning()
        if {name: value for name, value in self.headers if name in BODY_HEADERS and value != b"0"}:
            self._lost, self.cycle.keep_alive = True, False

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._cut)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _cut(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        busy = bool(self.cycle) and not self.cycle.response_complete  # cycle: None before the first request
        if not busy:  # else it would stand in the middle of an answer
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
