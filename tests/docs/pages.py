"""The pages of docs/ as tests read them: their fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str


def blocks(name: str) -> list[Block]:
    """Every fenced block of a page of docs/, in order."""
    return [Block(*found.groups()) for found in _FENCE.finditer((DOCS / name).read_text())]
