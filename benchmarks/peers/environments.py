"""The peers' packages, at pinned versions, each set in a virtual environment of its own in the cache folder."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from benchmarks import environments

OURS = "ours"
"""The environment that this runs in."""
PACKAGES = {
    "openvino": ("openvino==2026.4.1", "nncf==3.4.0"),
    "deepsparse": ("deepsparse==1.8.0",),  # the last that installs; 1.9.0 only says that its life has ended
    "torch-pruning": ("torch-pruning==1.6.1",),
}
BESIDE_OURS = ("torch-pruning",)
"""Pure Python that needs our torch: put into a folder of its own, without what it depends on."""
DECIDING = ("onnxruntime", "torch", "numpy", "openvino", "nncf", "deepsparse", "torch-pruning")


def install(name: str, cache: Path) -> None:
    """Make the environment unless it is there; RgpError says why it cannot be."""
    where = ("--no-deps", "--target", str(packages(name, cache))) if name in BESIDE_OURS else ()
    environments.install(_folder(name, cache), PACKAGES[name], where)


def missing(name: str, cache: Path) -> str | None:
    """Why nothing can run in the environment; None if it is there."""
    if name == OURS or (_folder(name, cache) / environments.STAMP).is_file():
        return None
    return f"{' '.join(PACKAGES[name])} is not installed in {cache}: run prepare"


def python(name: str, cache: Path) -> str:
    """The environment's interpreter."""
    return sys.executable if name == OURS else str(_folder(name, cache) / "bin" / "python")


def packages(name: str, cache: Path) -> Path:
    """The folder to put into sys.path for one of BESIDE_OURS."""
    return _folder(name, cache) / "packages"


def versions(name: str, cache: Path) -> dict[str, str]:
    """Of the packages that decide, in that environment."""
    if name == OURS:
        return {each: metadata.version(each) for each in ("onnxruntime", "torch", "numpy", "rgp")}
    script = (
        "import json, sys; from importlib.metadata import distributions as all\n"
        "path = {'path': sys.argv[2:]} if sys.argv[2:] else {}\n"
        "print(json.dumps({each.name: each.version for each in all(**path) if each.name in json.loads(sys.argv[1])}))"
    )
    path = [str(packages(name, cache))] if name in BESIDE_OURS else []
    command = [python(name, cache), "-c", script, json.dumps(DECIDING), *path]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, str] = json.loads(said)
    return found


def _folder(name: str, cache: Path) -> Path:
    return cache.resolve() / "environments" / name
