"""Compare the newest wheel in a folder with the tree: ``python -m tests.check_wheel dist``.

The code of four packages lies behind links, and a build back end that does not follow them drops it in
silence: so every file is counted.
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUFFIXES = (".py", ".typed", ".html", ".css", ".js", ".svg", ".json", ".so")
COMMANDS = {"rgp-graph", "rgp-train", "rgp-compile", "rgp-serve", "rgp-bench", "rgp-classify"}


def main(folder: str) -> int:
    """Print what differs; 1 if anything does."""
    wheels = sorted(Path(folder).glob("*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        print(f"{folder}: no wheel: build one with make wheel")
        return 1
    found = differences(wheels[-1], ROOT)
    print(*found or [f"{wheels[-1].name}: the same files as the tree"], sep="\n")
    return 1 if found else 0


def differences(wheel: Path, root: Path) -> list[str]:
    """One line for each file or command that only the tree or only the wheel has."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (metadata,) = {name.split("/")[0] for name in names if re.match(r"rgp-[^/]*\.dist-info/", name)} or {""}
        entry_points = f"{metadata}/entry_points.txt"
        scripts = ConfigParser()
        scripts.read_string(archive.read(entry_points).decode() if entry_points in names else "")
    expected = {
        (Path(folder) / file).relative_to(root).as_posix()
        for folder, _, files in os.walk(root / "rgp", followlinks=True)
        for file in files
        if file.endswith(SUFFIXES)
    }
    packaged = {name for name in names if name.split("/")[0] != metadata}
    commands = set(scripts["console_scripts"]) if "console_scripts" in scripts else set()
    return [
        *(f"only in the tree: {name}" for name in sorted(expected - packaged)),
        *(f"only in the wheel: {name}" for name in sorted(packaged - expected)),
        *(f"no such command in the wheel: {name}" for name in sorted(COMMANDS - commands)),
        *(f"unknown command in the wheel: {name}" for name in sorted(commands - COMMANDS)),
    ]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.check_wheel FOLDER")
    sys.exit(main(sys.argv[1]))
