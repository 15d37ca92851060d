"""From a request to the bytes of its image: a raw body, or the field ``image`` of a multipart form.

The body is read whole, never beyond its limit, and kept in memory: no temporary files.
"""

from __future__ import annotations

import logging

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
BINARY = "application/octet-stream"
MULTIPART = "multipart/form-data"
FIELD = "image"
MAX_PARTS = 16  # forms may carry a token or two beside the image

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns about each malformed body


class BodyTooLargeError(HTTPException):
    """A body above the limit; ``unread`` if part of it is still on its way."""

    def __init__(self, limit: int, *, unread: bool) -> None:
        super().__init__(413, f"the body has more than {limit} bytes: send a smaller image")
        self.unread = unread


def check_headers(headers: Headers, limit: int) -> None:
    """Refuse what the headers alone forbid, before a byte of the body is read; raises HTTPException (413, 415)."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise BodyTooLargeError(limit, unread=True)
    if "content-encoding" in headers:
        raise HTTPException(
            415, f"content encoding {headers['content-encoding']!r:.80} is not accepted: send the image as it is"
        )
    kind = _media_type(headers)
    if kind not in (*IMAGE_TYPES, BINARY, MULTIPART, ""):
        raise HTTPException(
            415,
            f"content type {kind!r:.80} is not accepted: "
            f"send {', '.join(IMAGE_TYPES)}, {BINARY}, or {MULTIPART} with the field '{FIELD}'",
        )


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body; raises BodyTooLargeError as soon as more than ``limit`` bytes have come, declared or not."""
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise BodyTooLargeError(limit, unread=more)
    return bytes(body)


def image_in(body: bytes, headers: Headers) -> bytes:
    """The image's bytes: the body itself, or the multipart field; raises HTTPException (400) if there is none."""
    return _field(body, headers["content-type"]) if _media_type(headers) == MULTIPART else body


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _field(body: bytes, content_type: str) -> bytes:
    parts: list[File | Field] = []
    ends: list[bool] = []

    def on_part(part: File | Field) -> None:
        parts.append(part)
        if len(parts) > MAX_PARTS:
            raise FormParserError(f"more than {MAX_PARTS} parts")

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
    if len(images) != 1:
        raise HTTPException(400, f"the form has {len(images)} fields '{FIELD}': send one, with the image's file")
    if not isinstance(images[0], File):
        raise HTTPException(400, f"the field '{FIELD}' is text: send it as a file, with a file name")
    file = images[0].file_object
    file.seek(0)
    return file.read()
