"""Engines on disk, one file each: a line of JSON (format, key, size, sha256 of the rest), then the engine.

An engine is code for the GPU and the host, and the library runs what it is given. So only this folder's engines are
loaded, never one that came with a bundle; only from a folder that nobody else can enter; and only whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from rgp.engines.tensorrt.key import Key
from rgp.errors import EngineError
from rgp.files import written_whole

FORMAT = "rgp-tensorrt/1"
MAX_HEADER_BYTES = 1 << 16
MAX_BYTES = 4 << 30
"""What the folder holds at most; those used least recently make room."""


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/rgp/tensorrt``, by default in ``~/.cache`` (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rgp" / "tensorrt"


class Store:
    """Engines and timing caches by key. ``folder`` None: nothing is kept."""

    def __init__(self, folder: Path | None, *, max_bytes: int = MAX_BYTES) -> None:
        self.folder, self._max_bytes = folder, max_bytes

    def get(self, key: Key) -> tuple[bytes | None, str]:
        """What is stored for ``key``, or None and the reason. EngineError if others can enter the folder."""
        if self.folder is None or not self.folder.is_dir():
            return None, "there is none yet"
        self._check_folder(self.folder)
        path = self._path(key)
        try:
            with path.open("rb") as file:
                header = _header(file.readline(MAX_HEADER_BYTES))
                size, sha256, stored = int(header["bytes"]), str(header["sha256"]), dict(header["key"])
                changed = key.stale(stored)
                if changed:
                    return None, f"the stored one is stale: {changed}"
                data = file.read() if os.fstat(file.fileno()).st_size == file.tell() + size else b""
            os.utime(path)
        except FileNotFoundError:
            return None, "there is none yet"
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            return None, f"the stored one cannot be read ({type(error).__name__}: {error})"
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            return None, "the stored one is damaged: it is not what was written"
        return data, ""

    def put(self, key: Key, data: bytes) -> str:
        """Keep ``data``; says why it could not, which costs only time, or nothing."""
        if self.folder is None:
            return ""
        header = {
            "format": FORMAT,
            "key": key.to_dict(),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_folder(self.folder)
            with written_whole(self._path(key)) as file:
                file.write(json.dumps(header).encode() + b"\n")
                file.write(data)
            self._make_room(self._path(key))
        except OSError as error:
            return f"{self.folder}: {error.strerror or error}"
        return ""

    def _path(self, key: Key) -> Path:
        assert self.folder is not None
        return self.folder / f"{key.name}.engine"

    def _make_room(self, newest: Path) -> None:
        """Remove what was used least recently until the rest fits."""
        files = {path: path.stat() for path in newest.parent.glob("*.engine")}
        total = sum(stat.st_size for stat in files.values())
        for path, stat in sorted(files.items(), key=lambda item: item[1].st_mtime_ns):
            if total <= self._max_bytes:
                return
            if path != newest:
                with suppress(FileNotFoundError):  # another process was faster
                    path.unlink()
                total -= stat.st_size

    @staticmethod
    def _check_folder(folder: Path) -> None:
        stat = folder.stat()
        if hasattr(os, "geteuid") and (stat.st_uid != os.geteuid() or stat.st_mode & 0o077):
            raise EngineError(
                f"{folder}: another user's, or open to others, and an engine is code: chmod 700 it, or set "
                "XDG_CACHE_HOME to a folder of your own"
            )


def _header(line: bytes) -> dict[str, Any]:
    header = json.loads(line)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError("it is of another format")
    return header
