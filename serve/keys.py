"""API keys: who may ask, how often, and who may exchange the model. The file holds hashes, never keys.

::

    [[key]]
    name = "shop"
    sha256 = "9f86d0..."
    rate = 50
    admin = true

Keys are 256 random bits, so a plain hash is safe: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from rgp.errors import UsageError
from rgp.serve.gate import OverloadedError

MAX_FILE_BYTES = 1 << 20
FIELDS = {
    "name": "whose it is: the log has it",
    "sha256": "of the key, 64 hexadecimal digits; rgp-serve --new-key NAME makes both",
    "rate": "requests a second, on average; bursts of twice as many; without it: no limit",
    "admin": "true: may reload the model and roll it back (default: false)",
}
"""What a table ``[[key]]`` of the file may have; the first two it must have."""


@dataclass(frozen=True)
class Key:
    """One caller."""

    name: str
    sha256: bytes
    rate: float
    admin: bool


class Keys:
    """All callers; with none of them everyone may ask, and nobody may exchange the model."""

    def __init__(self, keys: tuple[Key, ...] = ()) -> None:
        self._keys = keys
        self._tokens = {key.name: (max(1.0, 2 * key.rate), time.monotonic()) for key in keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    @classmethod
    def read(cls, path: Path) -> Keys:
        """From a TOML file; UsageError that names the file and what is wrong with it."""
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise UsageError(f"{path}: more than {MAX_FILE_BYTES} bytes are no list of keys")
            found = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}: give --keys a file that this user can read") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: not TOML: {error}") from error
        rows = found.get("key")
        if not isinstance(rows, list) or not rows or set(found) != {"key"}:
            raise UsageError(f"{path}: give one [[key]] table for each caller, and nothing else")
        keys = tuple(_key(row, path) for row in rows)
        if len({key.name for key in keys}) < len(keys):
            raise UsageError(f"{path}: two keys have the same name")
        return cls(keys)

    def admit(self, headers: Headers) -> Key | None:
        """Whose key the headers carry; None if none is asked for.

        Raises HTTPException 401 without a right one, OverloadedError (429) where its rate is used up.
        """
        if not self._keys:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        given = given.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = hashlib.sha256(given.encode("latin-1", "replace")).digest()
        # all are compared, each in constant time: how long it takes tells nothing
        matches = [key for key in self._keys if hmac.compare_digest(key.sha256, digest)]
        if not matches:
            raise HTTPException(
                401, "no valid API key: send one as 'Authorization: Bearer KEY'", {"www-authenticate": "Bearer"}
            )
        self._spend(matches[0])
        return matches[0]

    def require_admin(self, key: Key | None) -> None:
        """Raise HTTPException 403 unless ``key`` may exchange the model."""
        if key is None or not key.admin:
            raise HTTPException(403, "this needs a key with admin = true: see --keys")

    def _spend(self, key: Key) -> None:
        if math.isinf(key.rate):
            return
        tokens, then = self._tokens[key.name]
        now = time.monotonic()
        tokens = min(max(1.0, 2 * key.rate), tokens + (now - then) * key.rate)
        if tokens < 1:
            self._tokens[key.name] = (tokens, now)
            raise OverloadedError(
                f"the key '{key.name}' is allowed {key.rate:g} requests a second", (1 - tokens) / key.rate
            )
        self._tokens[key.name] = (tokens - 1, now)


def new_key(name: str) -> tuple[str, str]:
    """A new key, for its user alone, and its table for the file."""
    if not re.fullmatch(r"[\w.-]{1,64}", name, re.ASCII):
        raise UsageError(f"--new-key {name!r}: a name has 1 to 64 letters, digits, dots, dashes")
    key = f"rgp_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    return key, f'[[key]]\nname = "{name}"\nsha256 = "{digest}"\n'


def _key(row: Any, path: Path) -> Key:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise UsageError(f"{path}: a key has no name")
    name = row["name"]
    if extra := set(row) - FIELDS.keys():
        raise UsageError(f"{path}: key '{name}': unknown entry '{min(extra)}'")
    digest, rate, admin = row.get("sha256"), row.get("rate", math.inf), row.get("admin", False)
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise UsageError(f"{path}: key '{name}': sha256 must be 64 hexadecimal digits: make it with --new-key {name}")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0:
        raise UsageError(f"{path}: key '{name}': rate is {rate!r}, give requests a second, more than 0")
    if not isinstance(admin, bool):
        raise UsageError(f"{path}: key '{name}': admin is {admin!r}, give true or false")
    return Key(name, bytes.fromhex(digest), float(rate), admin)
