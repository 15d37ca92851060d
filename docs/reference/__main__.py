"""``python -m docs.reference``: gather what the site is built from in ``build/docs``, reference pages included.

The pages of docs/ link to ``../benchmarks/results/``, which a reader of the repository can follow; the site has copies
of these files, and the links lead there.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from docs.reference import pages

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "benchmarks/results"
KINDS = (".md", ".svg", ".css", ".js")


def gather(to: Path) -> None:
    """Replace the folder ``to`` by the site's sources."""
    shutil.rmtree(to, ignore_errors=True)
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.suffix in KINDS:
            _write(to / path.relative_to(ROOT / "docs"), path.read_text().replace(f"](../{RESULTS}/", f"]({RESULTS}/"))
    for path in sorted((ROOT / RESULTS).iterdir()):
        _write(to / RESULTS / path.name, path.read_text())
    for name, text in pages().items():
        _write(to / name, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    gather(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs")
