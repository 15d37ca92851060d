"""The settings of a training run and of a service, and what else may be set beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import Field, fields
from itertools import groupby
from typing import Any, get_args, get_origin, get_type_hints

import rgp.serve.keys
from docs.reference.markdown import code, paragraphs, prose, table
from rgp.serve.options import OTHERS, PREFIX
from rgp.serve.settings import Settings
from rgp.train.config import TrainConfig
from rgp.train.published_options import OPTIONS


def training() -> str:
    """The keys of a configuration file of ``rgp-train``, which are its options as well."""
    kinds = get_type_hints(TrainConfig)
    rows = [
        [code(entry.name), code(_kind(kinds[entry.name])), code(_spelt(entry.default)), _text(entry)]
        for entry in fields(TrainConfig)
    ]
    return f"""# Settings of training

{prose(TrainConfig.__doc__ or "")} Each is a key of the YAML file of `--config`, and an option of
[`rgp-train`](rgp-train.md): `lr: 0.05` is `--lr 0.05`. [Training](../training.md) says where they come from.

{table(["key", "type", "default", "what it is"], rows)}

## Options of the published code

They are understood as options and in files, and logged in today's spelling. A value
in front of a colon is theirs, behind it ours; DATA is what `--data` says.

{table(["published", "here", "values"], _published())}
"""


def _published() -> Iterator[list[str]]:
    """Each option of the published code, those that mean the same in one row."""
    for option, names in groupby(OPTIONS, OPTIONS.__getitem__):
        values = [
            f"{theirs}: {ours.replace('{}', 'DATA') or 'nothing to set'}" for theirs, ours in option.values.items()
        ]
        if option.answer:
            values = [f"{', '.join(option.holds) or 'none'}; others are refused: {option.answer}"]
        here = code(option.becomes) or ("" if option.answer else "not needed")
        yield [", ".join(map(code, names)), here, prose("; ".join(values))]


def service() -> str:
    """The settings of ``rgp-serve``: option, variable, default, bounds."""
    rows = [
        [
            code("--" + entry.name.replace("_", "-")),
            code(PREFIX + entry.name.upper()),
            code(_spelt(entry.default)),
            _bounds(entry),
            _text(entry),
        ]
        for entry in fields(Settings)
    ]
    return f"""# Settings of the service

{prose(Settings.__doc__ or "")} Each is an option of [`rgp-serve`](rgp-serve.md) and a variable of the environment; the
option wins. [Serving](../serving.md) says how to choose them.

{table(["option", "variable", "default", "from, to", "what it is"], rows)}

## Other variables

{table(["variable", "what it does"], [[code(name), prose(text)] for name, text in OTHERS.items()])}

## The file of --keys

{paragraphs(rgp.serve.keys.__doc__ or "")}

{table(["entry", "what it is"], [[code(name), prose(text)] for name, text in rgp.serve.keys.FIELDS.items()])}
"""


def _kind(kind: Any) -> str:
    """A type as a user writes its values."""
    if get_origin(kind) is None:
        return str(kind.__name__)
    parts = [part for part in get_args(kind) if part is not Ellipsis]
    if get_origin(kind) is tuple:
        return f"list of {_kind(parts[0])}"
    if all(isinstance(part, str) for part in parts):
        return " or ".join(parts)
    return " or ".join("nothing" if part is type(None) else _kind(part) for part in parts)


def _spelt(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return {True: "true", False: "false", None: "", "": ""}.get(value, str(value)) if not _number(value) else str(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)  # 1 == True, for a dict too


def _bounds(entry: Field[Any]) -> str:
    low, high = entry.metadata.get("low"), entry.metadata.get("high")
    return "" if low is None else f"{low:,}" + (f" to {high:,}" if high is not None else "")


def _text(entry: Field[Any]) -> str:
    return prose(re.sub(r"\s+", " ", entry.metadata["help"]))
