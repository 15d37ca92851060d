"""The peers' environments: made from pinned versions in the cache folder, each with our engine and Pillow."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks import environments
from benchmarks.serving.part import Part
from benchmarks.serving.processes import Running, free_port, started

APPS = "benchmarks.serving.peer_apps"
SHARED = ("numpy", "pillow", "onnxruntime", "rich")
"""In the same versions as here."""


@dataclass(frozen=True)
class Peer:
    """``package``: as pip takes it. ``command``: after the environment's folder of programs; {port}, {folder}."""

    name: str
    package: str
    command: tuple[str, ...]


PEERS = (
    Peer("LitServe", "litserve==0.2.19", ("python", "-m", f"{APPS}.litserve_app")),
    Peer(
        "BentoML",
        "bentoml==1.4.39",
        ("bentoml", "serve", f"{APPS}.bentoml_app:Classifier", "--host", "127.0.0.1", "--port", "{port}"),
    ),
    Peer("Ray Serve", "ray[serve]==2.60.0", ("python", "-m", f"{APPS}.ray_app", "{folder}")),
)
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "BENTOML_DO_NOT_TRACK": "True",
}


def install(peer: Peer, cache: Path) -> dict[str, str]:
    """Make the peer's environment unless it is there; versions of what decides. RgpError says why it cannot be."""
    folder, wanted = _folder(peer, cache), [peer.package, *(f"{name}=={metadata.version(name)}" for name in SHARED)]
    environments.install(folder, wanted)
    names = [peer.package.partition("==")[0].partition("[")[0], "onnxruntime", "pillow", "numpy", "fastapi", "uvicorn"]
    script = (
        "import sys; from importlib.metadata import version, packages_distributions as all\n"
        "have = {name.lower() for names in all().values() for name in names}\n"
        "[print(name, version(name)) for name in sys.argv[1:] if name in have]"
    )
    said = subprocess.run([folder / "bin" / "python", "-c", script, *names], check=True, capture_output=True, text=True)
    return dict(line.split() for line in said.stdout.splitlines())


@contextmanager
def launched(part: Part, peer: Peer, *, workers: int, threads: int, batch: int) -> Iterator[Running]:
    """The peer's service, answering."""
    port, cache = free_port(), part.cache.resolve()
    fill = {"port": str(port), "folder": str(cache / "ray")}
    given = {"WORKERS": workers, "THREADS": threads, "BATCH": batch, "PORT": port, "BUNDLE": part.bundle.resolve()}
    environment = {
        **QUIET,
        **{f"RGP_PEER_{name}": str(value) for name, value in given.items()},
        "BENTOML_HOME": str(cache / "bentoml-home"),
        "PYTHONPATH": str(environments.sources(cache)),
        "OMP_NUM_THREADS": str(threads),
    }
    program, *arguments = peer.command
    command = [str(_folder(peer, cache) / "bin" / program), *(each.format(**fill) for each in arguments)]
    part.note(
        [f"RGP_PEER_{name}={given[name]}" for name in ("WORKERS", "THREADS", "BATCH")]
        + [program, *(each.format(port="PORT", folder="DIR") for each in arguments)]
    )
    folder = environments.sources(cache)  # the current folder comes first in sys.path: ours has a folder `serve`
    log = part.log(peer.name.replace(" ", "-").lower())
    with started(command, port, part.images[0], log, environment=environment, folder=folder) as running:
        yield running


def _folder(peer: Peer, cache: Path) -> Path:
    return cache.resolve() / "peers" / peer.name.replace(" ", "-").lower()
