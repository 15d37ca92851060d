"""The files that rgp writes for others to read: the checkpoint, a run's, and the bundle's manifest, report and plan.

The checkpoint and what is in it are classes. A manifest is read off one that is really written, of a bundle of three
small files. Of the report and the plan there are types, and what writes them returns these.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import rgp.bundle
import rgp.checkpoint
import rgp.train.history
import rgp.train.tracking
from docs.reference.markdown import code, paragraphs, prose, table
from rgp.bundle import MANIFEST, REQUIRED, Bundle
from rgp.checkpoint import Checkpoint
from rgp.engines.target import Target
from rgp.preprocess import Preprocess
from rgp.report_form import PlanFile, Report
from rgp.train.history import Epoch
from rgp.train.result_form import Result
from rgp.train.resume import Position, TrainingState
from rgp.train.tracking import COLUMNS


def checkpoint() -> str:
    """The fields of a checkpoint, of the training state and of the preprocessing inside."""
    format_ = [code("format"), code("str"), f"{code(rgp.checkpoint.FORMAT)}; a reader refuses any other."]
    return f"""# Checkpoint

{paragraphs(rgp.checkpoint.__doc__ or "")}

{paragraphs(inspect.getdoc(Checkpoint) or "")}

{table(["field", "type", "what it is"], [format_, *_declared(Checkpoint)])}

## training

{paragraphs(inspect.getdoc(TrainingState) or "")} Each of `config` is a [setting](training-settings.md).

{table(["field", "type", "what it is"], [*_declared(TrainingState), *_declared(Position, "position.")])}

## preprocess

{paragraphs(inspect.getdoc(Preprocess) or "")}

{table(["field", "type", "what it is"], _declared(Preprocess))}
"""


def bundle() -> str:
    """The fields of ``manifest.json``, ``report.json`` and ``plan.json``."""
    texts = {f"{prefix}.{name}": text for prefix, kind in INSIDE.items() for name, text in _texts(kind).items()}
    described = MANIFEST | texts
    rows = [[code(name), code(kind), prose(described.get(name, ""))] for name, kind in manifest_fields()]
    report = [[code(name), code(kind), prose(text)] for name, kind, text in form_fields(Report)]
    plan = [[code(name), code(kind), prose(text)] for name, kind, text in form_fields(PlanFile)]
    return f"""# Bundle

{paragraphs(rgp.bundle.__doc__ or "")}

A bundle has at least {", ".join(f"`{name}`" for name in ("manifest.json", *REQUIRED))}.

## manifest.json

{table(["field", "type", "what it is"], rows)}

## preprocess

{paragraphs(inspect.getdoc(Preprocess) or "")}

## target

{paragraphs(inspect.getdoc(Target) or "")}

## report.json

A name with a dot is a field inside: of the object, or of each object in the list. NAME stands for any name. MACs are
multiply-accumulates for one image.

{table(["field", "type", "what it is"], report)}

## plan.json

What `report.json` has under the same name is the same here. Beside it:

{table(["field", "type", "what it is"], [row for row in plan if row not in report])}
"""


def run() -> str:
    """The files of a training run: ``history.csv``, ``result.json``, and ``results.csv`` beside all runs."""
    history = [[row[0], row[2]] for row in _declared(Epoch)]
    result = [[code(name), code(kind), prose(text)] for name, kind, text in form_fields(Result)]
    return f"""# Training run

{paragraphs(rgp.train.tracking.__doc__ or "")}

## history.csv

{paragraphs(rgp.train.history.__doc__ or "")}

{table(["column", "what it is"], history)}

## result.json

A name with a dot is a field inside: of the object, or of each object in the list. Accuracies are in percent, MACs are
multiply-accumulates for one image.

{table(["field", "type", "what it is"], result)}

## results.csv

{table(["column", "what it is"], [[code(name), prose(text)] for name, text in COLUMNS.items()])}
"""


INSIDE: dict[str, type[Any]] = {"preprocess": Preprocess, "target": Target}
"""Fields of the manifest that are dataclasses themselves."""
JSON_TYPES: dict[Any, str] = {
    **{dict: "object", str: "text", int: "whole number", float: "number"},
    **{bool: "true or false", NoneType: "null", Any: "any value"},
}


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


def form_fields(form: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Dotted name, JSON type and text of every field of a ``TypedDict``, those of the ones inside included."""
    texts = _texts(form)
    for name, hint in get_type_hints(form, include_extras=True).items():
        kind = get_args(hint)[0] if get_origin(hint) is NotRequired else hint
        yield f"{prefix}{name}", _spelt(kind) + (", or absent" if kind is not hint else ""), texts[name]
        inner = get_args(kind)[-1] if get_origin(kind) in (list, dict) else kind
        if is_typeddict(inner):
            yield from form_fields(inner, f"{prefix}{name}." + ("NAME." if get_origin(kind) is dict else ""))


def _spelt(kind: Any) -> str:
    """A type as JSON has it."""
    inner = get_args(kind)
    if is_typeddict(kind):
        return "object"
    if get_origin(kind) is Literal:
        return " or ".join(inner)
    if get_origin(kind) is UnionType:
        return " or ".join(map(_spelt, inner))
    if get_origin(kind) in (list, dict):
        return f"{'list' if get_origin(kind) is list else 'object'} of {_spelt(inner[-1])}"
    return JSON_TYPES[kind]


def _walk(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        yield f"{prefix}{name}", _json_type(inner)
        if isinstance(inner, dict):
            yield from _walk(inner, f"{prefix}{name}.")


def _json_type(value: Any) -> str:
    if isinstance(value, list):
        return f"list of {_json_type(value[0])}"
    return JSON_TYPES[type(value)]


def _declared(kind: Any, prefix: str = "") -> list[list[str]]:
    """The fields of a class as Python declares them: name, type, text."""
    texts = _texts(kind)
    types = {name: re.sub(r"NotRequired\[(.*)\]", r"\1, or absent", each) for name, each in _types(kind).items()}
    return [[code(prefix + name), code(spelt), prose(texts.get(name, ""))] for name, spelt in types.items()]


def _types(kind: Any) -> dict[str, str]:
    """The fields of a dataclass or a ``TypedDict``, and their types as they stand in the code."""
    found: dict[str, Any] = kind.__annotations__
    return {name: getattr(each, "__forward_arg__", each) for name, each in found.items()}


def _texts(kind: Any) -> dict[str, str]:
    """The text that stands under each field in the class or its forms' bases: Python itself does not keep these."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for base in body.bases:  # a TypedDict does not know its own
        if isinstance(base, ast.Name) and is_typeddict(form := vars(sys.modules[kind.__module__])[base.id]):
            found |= _texts(form)
    for entry, after in pairwise(body.body):
        match entry, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = text
    return found
