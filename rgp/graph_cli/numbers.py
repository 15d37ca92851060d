"""Numbers on the command line, refused in one line."""

from __future__ import annotations

import argparse
import re


def whole(text: str) -> int:
    """A whole number from 0 of at most 15 digits."""
    if not re.fullmatch("[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError(f"'{text:.40}' is not a whole number from 0")
    return int(text)


def rungs(text: str) -> int:
    """A number of graphs, from 2."""
    if not 2 <= whole(text) <= 9999:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of graphs from 2 to 9999")
    return int(text)


def seconds(text: str) -> float:
    """A time above 0."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text:.40}' is not a number of seconds above 0")
    return float(text)
