"""report.json and report.html: the same figures for programs and for people."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv, find
from rgp.compile.export import export
from rgp.compile.macs import network_macs
from rgp.compile.plan import Plan, given_plan, possible
from rgp.compile.plots import latency_svg
from rgp.compile.report import Findings, page
from rgp.compile.spaces import Spaces, find_spaces
from rgp.compile.verify import Equivalence
from rgp.engines.target import Target
from rgp.families import parse
from rgp.measure import Comparison
from rgp.models.registry import build
from rgp.prune import prune
from tests.compile.conftest import GREY
from tests.compile.example_report import COMPARISON, layer, report


class Text(HTMLParser):
    """What a browser shows of a page, and where it would fetch from."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.fetched, self.opened = "", list[str](), list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]

    def handle_data(self, data: str) -> None:
        self.text += re.sub(r"\s+", " ", data)


def shown(found: dict[str, Any]) -> Text:
    return Text(page(found, latency="<svg></svg>", network="<svg></svg>", support="").decode())


@cache
def network(graph: str) -> ir.Model:
    """A small network under ``graph`` ("dense": none) as ONNX; nothing here changes it."""
    torch.manual_seed(0)
    model = build("small_resnet", num_classes=10, in_channels=1, width=16)
    if graph != "dense":
        prune(model, parse(graph))
    return export(model, GREY)


def findings(graph: str, name: str = "net") -> Findings:
    """Those of ``network``: the first choice that is possible for each layer, nothing measured but the whole."""
    model = network(graph)
    convs, spaces = find(model), find_spaces(model)
    return Findings(
        name=name,
        verdict="2.00x faster",
        source="checkpoint",
        target=Target(),
        tune="off",
        environment=report()["environment"],
        cost=network_macs(model),
        equivalence=Equivalence(1e-7, 3.0, 1.0, 0, 40, 40, 0, [1, 2, 7], "fp32", 1.0),
        latency=[COMPARISON],
        built={},
        plan=first_choices(convs, spaces),
        sizes={"dense.onnx": 800, "compiled.onnx": 200},
        stages={"planning": 1.5},
        model=model,
    )


def first_choices(convs: Sequence[Conv], spaces: Spaces) -> Plan:
    choices = {conv.name: next(iter(possible(conv)[0]), Choice.dense(conv)) for conv in convs}
    return given_plan(convs, spaces, choices, "because")


def test_the_json_has_the_plan_the_cost_and_how_it_came_about() -> None:
    found = findings("affine:16_4?rotate=1")
    values = json.loads(found.json())
    assert values == json.loads(json.dumps(found.to_dict()))
    assert [values[key] for key in ("source", "precision", "engine", "tune")] == ["checkpoint", "fp32", "ort", "off"]
    assert values["stages"] == {"planning": 1.5}
    assert values["sizes"] == {"dense.onnx": 800, "compiled.onnx": 200}
    cost, layers = values["cost"], values["layers"]
    lowered = [each for each in layers if each["lowering"] != "dense"]
    assert lowered
    saved = sum(each["dense_macs"] * (1 - each["macs_share"]) for each in lowered)
    assert cost["compiled_macs"] == cost["dense_macs"] - saved
    assert cost["macs"] <= cost["compiled_macs"] < cost["dense_macs"]


def test_each_shuffle_is_told_with_its_side() -> None:
    for each in findings("affine:16_4?rotate=1").to_dict()["layers"]:
        assert len(each["shuffled"]) == each["shuffles"]
        assert {side.partition(" of term ")[0] for side in each["shuffled"]} <= {"input", "output"}


@pytest.mark.parametrize("graph", ["affine:16_4?rotate=1", "affine:16_7"])
def test_the_page_shows_the_network_and_who_reads_whom_and_fetches_nothing(graph: str) -> None:
    html = Text(findings(graph).html().decode())
    assert "2.00x faster" in html.text
    for heading in ("Latency", "What is left", "The network", "Who reads whom", "Layers", "Files and stages"):
        assert heading in html.text
    assert html.opened.count("svg") == 3
    assert all(link.startswith(("#", "data:image/png")) for link in html.fetched)


