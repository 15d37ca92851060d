"""The two files that rgp writes for others to read: the checkpoint and the bundle's manifest.

The checkpoint is a dataclass. A manifest is read off one that is really written, of a bundle of three small files.
"""

from __future__ import annotations

import ast
import inspect
import json
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import rgp.bundle
import rgp.checkpoint
from docs.reference.markdown import code, paragraphs, prose, table
from rgp.bundle import MANIFEST, REQUIRED, Bundle
from rgp.checkpoint import Checkpoint
from rgp.engines.target import Target
from rgp.preprocess import Preprocess


def checkpoint() -> str:
    """The fields of a checkpoint, and of the preprocessing inside."""
    return f"""# Checkpoint

{paragraphs(rgp.checkpoint.__doc__ or "")} Its `format` is `{rgp.checkpoint.FORMAT}`.

{paragraphs(inspect.getdoc(Checkpoint) or "")}

{table(["field", "type", "what it is"], _of_dataclass(Checkpoint))}

## preprocess

{paragraphs(inspect.getdoc(Preprocess) or "")}

{table(["field", "type", "what it is"], _of_dataclass(Preprocess))}
"""


def bundle() -> str:
    """The fields of ``manifest.json``."""
    texts = {f"{prefix}.{name}": text for prefix, kind in INSIDE.items() for name, text in _texts(kind).items()}
    described = MANIFEST | texts
    rows = [[code(name), code(kind), prose(described.get(name, ""))] for name, kind in manifest_fields()]
    return f"""# Bundle

{paragraphs(rgp.bundle.__doc__ or "")}

A bundle has at least {", ".join(f"`{name}`" for name in ("manifest.json", *REQUIRED))}.

## manifest.json

{table(["field", "type", "what it is"], rows)}

## preprocess

{paragraphs(inspect.getdoc(Preprocess) or "")}

## target

{paragraphs(inspect.getdoc(Target) or "")}
"""


INSIDE: dict[str, type[Any]] = {"preprocess": Preprocess, "target": Target}
"""Fields of the manifest that are dataclasses themselves."""


def manifest_fields() -> list[tuple[str, str]]:
    """Dotted name and JSON type of every field of a manifest that ``Bundle.write`` wrote just now."""
    with tempfile.TemporaryDirectory() as folder:
        written = Bundle.write(
            Path(folder) / "bundle",
            name="example",
            architecture="small_resnet",
            labels=("cat", "dog"),
            preprocess=Preprocess(3, 224, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            files=dict.fromkeys(REQUIRED, b"{}"),
        )
        manifest = json.loads((written.path / "manifest.json").read_text())
    one_file = next(iter(manifest["files"].values()))
    return list(_walk(manifest | {"files": {"NAME": one_file}}))


def _walk(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        yield f"{prefix}{name}", _json_type(inner)
        if isinstance(inner, dict):
            yield from _walk(inner, f"{prefix}{name}.")


def _json_type(value: Any) -> str:
    if isinstance(value, list):
        return f"list of {_json_type(value[0])}"
    return {dict: "object", str: "text", int: "whole number", float: "number"}[type(value)]


def _of_dataclass(kind: type[Any]) -> list[list[str]]:
    texts = _texts(kind)
    return [[code(entry.name), code(str(entry.type)), prose(texts.get(entry.name, ""))] for entry in fields(kind)]


def _texts(kind: type[Any]) -> dict[str, str]:
    """The text that stands under each field in the class: Python itself does not keep these."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for entry, after in pairwise(body.body):
        match entry, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = text
    return found
