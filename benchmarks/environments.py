"""Virtual environments for peers, whose packages differ from ours: pinned versions, in the cache folders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rgp.errors import RgpError

ROOT = Path(__file__).parents[1]
STAMP = "installed.txt"
INSTALL_SECONDS = 900


def install(folder: Path, packages: Sequence[str], options: Sequence[str] = ()) -> None:
    """Make the environment unless it is there with the same ``packages``; RgpError says why it cannot be.

    ``options``: of pip, besides.
    """
    stamp, wanted = folder / STAMP, "\n".join(packages)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print(f"installing {' '.join(packages)}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *options, *packages]
    try:
        done = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise RgpError(f"pip install {' '.join(packages)}: took more than {INSTALL_SECONDS} s") from error
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-1:] or ["no reason given"]
        raise RgpError(f"pip install {' '.join(packages)}: {last[0][:200]}")
    stamp.write_text(wanted)


def sources(cache: Path) -> Path:
    """Links to ``rgp`` and ``benchmarks`` in a folder with nothing else: the checkout has ``compile`` and ``serve``."""
    folder = cache.resolve() / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("rgp", "benchmarks"):
        if not (link := folder / name).exists():
            link.symlink_to(ROOT / name)
    return folder
