"""A client of the service: images in, classes out; it waits when the service says so, and no longer than it may.

Needs httpx and nothing of the service's: ``pip install 'rgp[client]'``.

>>> from rgp.serve.client import Client
>>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     print(client.classify("cat.jpg").predictions[0].label)
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from rgp.errors import RgpError, UsageError

BACKOFF_SECONDS = (0.1, 5.0)
"""The first wait where the service named none, doubled up to the longest; what is waited is drawn from 0 to that."""

Image = bytes | str | Path
"""An image's bytes, or the path of its file."""

T = TypeVar("T")


class ServiceError(RgpError):
    """The service failed to answer, or said something that is no answer.

    ::

        ServiceError              status 500, or whatever else was unexpected
        ├── RefusedError          the request is at fault (4xx): sending it again changes nothing
        ├── BusyError             overloaded, rate-limited or not ready (429, 503), to the last retry
        ├── DeadlineError         no answer in time: status 504 if the service noticed it, else None
        └── UnreachableError      no connection, or it broke before the answer, to the last retry: status None
    """

    def __init__(self, message: str, status: int | None, request_id: str) -> None:
        super().__init__(f"{message} (request {request_id})")
        self.message = message
        self.status = status
        self.request_id = request_id


class RefusedError(ServiceError):
    """The request is at fault."""


class BusyError(ServiceError):
    """The service had no room, or was not ready."""


class DeadlineError(ServiceError):
    """The time that the call was given has passed."""


class UnreachableError(ServiceError):
    """The service could not be reached."""


