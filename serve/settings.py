"""Every setting of the service, once: type, default, text. The command line and the environment are made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def setting(default: Any, text: str, **limits: Any) -> Any:
    """A field with its text for --help; ``low`` and ``high`` bound a number, ``metavar`` names its value."""
    return field(default=default, metadata={"help": text, **limits})


@dataclass(frozen=True)
class Settings:
    """How to serve; what is 0 or None is chosen by the service."""

    host: str = setting("127.0.0.1", "address to listen on; 0.0.0.0 is every network", metavar="HOST")
    port: int = setting(8000, "0 takes a free one and prints it", low=0, high=65535)
    threads: int = setting(0, "threads that one inference uses (0: measured at start)", low=0, high=1024)
    lanes: int = setting(
        0, "inferences at once (0: with --threads the cores they leave, else measured)", low=0, high=64
    )
    max_batch: int = setting(0, "images in one inference, of those that wait (0: measured)", low=0, high=256)
    nice: int = setting(10, "how far computing steps back behind answering: 0 to 19, as nice(1)", low=0, high=19)
    max_waiting: int = setting(
        0, "images admitted at once, those in the engine included; more get 429 (0: two for each lane)", low=0
    )
    max_images: int = setting(16, "images in one request to /classify/batch", low=1, high=1024)
    max_body_bytes: int = setting(16 << 20, "larger requests are refused with 413", low=1, high=1 << 40)
    timeout_ms: int = setting(
        30_000, "deadline of a request that names none with x-request-timeout-ms", low=1, high=600_000
    )
    body_seconds: int = setting(10, "a request whose body takes longer is refused with 408", low=1, high=3600)
    baseline: float = setting(
        0.02,
        "share of the machine for measuring the dense network beside the compiled one, 0 to 0.5; 0: never",
        low=0,
        high=0.5,
    )
    canary_seconds: int = setting(30, "between two checks that the engine still answers right (0: none)", low=0)
    grace_seconds: int = setting(
        1, "after SIGTERM: not ready, but still serving for so long, till balancers have noticed", low=0, high=3600
    )
    drain_seconds: int = setting(30, "then at most so long for requests that have begun", low=1, high=3600)
    keys: str = setting("", "TOML file of hashed API keys (see --new-key); without it anyone may ask", metavar="FILE")
    otel: bool = setting(False, "trace with OpenTelemetry, set up by its OTEL_ variables (needs rgp[otel])")
