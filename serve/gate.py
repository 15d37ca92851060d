"""Admission: what may come in at once. Who is refused is told at the door, before the body is read.

Two bounds. *Readers*: requests whose body is on its way, by their number and by the bytes that they may bring; slow
clients fill this one and harm no one else. *Images*: those that wait for a decoder or the engine or are in it; it
bounds how long an admitted image waits. One thread only, the event loop's, comes here: there are no locks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from starlette.exceptions import HTTPException

MAX_READERS = 256
MAX_READING_BYTES = 512 << 20


class OverloadedError(HTTPException):
    """429, with the seconds after which it is worth trying again."""

    def __init__(self, message: str, seconds: float) -> None:
        retry = max(1, math.ceil(seconds))
        super().__init__(429, f"{message}: try again in {retry} s", {"retry-after": str(retry)})


class Gate:
    """Counts what is inside. ``images_per_second``: how fast it leaves, for Retry-After; ``on_refusal`` hears why."""

    def __init__(
        self,
        max_images: int,
        images_per_second: Callable[[], float],
        on_refusal: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.max_images = max_images
        self._rate, self._on_refusal = images_per_second, on_refusal
        self.images = 0
        self.readers = 0
        self.reading_bytes = 0

    def refuse_if_full(self, images: int = 1) -> None:
        """Raise OverloadedError if ``images`` more cannot come in; an empty house takes a request of any size."""
        if self.images and self.images + images > self.max_images:
            self._on_refusal("queue")
            raise OverloadedError(
                f"{self.images} of at most {self.max_images} images are in work",
                self.images / self._rate(),
            )

    @contextmanager
    def reading(self) -> Iterator[Callable[[int], None]]:
        """Hold room for a body, to be called with the bytes that have come; raises OverloadedError if there is none.

        What has come is counted, not what was declared: a few clients that declare much would keep all others out.
        """
        if self.readers >= MAX_READERS:
            self._refuse_reader()
        self.readers += 1
        held = 0

        def grow(size: int) -> None:
            nonlocal held
            if self.reading_bytes > held and self.reading_bytes + size > MAX_READING_BYTES:
                self._refuse_reader()
            held += size
            self.reading_bytes += size

        try:
            yield grow
        finally:
            self.readers -= 1
            self.reading_bytes -= held

    def _refuse_reader(self) -> NoReturn:
        self._on_refusal("readers")
        raise OverloadedError(f"{self.readers} requests are being received", 1)

    def enter(self, images: int = 1) -> Place:
        """Let ``images`` in. Raises OverloadedError if it is full."""
        place = Place(self)
        place.become(images)
        return place


class Place:
    """The room that a request holds; called, it is given back, however often."""

    def __init__(self, gate: Gate) -> None:
        self._gate, self._images = gate, 0

    def become(self, images: int) -> None:
        """Have room for ``images`` instead; raises OverloadedError if there is none, and then holds nothing."""
        self()
        self._gate.refuse_if_full(images)
        self._images = images
        self._gate.images += images

    def __call__(self) -> None:
        """Give it back."""
        self._gate.images -= self._images
        self._images = 0
