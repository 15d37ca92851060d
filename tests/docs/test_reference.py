"""The reference pages leave nothing out: every option, setting, field and route of the code stands in them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from docs.reference import commands, formats, http, pages
from docs.reference.markdown import code, paragraphs, prose, table
from rgp.checkpoint import Checkpoint, load_plain
from rgp.environment import available_cores
from rgp.load.arguments import KEY
from rgp.preprocess import Preprocess
from rgp.serve import keys, v2, web
from rgp.serve.settings import Settings
from rgp.train.config import TrainConfig
from rgp.train.published_options import OPTIONS
from tests.docs.pages import ROOT
from tests.serve import tiny

SPOKEN = [
    *((command,) for command in commands.scripts()),
    *(("rgp-graph", name) for name in ("info", "search", "export")),
    *(("rgp-train", name) for name in ("compare", "networks", "shards")),
    ("rgp-bench", "serve"),
]


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return pages()


@pytest.mark.parametrize("spoken", SPOKEN, ids=" ".join)
def test_every_option_that_help_prints_stands_in_the_reference(
    spoken: tuple[str, ...], written: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, function = commands.scripts()[spoken[0]].partition(":")
    with pytest.raises(SystemExit):
        getattr(import_module(module), function)([*spoken[1:], "--help"])
    options = set(re.findall(r"^ +(?:-\w(?: \w+)?, )?(--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    assert len(options) >= 2
    page = written[f"reference/{spoken[0]}.md"]
    assert " ".join(spoken) in page
    assert [option for option in options if f"`{option}`" not in page] == []


def test_every_option_says_more_than_its_default(written: dict[str, str]) -> None:
    texts = [
        (name, first, re.sub(r"\(?default:? [^)]*\)?", "", last))
        for name in commands.scripts()
        for first, *_, last in cells(written[f"reference/{name}.md"])
        if "`--" in first
    ]
    assert len(texts) > 80
    assert [(name, first) for name, first, text in texts if not text.strip("; ")] == []


def test_every_command_and_subcommand_is_described(written: dict[str, str]) -> None:
    for command in commands.scripts():
        page = written[f"reference/{command}.md"]
        headings = re.findall(rf"^##? ({command}.*)$", page, re.MULTILINE)
        assert headings == [parser.prog for parser in commands.parsers(command)]
    assert {"# rgp-graph", "## rgp-graph search"} <= set(written["reference/rgp-graph.md"].splitlines())


def cells(page: str) -> list[list[str]]:
    """The rows of all tables."""
    return [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in page.splitlines() if line.startswith("| ")]


def rows(page: str) -> dict[str, list[str]]:
    """The same by their first cell."""
    return {row[0].strip("`"): row for row in cells(page)}


def test_every_setting_of_training_has_its_default_and_its_text(written: dict[str, str]) -> None:
    ours, _, published = written["reference/training-settings.md"].partition("## Options of the published code")
    found = rows(ours)
    for entry in fields(TrainConfig):
        assert prose(entry.metadata["help"]) == found[entry.name][-1], entry.name
    assert found["epochs"][1:3] == ["`int`", "`20`"]
    assert found["momentum"][1:3] == ["`float`", "`0.9`"]
    assert found["ema"][2] == "`0.0`"
    assert found["first_dense"][1:3] == ["`bool`", "`true`"]
    assert found["milestones"][1:3] == ["`list of int`", "`[]`"]
    assert [name for name in OPTIONS if f"`{name}`" not in published] == []


def test_every_setting_of_the_service_has_its_variable(written: dict[str, str]) -> None:
    found = rows(written["reference/service-settings.md"])
    assert len(fields(Settings)) > 10
    for entry in fields(Settings):
        row = found["--" + entry.name.replace("_", "-")]
        assert row[1] == f"`RGP_SERVE_{entry.name.upper()}`"
        assert row[-1] == prose(entry.metadata["help"])
    assert found["--baseline"][3] == "0 to 0.5"
    assert found.keys() >= keys.FIELDS.keys()


def test_every_variable_that_a_service_may_read_is_in_the_reference(written: dict[str, str]) -> None:
    sources = [path for folder in ("serve", "rgp") for path in (ROOT / folder).rglob("*.py")]
    text = "".join(path.read_text() for path in [*sources, *(ROOT / "compile" / "kernels").glob("*.cpp")])
    named = set(re.findall(r"""(?:environ(?:\.\w+\(|\[)|getenv\()"([A-Z_]+)\"""", text))
    assert {"XDG_CACHE_HOME", "RGP_ISA", "OMP_WAIT_POLICY"} <= named
    assert [name for name in named if f"| `{name}` |" not in written["reference/service-settings.md"]] == []
    assert f"${KEY}" in written["reference/rgp-bench.md"].replace("\\", "")


def test_every_field_of_a_saved_checkpoint_stands_in_the_reference(tmp_path: Path, written: dict[str, str]) -> None:
    preprocess = Preprocess(1, 8, 8, (0.5,), (0.5,))
    Checkpoint("small_resnet", {}, ("a",), preprocess, "dense", {"x": torch.zeros(1)}).save(tmp_path / "a.pth")
    saved = load_plain(tmp_path / "a.pth")
    for name in [*saved, *saved["preprocess"]]:
        assert f"| `{name}` |" in written["reference/checkpoint.md"], name


def test_every_field_of_a_written_manifest_stands_in_the_reference(tmp_path: Path, written: dict[str, str]) -> None:
    manifest = json.loads((tiny.write_bundle(tmp_path / "bundle").path / "manifest.json").read_text())
    manifest["files"] = {"NAME": manifest["files"]["dense.onnx"]}

    def names(value: Any, prefix: str = "") -> Iterator[str]:
        for name, inner in value.items() if isinstance(value, dict) else ():
            yield f"{prefix}{name}"
            yield from names(inner, f"{prefix}{name}.")

    assert set(names(manifest)) == {name for name, _ in formats.manifest_fields()}
    for name in names(manifest):
        assert f"| `{name}` |" in written["reference/bundle.md"], name


@pytest.mark.parametrize("page", ["checkpoint", "bundle"])
def test_every_field_of_what_is_written_has_its_text(page: str, written: dict[str, str]) -> None:
    found = cells(written[f"reference/{page}.md"])
    assert len(found) > 10
    assert [row for row in found if len(row) < 3 or not row[-1].strip()] == []


def test_every_route_and_field_of_the_http_interface_stands_in_the_reference(written: dict[str, str]) -> None:
    page, document = written["reference/http.md"], http.app().openapi()
    assert len(document["paths"]) > 8
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"### {method.upper()} {path}\n" in page
    for name, schema in document["components"]["schemas"].items():
        (section,) = re.findall(rf"^### {name}\n(.*?)(?=^### |\Z)", page, re.DOTALL | re.MULTILINE)
        shown = list(rows(section).items())[2:]
        assert [field for field, _ in shown] == list(schema["properties"]), name
        assert [row[-1] for _, row in shown] == [prose(of["description"]) for of in schema["properties"].values()]
    assert all(text for part in (v2, web) for _, text in http.undocumented(part))
    assert "`GET /v2/models/{name}`" in page


def fields_of(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a body and every parameter and header in an OpenAPI document, with where it stands."""
    if isinstance(part, list):
        for number, inner in enumerate(part):
            yield from fields_of(inner, f"{path}/{number}")
    elif isinstance(part, dict):
        for name, inner in part.items():
            if name in ("properties", "headers"):
                here = (each for each in inner.items() if name == "properties" or "$ref" not in each[1])
                yield from ((f"{path}/{name}/{field}", of) for field, of in here)
            elif name == "parameters":
                yield from ((f"{path}/{name}/{of.get('name')}", of) for of in inner)
            yield from fields_of(inner, f"{path}/{name}")


def test_every_field_of_the_openapi_document_has_its_text() -> None:
    found = dict(fields_of(http.app().openapi()))
    assert len(found) > 100
    assert [path for path, of in found.items() if not of.get("description", "").strip()] == []


def test_every_reference_page_can_be_found_in_the_navigation(written: dict[str, str]) -> None:
    navigation = json.dumps(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert [name for name in written if f'"{name}"' not in navigation] == []


def test_the_reference_is_the_same_wherever_it_is_built(
    written: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cores = {0} if available_cores() > 1 else {0, 1}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: cores, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: len(cores))
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("RGP_SERVE_PORT", "9999")
    http.app.cache_clear()
    assert pages() == written


def test_markup_in_the_code_s_texts_is_not_taken_for_markup() -> None:
    assert prose("lr_decay in [0, 1), see ``a_b`` or `c*`; x|y <z>") == (
        r"lr\_decay in \[0, 1), see `a_b` or `c*`; x\|y \<z\>"
    )
    assert paragraphs("Reads::\n\n    a_b  c\n\nand more_") == "Reads:\n\n````text\na_b  c\n````\n\nand more\\_"
    assert paragraphs("It holds\n\n::\n\n    a\n") == "It holds\n\n````text\na\n````"
    assert table(["a"], [["b\nc"]]) == "| a |\n| --- |\n| b c |"
    assert code("") == ""