@dataclass(frozen=True)
class Prediction:
    """One class and how probable it is."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Answer:
    """What the service says about one image; ``baseline`` is the dense network's time beside the compiled one's."""

    predictions: tuple[Prediction, ...]
    timing_ms: dict[str, float]
    request_id: str
    model: dict[str, Any]
    baseline: dict[str, Any] | None


class Client:
    """A connection to the service at ``url``; threads may share it.

    ``timeout`` (seconds) is what a call may take in all, its retries included; the service is told what is left of it.
    A call is repeated up to ``retries`` times when the service is busy (as Retry-After says) or the connection fails.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 30.0, retries: int = 3) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            parsed = httpx.URL("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"'{url}' is not the URL of a service: give one like http://127.0.0.1:8000")
        if timeout <= 0 or retries < 0:
            raise UsageError(f"timeout is {timeout}, retries {retries}: give a timeout above 0 and retries from 0")
        self.url, self.timeout, self.retries = url, timeout, retries
        if key and not (key.isascii() and key.isprintable()):
            raise UsageError("the API key has letters that no header can carry: give the key as it was made")
        authorisation = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=parsed, headers=authorisation)

    def classify(self, image: Image, top_k: int | None = None) -> Answer:
        """The most probable classes of one image, ``top_k`` of them; raises ServiceError, OSError for its file."""
        headers = {"content-type": "application/octet-stream"}
        request = {"content": _read_image(image), "headers": headers, "params": _top_k(top_k)}
        return self._call("POST", "/classify", _answer, **request)

    def classify_batch(self, images: Sequence[Image], top_k: int | None = None) -> list[Answer | ServiceError]:
        """An answer for each image, in order, or an error (without a status) for one that could not be classified."""
        files = [("image", (f"image-{number}", _read_image(image))) for number, image in enumerate(images)]
        return self._call("POST", "/classify/batch", _batch, files=files, params=_top_k(top_k))

    def info(self) -> dict[str, Any]:
        """The model, its engine, the thread plan and the limits: ``GET /info``."""
        return self._call("GET", "/info", dict)

    def latency(self) -> dict[str, Any]:
        """The dense network beside the compiled one, live and as compiled: ``GET /latency``."""
        return self._call("GET", "/latency", dict)

    def ready(self) -> bool:
        """Whether it serves at this moment; nothing is retried and nothing raised."""
        try:
            return self._http.get("/readyz", timeout=self.timeout).status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, path: str, read: Callable[[dict[str, Any]], T], **request: Any) -> T:
        """What ``read`` makes of the answer, after as many retries as it takes."""
        deadline = time.monotonic() + self.timeout
        request_id = uuid.uuid4().hex
        attempt = 0
        while True:
            told: float | None = None
            try:
                status, headers, body = self._send(method, path, request_id, deadline, request)
            except httpx.TimeoutException as timed_out:
                message = f"{self.url} gave no answer within {self.timeout:g} s: give a longer timeout"
                raise DeadlineError(message, None, request_id) from timed_out
            except (httpx.NetworkError, httpx.RemoteProtocolError) as broken:
                why = str(broken) or type(broken).__name__
                error: ServiceError = UnreachableError(f"{self.url} cannot be reached: {why}", None, request_id)
            else:
                if status == 200:
                    return self._read(read, body, request_id)
                error = self._refusal(status, body, request_id)
                if not isinstance(error, BusyError):
                    raise error
                told = _retry_after(headers)
            wait = random.uniform(0, _backoff(attempt if told is None else 0)) + (told or 0)  # noqa: S311
            if attempt == self.retries or time.monotonic() + wait >= deadline:
                raise error
            time.sleep(wait)
            attempt += 1

    def _send(
        self, method: str, path: str, request_id: str, deadline: float, request: dict[str, Any]
    ) -> tuple[int, httpx.Headers, bytes]:
        """One attempt: status, headers and body; raises httpx.TimeoutException once ``deadline`` has passed."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise httpx.PoolTimeout("no time is left")
        headers = {
            **request.get("headers", {}),
            "x-request-id": request_id,
            "x-request-timeout-ms": str(max(1, int(left * 1000))),
        }
        body = bytearray()
        with self._http.stream(method, path, timeout=left, **{**request, "headers": headers}) as response:
            for part in response.iter_bytes():
                body += part
                if time.monotonic() > deadline:  # httpx only limits the wait for each part
                    raise httpx.ReadTimeout("the answer is not at its end")
        return response.status_code, response.headers, bytes(body)

    def _read(self, read: Callable[[dict[str, Any]], T], body: bytes, request_id: str) -> T:
        try:
            return read(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{self.url} answered what an rgp-serve would not ({type(error).__name__}: {error}): mend the URL"
            raise ServiceError(message, 200, request_id) from error

    def _refusal(self, status: int, body: bytes, request_id: str) -> ServiceError:
        try:
            message = str(json.loads(body)["error"])
        except (ValueError, KeyError, TypeError):  # not from the service: a proxy's page
            message = httpx.codes.get_reason_phrase(status) or "no reason given"
        kind = ServiceError
        if status in (429, 503):
            kind = BusyError
        elif status == 504:
            kind = DeadlineError
        elif 400 <= status < 500:
            kind = RefusedError
        return kind(f"{self.url} answered {status}: {message}", status, request_id)


def _read_image(image: Image) -> bytes:
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def _top_k(top_k: int | None) -> dict[str, int]:
    return {} if top_k is None else {"top_k": top_k}


def _answer(said: dict[str, Any]) -> Answer:
    predictions = tuple(Prediction(each["label"], each["index"], each["probability"]) for each in said["predictions"])
    return Answer(predictions, said["timing_ms"], said["request_id"], said["model"], said["baseline"])


def _batch(said: dict[str, Any]) -> list[Answer | ServiceError]:
    shared = {name: said[name] for name in ("request_id", "model", "baseline")}
    return [
        ServiceError(each["error"], None, shared["request_id"]) if "error" in each else _answer({**each, **shared})
        for each in said["results"]
    ]


def _backoff(attempt: int) -> float:
    first, longest = BACKOFF_SECONDS
    return min(longest, first * 2.0**attempt)


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds, from a number of them or from a date (RFC 9110, 10.2.3); None if it is missing or malformed."""
    told = headers.get("retry-after", "").strip()
    if told.isdecimal():
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None
