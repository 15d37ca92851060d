"""What every part of the benchmark is given: the bundle, the images, a folder for logs, rgp-serve."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks.serving.processes import Running, free_port, started
from rgp.load.images import photographs
from rgp.load.target import Target

JPEG = "image/jpeg"
PATH = "/classify"
SERVE = (sys.executable, "-m", "rgp.serve")


@dataclass
class Part:
    """One run of one part. ``cache`` holds what may be thrown away: logs, environments, thread plans."""

    bundle: Path
    cache: Path
    quick: bool
    leak: int = 0
    commands: list[str] = field(default_factory=list)
    """What was started, for the results."""

    @cached_property
    def images(self) -> list[bytes]:
        """The JPEGs that everybody gets."""
        return [data for data, _ in photographs(0)]

    def messages(self, target: Target) -> list[bytes]:
        """Whole requests, one for each image."""
        return [target.message(image, JPEG) for image in self.images]

    @contextmanager
    def rgp_serve(
        self, *options: str, port: int = 0, name: str = "rgp-serve", command: Sequence[str] = SERVE,
        environment: dict[str, str] | None = None,
    ) -> Iterator[Running]:  # fmt: skip
        """Our own service, ready; its log is ``cache``/logs/NAME.log."""
        port = port or free_port()
        whole = [*command, str(self.bundle), "--port", str(port), *options]
        self.note(["rgp-serve", "BUNDLE", "--port", "PORT", *options])
        environment = {"XDG_CACHE_HOME": str(self.cache.resolve()), **(environment or {})}
        with started(whole, port, self.images[0], self.log(name), environment=environment) as running:
            yield running

    def log(self, name: str) -> Path:
        """Where a service's output goes."""
        return self.cache.resolve() / "logs" / f"{name}.log"

    def note(self, command: Sequence[str]) -> None:
        """Keep the command for the results."""
        if (said := shlex.join(command)) not in self.commands:
            self.commands.append(said)
