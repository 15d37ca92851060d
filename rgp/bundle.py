"""A compiled network on disk: one directory that carries all a service needs, each file with its hash.

::

    manifest.json   format, model, labels, preprocessing, engine, sha256 and size of every other file
    dense.onnx      the baseline: the masked network with its zeros multiplied out
    compiled.onnx   the same network, lowered
    plan.json       how each convolution runs, for --plan on another machine
    report.json     what was measured, where, and the proof of equality
    report.html     the same for people
    graph.svg       the graph inside as a drawing, where one can be drawn
    sample-*        images to try, where --samples asked for some

A bundle is untrusted: sizes and hashes are checked before a byte is used, and engines get the bytes that
were checked, never the path.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rgp.engines import Engine
from rgp.engines.target import Target
from rgp.errors import BundleError, RgpError, UsageError
from rgp.preprocess import Preprocess

FORMAT = "rgp-bundle/1"
REQUIRED = ("dense.onnx", "compiled.onnx", "report.json")
MAX_MANIFEST_BYTES = 16 << 20
MANIFEST = {
    "format": f"{FORMAT}; a reader refuses any other",
    "model": "the network",
    "model.name": "what it is called: architecture and graph, or the ONNX file's name",
    "model.architecture": "the builder in rgp.models, or the name inside the ONNX file",
    "labels": "names of the classes, in the order of the outputs; may be empty where preprocess is null",
    "preprocess": "from an image to the network's input; null for a network that takes numbers",
    "target": "what it was compiled for; what is left out is the default",
    "at_once": "how many inputs of a batch are run together, where that measured faster than all of them",
    "at_once.NETWORK": "for dense or compiled: a whole number from 1",
    "files": "every other file of the bundle, by name",
    "files.NAME": "one file",
    "files.NAME.bytes": "its size",
    "files.NAME.sha256": "its hash, in hexadecimal",
}
"""What the fields of ``manifest.json`` are; those of ``preprocess`` and ``target`` are in their own classes."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files matched their hashes when it was opened; ``files`` maps names to their bytes.

    ``preprocess`` is None, and ``labels`` may be empty, where an ONNX model was compiled that takes no images.
    """

    path: Path
    name: str
    architecture: str
    labels: tuple[str, ...]
    preprocess: Preprocess | None
    target: Target
    files: Mapping[str, bytes]
    sha256: str
    """Of ``compiled.onnx``: the model's identity."""
    at_once: Mapping[str, int] = field(default_factory=dict)
    """For dense and compiled: how many inputs of a batch are run together, all of them where it does not say."""

    def start(self, network: str, *, threads: int) -> Engine:
        """The engine of ``network``, dense or compiled; raises EngineError if it cannot be started."""
        onnx = self.files[f"{network}.onnx"]
        return self.target.start(onnx, threads=threads, at_once=self.at_once.get(network))

    @property
    def report(self) -> dict[str, Any]:
        """``report.json``, parsed."""
        report: dict[str, Any] = _json_object(self.files["report.json"], self.path / "report.json")
        return report

    def require_images(self) -> Preprocess:
        """The preprocessing; BundleError for a network that takes no images."""
        if self.preprocess is None:
            raise BundleError(
                f"{self.path}: its network takes numbers, not images: compile it again with --preprocess and --labels"
            )
        return self.preprocess

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read and check the whole bundle; raises BundleError that names the file and what is wrong with it."""
        if not path.is_dir():
            raise BundleError(f"{path}: no such folder: make a bundle with rgp-compile")
        manifest = _manifest(path / "manifest.json")
        if manifest.get("format") != FORMAT:
            raise BundleError(f"{path}: its format is {manifest.get('format')!r}, this rgp reads '{FORMAT}'")
        try:
            given = manifest["preprocess"]
            preprocess = None if given is None else Preprocess.from_dict(given)
            labels = tuple(str(label) for label in manifest["labels"])
            if not isinstance(manifest["labels"], list) or (preprocess and not labels):
                raise TypeError("labels is no list of names")
            target = Target.from_dict(manifest.get("target", {}))
            at_once = {str(network): int(count) for network, count in manifest.get("at_once", {}).items()}
            if any(count < 1 for count in at_once.values()):
                raise ValueError(f"at_once is {at_once}")
            name, architecture = str(manifest["model"]["name"]), str(manifest["model"]["architecture"])
            listed = {str(file): (int(of["bytes"]), str(of["sha256"])) for file, of in manifest["files"].items()}
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RgpError) as error:
            raise BundleError(f"{path}/manifest.json: {type(error).__name__}: {error}; compile again") from error
        for required in REQUIRED:
            if required not in listed:
                raise BundleError(f"{path}/manifest.json: lists no {required}; compile again")
        files = {file: _checked(path, file, *expected) for file, expected in listed.items()}
        return cls(path, name, architecture, labels, preprocess, target, files, listed["compiled.onnx"][1], at_once)

    @classmethod
    def write(
        cls,
        path: Path,
        *,
        name: str,
        architecture: str,
        labels: tuple[str, ...],
        preprocess: Preprocess | None,
        files: Mapping[str, bytes],
        target: Target | None = None,
        at_once: Mapping[str, int] | None = None,
    ) -> Bundle:
        """Write a new bundle beside ``path``, then rename: it appears whole or not at all."""
        refuse_used(path)
        manifest = {
            "format": FORMAT,
            "model": {"name": name, "architecture": architecture},
            "labels": labels,
            "preprocess": preprocess and preprocess.to_dict(),
            "target": (target or Target()).to_dict(),
            "at_once": dict(at_once or {}),
            "files": {
                file: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for file, data in files.items()
            },
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for file, data in files.items():
                (temporary / file).write_bytes(data)
            (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
            temporary.chmod(0o755)
            bundle = cls.open(temporary)  # what cannot be opened is not left behind
            temporary.replace(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return replace(bundle, path=path)


def refuse_used(path: Path) -> None:
    """Raise UsageError unless a bundle can be written at ``path``: a new name, or an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path}: exists and is not an empty folder: choose another with -o, or remove it")
    if path.is_symlink() or path.resolve() == Path.cwd() or path.is_mount():
        raise UsageError(f"{path}: a link or a folder in use cannot be replaced: name a new folder with -o")
    parent = next(folder for folder in path.resolve().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UsageError(f"{path}: {parent} is not a folder that can be written to: choose another with -o")


def _checked(folder: Path, file: str, size: int, sha256: str) -> bytes:
    if not re.fullmatch(r"\w[\w.-]*", file, re.ASCII):
        raise BundleError(f"{folder}/manifest.json: {file!r} is no plain file name")
    path = folder / file
    if _size(path) == size:  # a larger file is not even read
        data = path.read_bytes()
        if len(data) == size and hashlib.sha256(data).hexdigest() == sha256:
            return data
    raise BundleError(f"{path}: changed since the bundle was written: copy it again, or compile again")


def _manifest(path: Path) -> dict[str, Any]:
    if _size(path) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path}: {_size(path)} bytes, a manifest has at most {MAX_MANIFEST_BYTES}: compile again")
    return _json_object(path.read_bytes(), path)


def _size(path: Path) -> int:
    if not path.is_file():  # a pipe would never end
        raise BundleError(f"{path}: missing: compile again, or copy the whole bundle")
    return path.stat().st_size


def _json_object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON ({error}): compile again") from error
    if not isinstance(value, dict):
        raise BundleError(f"{path}: holds {type(value).__name__}, not an object: compile again")
    return value
