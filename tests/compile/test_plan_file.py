"""A plan makes the same choices again, for its own network only."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch

from rgp.compile.convs import Conv, find
from rgp.compile.export import export
from rgp.compile.plan import make_plan
from rgp.compile.plan_file import plan_json, read_plan
from rgp.compile.spaces import Spaces, find_spaces
from rgp.compile.tune import Tuner
from rgp.errors import CompileError
from rgp.families import parse
from rgp.models.registry import build
from rgp.prune import prune
from tests.compile.conftest import GREY


@cache
def network(graph: str, width: int = 16) -> tuple[list[Conv], Spaces]:
    torch.manual_seed(0)
    model = build("small_resnet", num_classes=5, in_channels=1, width=width)
    prune(model, parse(graph))
    working = export(model.eval(), GREY)
    return find(working), find_spaces(working)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    convs, spaces = network("affine:16_4?rotate=1")
    plan = make_plan(convs, spaces, Tuner(lambda onnx: pytest.fail("measured"), {}, None))
    assert not plan.lowers_nothing
    (tmp_path / "plan.json").write_bytes(plan_json(plan, {"tune": "off"}))
    return tmp_path / "plan.json"


def test_a_plan_that_was_written_makes_the_same_choices(path: Path) -> None:
    convs, spaces = network("affine:16_4?rotate=1")
    plan = make_plan(convs, spaces, Tuner(lambda onnx: pytest.fail("measured"), {}, None))
    assert read_plan(path, convs) == plan.choices
    assert json.loads(path.read_bytes())["tune"] == "off"


@pytest.mark.parametrize(("graph", "width"), [("affine:16_7", 16), ("affine:16_4?rotate=1", 32)])
def test_the_plan_of_another_network_is_refused_by_the_layer_that_differs(path: Path, graph: str, width: int) -> None:
    with pytest.raises(CompileError, match=r"other zeros or another shape of layer '"):
        read_plan(path, network(graph, width)[0])


def test_a_layer_that_the_plan_does_not_know_is_named(path: Path) -> None:
    plan = json.loads(path.read_bytes())
    gone = plan["layers"].pop(3)["name"]
    path.write_text(json.dumps(plan))
    with pytest.raises(CompileError, match=f"does not know layer '{gone}'"):
        read_plan(path, network("affine:16_4?rotate=1")[0])


@pytest.mark.parametrize("lowering", ["native2", "", None, ["grouped"]])
def test_a_lowering_that_does_not_apply_is_refused(path: Path, lowering: object) -> None:
    plan = json.loads(path.read_bytes())
    plan["layers"][2]["lowering"] = lowering
    path.write_text(json.dumps(plan))
    with pytest.raises(CompileError, match="does not apply to it"):
        read_plan(path, network("affine:16_4?rotate=1")[0])


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b'{"format": "rgp-plan/2", "layers": []}', b'{"format": "rgp-plan/1"}', b"[" * 9999],
)
def test_what_is_no_plan_is_refused_in_one_line(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(CompileError) as refusal:
        read_plan(path, [])
    assert "no plan" in str(refusal.value)
    assert "\n" not in str(refusal.value)
