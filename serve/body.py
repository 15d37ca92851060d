"""From a request to the bytes of its images: a raw body, the fields ``image`` of a multipart form, or base64 in JSON.

The body is read whole, never beyond its limit, and kept in memory: no temporary files.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
BINARY = "application/octet-stream"
CURL = "application/x-www-form-urlencoded"
"""What curl says of any --data-binary unless it is told otherwise: the content decides the format anyway."""
MULTIPART = "multipart/form-data"
JSON = "application/json"
FIELD, BASE64_FIELD, BASE64_FIELDS = "image", "image_b64", "images_b64"
MOST_VALUES = 4096  # in JSON: a text of base64 holds no comma and no bracket
OTHER_PARTS = 15  # forms may carry a token or two beside the images

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns about each malformed body


class BodyTooLargeError(HTTPException):
    """A body above the limit; ``unread`` if part of it is still on its way."""

    def __init__(self, limit: int, *, unread: bool) -> None:
        super().__init__(413, f"the body has more than {limit} bytes: send a smaller image")
        self.unread = unread


class UpgradeRefusedError(HTTPException):
    """Another protocol was asked for; what follows the headers, a body most likely, is not read as one."""

    def __init__(self, protocol: str) -> None:
        super().__init__(400, f"Upgrade: {protocol!r:.40} is not offered: send plain HTTP/1.1 without it")


def check_headers(headers: Headers, limit: int, accepted: Sequence[str]) -> None:
    """Refuse what the headers alone forbid, before a byte of the body is read; raises HTTPException (400, 413, 415).

    ``accepted``: media types; "" where none need be named.
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise BodyTooLargeError(limit, unread=True)
    if "content-encoding" in headers:
        raise HTTPException(
            415, f"content encoding {headers['content-encoding']!r:.80} is not accepted: send the image as it is"
        )
    if "upgrade" in headers:  # the parser takes what follows for another protocol: the body would be lost
        raise UpgradeRefusedError(headers["upgrade"])
    kind = media_type(headers)
    if kind not in accepted:
        named = ", ".join(kind for kind in accepted if kind)
        raise HTTPException(415, f"content type {kind!r:.80} is not accepted: send {named}")


async def read_body(request: Request, limit: int, grow: Callable[[int], None]) -> bytes:
    """The whole body; raises BodyTooLargeError as soon as more than ``limit`` bytes have come, declared or not.

    ``grow`` hears of the bytes that came, and may raise.
    """
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        grow(len(message.get("body", b"")))
        more = message.get("more_body", False)
        if len(body) > limit:
            raise BodyTooLargeError(limit, unread=more)
    return bytes(body)


def image_in(body: bytes, headers: Headers) -> bytes:
    """The one image's bytes; raises HTTPException (400) if there is none, or more."""
    kind = media_type(headers)
    if kind == JSON:
        return _from_base64(_json_object(body, BASE64_FIELD), BASE64_FIELD)
    return _files(body, headers["content-type"], 1)[0] if kind == MULTIPART else body


def images_in(body: bytes, headers: Headers, most: int) -> list[bytes]:
    """Several images' bytes, 1 to ``most``, from a form or JSON; raises HTTPException (400)."""
    if media_type(headers) == MULTIPART:
        return _files(body, headers["content-type"], most)
    given = _json_object(body, BASE64_FIELDS)
    if not isinstance(given, list) or not 1 <= len(given) <= most:
        raise HTTPException(400, f"'{BASE64_FIELDS}' must be a list of 1 to {most} images in base64")
    return [_from_base64(text, BASE64_FIELDS) for text in given]


def media_type(headers: Headers) -> str:
    """The content type without its parameters, in lower case; "" if none is named."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def json_in(body: bytes, most: int) -> Any:
    """The body's JSON; raises HTTPException (400) if it is none, or may hold more than about ``most`` values.

    Each value takes 64 bytes and more, and all other threads wait while they are made: 64 MiB of "[]," are 1.5 GB.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > most:
        raise HTTPException(400, f"the body is not JSON of at most {most} values: see /openapi.json")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error


def _json_object(body: bytes, field: str) -> Any:
    found = json_in(body, MOST_VALUES)
    if not isinstance(found, dict) or field not in found:
        raise HTTPException(400, f"the JSON has no '{field}': send {{\"{field}\": ...}}")
    return found[field]


def _from_base64(text: Any, field: str) -> bytes:
    if not isinstance(text, str):
        raise HTTPException(400, f"'{field}' holds {type(text).__name__}, not an image in base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
        raise HTTPException(400, f"'{field}' is not base64: {error}") from error


def _files(body: bytes, content_type: str, most: int) -> list[bytes]:
    parts: list[File | Field] = []
    ends: list[bool] = []

    def on_part(part: File | Field) -> None:
        parts.append(part)
        if len(parts) > most + OTHER_PARTS:
            raise FormParserError(f"more than {most + OTHER_PARTS} parts")

    try:
        parser = FormParser(
            MULTIPART,
            on_field=on_part,
            on_file=on_part,
            on_end=lambda: ends.append(True),
            boundary=parse_options_header(content_type)[1].get(b"boundary"),
            config={"MAX_MEMORY_FILE_SIZE": float("inf")},
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise HTTPException(400, f"malformed multipart body: {error}") from error
    if not ends:
        raise HTTPException(400, "malformed multipart body: it ends before its closing boundary")
    images = [part for part in parts if part.field_name == FIELD.encode()]
    if not 1 <= len(images) <= most:
        wanted = "one" if most == 1 else f"1 to {most}"
        raise HTTPException(400, f"the form has {len(images)} fields '{FIELD}': send {wanted}, with the image's file")
    return [_content(part) for part in images]


def _content(part: File | Field) -> bytes:
    if not isinstance(part, File):
        raise HTTPException(400, f"the field '{FIELD}' is text: send it as a file, with a file name")
    part.file_object.seek(0)
    return part.file_object.read()
