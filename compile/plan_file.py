"""plan.json: how each convolution runs, as a file that makes the same choices again, here or on another machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.plan import Plan, possible
from rgp.errors import CompileError

FORMAT = "rgp-plan/1"
MAX_BYTES = 64 << 20


def plan_json(plan: Plan, about: Mapping[str, Any]) -> bytes:
    """The file's bytes; ``about``: where and how it was measured."""
    layers = [{**layer.to_dict(), "fingerprint": fingerprint(layer.conv)} for layer in plan.layers]
    return (json.dumps({"format": FORMAT, **about, "layers": layers}, indent=1, allow_nan=False) + "\n").encode()


def read_plan(path: Path, convs: Sequence[Conv], optional: Collection[str] = ()) -> dict[str, Choice]:
    """The choices of a plan file for ``convs``, by layer name. ``optional``: what stays dense if it is not in it.

    Raises CompileError if it is no plan, or one of another network: layers, shapes and zeros must be the same.
    """
    planned = {str(layer["name"]): layer for layer in _layers(path)}
    choices = {}
    for conv in convs:
        layer = planned.get(conv.name)
        if layer is None and conv.name in optional:  # a linear layer: dense ones have no place in a plan
            choices[conv.name] = Choice.dense(conv)
            continue
        if layer is None or layer.get("fingerprint") != fingerprint(conv):
            what = "does not know" if layer is None else "was made for other zeros or another shape of"
            raise CompileError(f"{path}: {what} layer '{conv.name}': give the plan of this network, or none")
        choices[conv.name] = _choice(path, conv, layer)
    return choices


def fingerprint(conv: Conv) -> str:
    """The same for convolutions of one shape with zeros in the same places."""
    structure = conv.structure
    digest = hashlib.sha256(repr((conv.channels, conv.kernel, conv.in_elements, conv.out_elements)).encode())
    for array in (structure.out_class, structure.in_class, structure.biadjacency):
        digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()


def _layers(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise CompileError(f"{path}: no such file: give a bundle's plan.json")
    if path.stat().st_size > MAX_BYTES:
        raise CompileError(f"{path}: {path.stat().st_size} bytes, a plan has at most {MAX_BYTES}: give a plan.json")
    try:
        plan = json.loads(path.read_bytes())
        if plan["format"] != FORMAT:
            raise ValueError(f"its format is {plan['format']!r}, this rgp reads '{FORMAT}'")
        layers = plan["layers"]
        if not all(isinstance(layer["name"], str) for layer in layers):
            raise ValueError("a layer without a name")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CompileError(f"{path}: no plan ({type(error).__name__}: {error}): give a bundle's plan.json") from error
    found: list[dict[str, Any]] = layers
    return found


def _choice(path: Path, conv: Conv, layer: Mapping[str, Any]) -> Choice:
    if layer.get("lowering") == "dense":
        return Choice.dense(conv)
    for choice in possible(conv)[0]:
        form = {"lowering": choice.lowering, "terms": len(choice.terms), "parts": len(choice.terms[0])}
        if all(layer.get(name) == value for name, value in form.items()):
            return choice
    raise CompileError(
        f"{path}: runs layer '{conv.name}' as {layer.get('lowering')!r} in {layer.get('parts')!r} parts, which does "
        "not apply to it: give the plan of this network, or none"
    )