def test_a_network_without_zeros_has_no_picture_of_them() -> None:
    found = findings("dense")
    html = Text(found.html().decode())
    assert "Who reads whom" not in html.text
    assert "Fell back" not in html.text
    assert {each["lowering"] for each in found.to_dict()["layers"]} == {"dense"}


def test_every_figure_of_the_report_is_on_the_page() -> None:
    text = shown(report()).text
    for figure in (
        "2.00x faster than dense at batch 1 [1.90 to 2.10]",
        "ort 1.32.0 on cpu",
        "tuning: quick",
        "1 shuffle left",
        "top-1 agreement 100.0%",
        "16.5 of 20 million, 82.3%",
        "0.2 of 0.8 MB, 25.0%",
        "2 of 4 ms, 50.0%",
        "1.500 → 0.750",
        "1 shuffle: input",
        "25%, 50%",
        "2.50x [2.40, 2.60]",
        "not matmul: only a 1x1 convolution is a matrix product",
        "3.2 s",
    ):
        assert figure in text


def test_time_and_multiply_accumulates_stand_side_by_side_over_what_was_measured() -> None:
    text = shown(report()).text
    assert "MACs, as chosen" in text
    assert "5.9 million, 62%" in text  # 25% of one of two layers
    assert "2.25 ms, 75%" in text


def test_layers_that_fell_back_for_one_reason_stand_together() -> None:
    text = shown(report(*(layer(name, why="dense: too slow") for name in ("a", "b")), layer("c"))).text
    assert "a, b" in text
    assert text.count("Fell back to dense") == 1
    assert "dense: no zeros" not in text.partition("Fell back to dense")[2].partition("Layers")[0]


def test_nothing_measured_leaves_out_what_would_be_empty() -> None:
    text = shown(report(layer("a"))).text
    assert "turn into time" not in text
    assert "not measured" in text


def test_estimates_without_times_are_called_so() -> None:
    estimate = {
        **{"lowering": "grouped", "parts": 4, "terms": 1, "macs_share": 0.25, "shuffles": 0},
        **{"estimated_speedup": 2.9, "dense_ms": None, "ms": None, "speedup": 2.9, "speedup_ci95": None},
    }
    text = shown(report(layer("a", candidates=[estimate]))).text
    assert "not measured" in text
    assert "2.90x" in text


def test_a_model_that_is_no_classifier_tells_no_agreement() -> None:
    found = report()
    found["equivalence"]["top1_agreement"] = None
    found["source"] = "onnx"
    text = shown(found).text
    assert "agreement" not in text
    assert "Equal to the given model" in text


def test_a_half_type_is_close_and_not_equal() -> None:
    assert "Close to the masked network" in shown(report() | {"precision": "fp16"}).text


def test_names_and_reasons_with_markup_are_text() -> None:
    nasty = "<script>alert(1)</script>"
    found = report(layer(nasty, why=nasty, structure=nasty, refusals=[nasty]))
    found |= {"name": nasty, "verdict": nasty, "stages": {nasty: 1.0}}
    html = shown(found)
    assert "script" not in html.opened
    assert html.text.count("alert(1)") >= 6
    whole = findings("affine:16_7", name=nasty).html().decode()
    assert "script" not in Text(whole).opened


def test_a_network_of_many_layers_stays_a_small_page() -> None:
    rng = np.random.default_rng(0)
    many = [
        report()["layers"][1] | {"name": f"layer{i}.conv", "dense_ms": float(rng.uniform(1, 2))} for i in range(160)
    ]
    assert len(page(report(*many), latency="", network="", support="")) < 600_000


def test_a_long_measurement_stays_a_small_page() -> None:
    rng = np.random.default_rng(0)
    dense, compiled = rng.uniform(3, 4, 1000), rng.uniform(1, 2, 1000)
    svg = latency_svg([Comparison(batch, dense, compiled, np.arange(1000) % 8) for batch in (1, 8, 32)])
    assert len(svg) < 900_000
