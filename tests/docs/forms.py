"""Whether a file has the fields that the reference says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def unlike(value: dict[str, Any], form: dict[str, str], prefix: str = "") -> Iterator[str]:
    """What ``value`` has and ``form``, dotted name to JSON type, has not; and the other way round."""
    wanted = {name for name in form if name.startswith(prefix) and "." not in name.removeprefix(prefix)}
    here = {f"{prefix}{key}": inner for key, inner in value.items()}
    yield from here.keys() - wanted
    yield from (name for name in wanted - here.keys() if not form[name].endswith("absent"))
    for name in wanted & here.keys():
        inner = here[name]
        for each in inner if isinstance(inner, list) else [inner]:
            if isinstance(each, dict) and not form[name].startswith("object of"):
                yield from unlike(each, form, f"{name}.")
