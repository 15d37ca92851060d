"""The service that a load goes to: its address, whether it is ready, and what it says of itself."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rgp.errors import RgpError, UsageError

WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Target:
    """A service at ``host``:``port``, below the path ``prefix``; ``address`` is what ``host`` was resolved to."""

    url: str
    tls: ssl.SSLContext | None
    host: str
    port: int
    address: str
    prefix: str
    key: str | None

    @classmethod
    def find(cls, url: str, key: str | None = None) -> Target:
        """Connect to it once; raises UsageError for a URL that is none, RgpError if nothing listens there."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in url:
            raise UsageError(f"'{url}' is not the URL of a service: give one like http://127.0.0.1:8000")
        if key is not None and not (key and all("!" <= letter <= "~" for letter in key)):
            raise UsageError("the API key has letters that no header can carry, or none: give the key as it was made")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = port or (443 if tls else 80)
        connection = _connection(tls, parts.hostname, port)
        try:
            connection.connect()
            address = connection.sock.getpeername()[0]
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that no host can have
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise RgpError(f"cannot connect to {url}: {why}: start rgp-serve there, or mend the URL") from error
        finally:
            connection.close()
        return cls(url, tls, parts.hostname, port, address, parts.path.rstrip("/"), key)

    def require_ready(self) -> dict[str, Any]:
        """What ``GET /info`` says (empty from a service without it); raises RgpError unless ``GET /readyz`` is 200."""
        status, said = self._get("/readyz")
        if status == 503:
            raise RgpError(f"{self.url} is not ready: {said.get('error', 'it gave no reason')}: wait, or see its log")
        if status != 200:
            raise RgpError(f"{self.url} is no rgp-serve: GET /readyz answered {status}: mend the URL")
        status, said = self._get("/info")
        if status == 401:
            raise RgpError(f"{self.url} wants an API key: give {'another' if self.key else 'one with'} --key")
        return said if status == 200 else {}

    def message(self, body: bytes, kind: str, path: str = "/classify") -> bytes:
        """A whole ``POST`` as it goes over the wire (RFC 9112): ``body`` of media type ``kind``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [
            f"POST {self.prefix}{path} HTTP/1.1",
            f"Host: {host}:{self.port}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in self._authorisation().items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _authorisation(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _get(self, path: str) -> tuple[int, dict[str, Any]]:
        """The status, and the JSON object that came with it, if one did."""
        connection = _connection(self.tls, self.host, self.port)
        try:
            connection.request("GET", f"{self.prefix}{path}", headers=self._authorisation())
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RgpError(f"{self.url} gave no answer to GET {path}: {str(error) or type(error).__name__}") from error
        finally:
            connection.close()
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        return response.status, said if isinstance(said, dict) else {}


def _connection(tls: ssl.SSLContext | None, host: str, port: int) -> http.client.HTTPConnection:
    if tls:
        return http.client.HTTPSConnection(host, port, timeout=WAIT_SECONDS, context=tls)
    return http.client.HTTPConnection(host, port, timeout=WAIT_SECONDS)
