"""One keep-alive connection of the load generator: a request, its answer, the next request."""

from __future__ import annotations

import asyncio
from typing import Protocol

import httptools


class Owner(Protocol):
    """Who is told what becomes of a request."""

    def answer(self, index: int, status: int, body: bytes) -> None:
        """It was answered."""

    def fail(self, index: int, why: str) -> None:
        """It will never be answered."""

    def free(self, connection: Connection) -> None:
        """``connection`` can take the next request."""


class Connection(asyncio.Protocol):
    """Asks one request at a time (httptools calls the methods that begin with on)."""

    _transport: asyncio.Transport

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._index: int | None = None  # of the request that waits for its answer

    @property
    def closing(self) -> bool:
        """Whether it can take no further request."""
        return self._transport.is_closing()

    def ask(self, index: int, message: bytes) -> None:
        """Send the whole request ``message``; what becomes of it is told with ``index``."""
        self._index = index
        self._transport.write(message)

    def drop(self) -> None:
        """Close at once; nothing more is told."""
        self._index = None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio's: a part of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # our own bug
        except httptools.HttpParserError as error:
            self._lose(f"the answer is not HTTP: {error}")

    def on_message_begin(self) -> None:
        """An answer begins."""
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """It ends."""
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue and the like: the answer is still to come
            return
        index, self._index = self._index, None
        if index is None:  # nothing was asked: a server says 408 before it closes an idle connection
            self._transport.abort()
            return
        if self._parser.should_keep_alive():
            self._owner.free(self)
        else:
            self._transport.abort()
        self._owner.answer(index, status, b"".join(self._body))

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio's: closed, by whomever."""
        self._lose(f"connection lost: {getattr(error, 'strerror', None) or error or 'closed without an answer'}")

    def _lose(self, why: str) -> None:
        index = self._index
        self.drop()
        if index is not None:
            self._owner.fail(index, why)
