"""The file that a subcommand writes: its arguments, and what is refused before any work is done."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from rgp.errors import UsageError


def add_output(parser: argparse.ArgumentParser, suffixes: Sequence[str], *, required: bool = True) -> None:
    """Add ``-o FILE`` and ``--force``."""
    endings = " or ".join(suffixes)
    parser.add_argument(
        "-o", "--output", type=Path, required=required, metavar="FILE", help=f"the file to write; ends in {endings}"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")


def check_output(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Raise UsageError unless ``path`` has one of the ``suffixes`` and may be written."""
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: the name must end in {' or '.join(suffixes)}: give -o {path}{suffixes[0]}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}: make it, or choose another with -o")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: the folder {path.parent} cannot be written: choose another with -o")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path}: exists: choose another name with -o, or add --force to replace it")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: is not a regular file, so nothing replaces it: choose another name with -o")
