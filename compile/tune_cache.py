"""Measured times of single convolutions, kept between compilations: one small JSON file for each question.

The name is the hash of all that decides the answer (shape, structure, lowering, engine and its version,
threads, CPU), so nothing is ever stale; deleting the folder loses only time. What cannot be read is measured again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rgp.files import written_whole


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/rgp/tune``, by default in ``~/.cache`` (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rgp" / "tune"


class TuneCache:
    """Answers by question; both are what JSON can hold. ``folder`` None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, question: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer, if this very question was answered before."""
        if self._folder is None:
            return None
        try:
            entry = json.loads(self._path(question).read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(entry, dict) or entry.get("question") != _plain(question):
            return None
        answer = entry.get("answer")
        return answer if isinstance(answer, dict) else None

    def put(self, question: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Keep an answer; a folder that cannot be written is no error, the time is measured again."""
        if self._folder is None:
            return
        data = json.dumps({"question": question, "answer": answer}, indent=1).encode()
        try:
            with written_whole(self._path(question)) as file:
                file.write(data)
        except OSError:
            return

    def _path(self, question: Mapping[str, Any]) -> Path:
        assert self._folder is not None
        digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        return self._folder / f"{digest[:32]}.json"


def _plain(question: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(question))
