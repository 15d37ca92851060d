"""Text from the code as Markdown: what stands there is shown as it stands, and never taken for markup."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|])")
_LITERAL = re.compile(r"``(.+?)``|`(.+?)`")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; one line a row."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()) for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    """``text`` as code, in a table as well; nothing for nothing."""
    return f"`{text}`" if text else ""


def prose(text: str) -> str:
    """Plain text, a docstring or a help text; what stands in backquotes is code."""
    parts, end = [], 0
    for found in _LITERAL.finditer(text):
        parts += [_MARKUP.sub(r"\\\1", text[end : found.start()]), code(found[1] or found[2])]
        end = found.end()
    return "".join([*parts, _MARKUP.sub(r"\\\1", text[end:])])


def paragraphs(docstring: str) -> str:
    """A docstring or an epilog: lines that are indented are code, the rest is prose."""
    written = []
    for indented, lines in groupby(docstring.strip("\n").splitlines(), lambda line: line.startswith("  ")):
        text = "\n".join(lines)
        if indented:
            written.append(fence(textwrap.dedent(text)))
        elif text.strip(" \n:"):
            text = re.sub(r"\n::\s*$", "", text)  # alone on its line, it shows nothing
            written.append(prose(re.sub(r"::\s*$", ":", text)).strip("\n"))
    return "\n\n".join(written)


def fence(text: str, language: str = "text") -> str:
    """A block of code; it may hold anything but its own fence."""
    return f"````{language}\n{text.rstrip()}\n````"
