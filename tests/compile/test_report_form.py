"""What a compilation really writes is what the reference says of it, field by field."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from docs.reference import formats
from rgp.compile.pipeline import Settings, compile_source
from rgp.compile.source import from_checkpoint
from rgp.engines.tensorrt.build import Summary
from rgp.report_form import Built, PlanFile, Report
from tests.docs.forms import unlike

FORMS = {"report.json": Report, "plan.json": PlanFile}


@pytest.mark.parametrize("tune", ["off", "quick"])
def test_every_field_of_a_compiled_bundle_stands_in_the_reference(
    tune: str, write_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    settings = Settings(threads=1, batches=(1, 2), tune=tune, pairs=20, seconds=0.1)
    bundle = compile_source(from_checkpoint(write_checkpoint()), tmp_path / "bundle", settings)
    page = formats.bundle()
    for file, kind in FORMS.items():
        form = {name: json_type for name, json_type, _ in formats.form_fields(kind)}
        written = json.loads(bundle.files[file])
        assert list(unlike(written, form)) == []
        assert written["layers"][1]["candidates"]
        assert [name for name in form if f"| `{name}` |" not in page] == []


def test_what_tensorrt_tells_of_an_engine_stands_in_the_reference() -> None:
    assert get_type_hints(Built).keys() - {"engine_bytes", "stored"} == {entry.name for entry in fields(Summary)}


def test_a_field_that_is_missing_or_unknown_is_found() -> None:
    form = {"a": "object", "a.b": "text", "a.c": "text, or absent", "d": "list of object", "d.e": "text"}
    assert list(unlike({"a": {"b": ""}, "d": [{"e": ""}]}, form)) == []
    assert set(unlike({"a": {"x": ""}, "d": [{"e": ""}, {}], "y": 1}, form)) == {"y", "a.x", "a.b", "d.e"}
