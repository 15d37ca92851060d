"""Every error that a user can cause. Each message names the thing, the value and what to do.

::

    RgpError             exit code 1
    ├── UsageError       exit code 2: the command line or a configuration is wrong
    ├── GraphError       a matrix that is not a regular graph, a graph that cannot exist
    ├── PruneError       a graph that does not fit a network
    ├── DataError        a data set that is missing or empty
    ├── CheckpointError  a checkpoint that is truncated, foreign or inconsistent
    ├── CompileError     a network that cannot be exported or lowered
    │   └── VerificationError   a compiled network that differs from the masked one
    ├── BundleError      a bundle with a missing or changed file
    ├── EngineError      an engine that cannot be built or run
    └── ImageError       bytes that are not an acceptable image
        └── ImageTooLargeError  an image with too many pixels
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RgpError(Exception):
    """Base of all errors that a user can cause."""

    exit_code = 1


class UsageError(RgpError):
    """The command line, a configuration or an argument is wrong."""

    exit_code = 2


class GraphError(RgpError):
    """A matrix that is not a regular graph, or a graph that cannot exist."""


class PruneError(RgpError):
    """A graph that does not fit a network."""


class DataError(RgpError):
    """A data set that is missing, empty or of the wrong form."""


class CheckpointError(RgpError):
    """A checkpoint that is truncated, foreign or inconsistent."""


class CompileError(RgpError):
    """A network that cannot be exported or lowered."""


class VerificationError(CompileError):
    """A compiled network whose outputs differ from the masked network's."""


class BundleError(RgpError):
    """A bundle with a missing, changed or foreign file."""


class EngineError(RgpError):
    """An engine that cannot be built or run."""


class ImageError(RgpError):
    """Bytes that are not an acceptable image."""


class ImageTooLargeError(ImageError):
    """An image whose header declares more pixels than are accepted."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that ``name`` is not a known ``kind``, with the nearest known name, or all of them.

    >>> unknown("graph family", "rnig", ["ring", "random"])
    "unknown graph family 'rnig': did you mean 'ring'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names) or 'none'}"
    return f"unknown {kind} '{name}': {hint}"
