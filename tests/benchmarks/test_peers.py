"""The benchmark of the peers: a real small network in worker processes, and the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.peers.__main__ import ABSENT
from benchmarks.peers.networks import Network, make, narrow
from benchmarks.peers.page import section
from benchmarks.peers.plot import figure
from benchmarks.peers.rounds import Setup, Worker, measure
from benchmarks.peers.table import absent, rows
from benchmarks.peers.ways import REFERENCE, WAYS, Way
from rgp.cost import cost
from rgp.environment import environment
from rgp.errors import RgpError

BY_NAME = {way.name: way for way in WAYS}
DENSE, NARROW = BY_NAME[f"{REFERENCE}, spinning off"], BY_NAME["ONNX Runtime, narrower, fp32, spinning off"]
NETWORK = Network("small_resnet", "random:16_4", 32)


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    cache = tmp_path_factory.mktemp("peers")
    return Setup(make(NETWORK, cache, threads=(), seconds=0.1), cache, batch=3, threads=1)


@pytest.fixture(scope="module")
def cell(setup: Setup) -> dict[str, Any]:
    chosen = ("ONNX Runtime", "OpenVINO", "torch.compile, dense, fp32")
    ways = [way for way in WAYS if way.name.startswith(chosen) and "spinning on" not in way.name]
    return measure(setup, ways, builds=2, rounds=2)


def test_every_way_that_is_there_runs_in_every_round(cell: dict[str, Any]) -> None:
    ran = {way["row"] for way in cell["ways"].values() if len(way.get("ms", ())) == 4 and min(way["ms"]) > 0}
    assert ran == {
        REFERENCE, "ONNX Runtime, dense, int8", "ONNX Runtime, narrower, fp32", "torch.compile, dense, fp32"
    }  # fmt: skip
    assert cell["build"] == [0, 0, 1, 1]
    assert len(cell["cores"]) == 1


def test_a_peer_that_is_not_installed_or_not_made_is_listed_with_the_reason(cell: dict[str, Any]) -> None:
    reasons = absent(cell)
    assert "not installed" in reasons["OpenVINO, dense, fp32, latency, f32"]
    assert "torch_pruning" in reasons["ONNX Runtime, Torch-Pruning, fp32, spinning off"]


def test_answers_are_compared_with_the_masked_network(cell: dict[str, Any]) -> None:
    dense, narrower = cell["ways"][DENSE.name], cell["ways"][NARROW.name]
    assert dense["max_abs_diff"] < 1e-3 * dense["max_abs_logit"]
    assert narrower["max_abs_diff"] > 1e-2 * narrower["max_abs_logit"]


def test_page_and_picture_show_what_ran_and_what_did_not(setup: Setup, cell: dict[str, Any]) -> None:
    about = json.loads((setup.folder / "about.json").read_text())
    known = {"architecture": "small_resnet", "graph": "random:16_4", "batch": 3, "threads": 1, "lowerings": {}}
    place = {"environment": environment(), "versions": {"ours": {"numpy": "2"}}}
    results: dict[str, Any] = {"cells": {"one": {**cell, **about, **known, **place}}, "absent": ABSENT}
    page = section(results)
    assert "| ONNX Runtime, dense, fp32 | " in page
    assert ": 1.00x, 1.00 to 1.00 | equal" in page
    assert "- OpenVINO, dense, fp32, latency, f32: openvino==" in page
    assert all(f"- {name}: {reason}" in page for name, reason in ABSENT.items())
    assert len(figure(results).axes[0].patches) == len(rows(results["cells"]["one"]))


def test_a_way_that_must_be_equal_and_is_not_does_not_run(setup: Setup) -> None:
    found = measure(setup, [replace(NARROW, equal=True)], builds=1, rounds=1)["ways"][NARROW.name]
    assert "differ" in found["absent"]
    assert "ms" not in found


def test_an_engine_that_refuses_its_file_says_why(setup: Setup) -> None:
    with pytest.raises(RgpError, match=r"INVALID_PROTOBUF"):
        Worker(replace(DENSE, file="masked.pth"), setup)


def test_the_narrower_network_costs_no_more_than_the_masked_one(setup: Setup) -> None:
    about = json.loads((setup.folder / "about.json").read_text())
    assert about["narrow_macs"] <= about["macs"] < about["dense_macs"]
    assert cost(narrow(NETWORK, about["dense_macs"]), (3, 32, 32)).macs <= about["dense_macs"]


def test_a_file_that_was_made_is_not_made_again(setup: Setup) -> None:
    before = (setup.folder / "dense.onnx").stat().st_mtime_ns
    make(NETWORK, setup.cache, threads=(), seconds=0.1)
    assert (setup.folder / "dense.onnx").stat().st_mtime_ns == before


@settings(max_examples=8)
@given(st.lists(st.floats(1, 1000), min_size=4, max_size=12), st.floats(0.1, 10))
def test_ratios_are_taken_within_a_round(reference: list[float], factor: float) -> None:
    faster = [ms / factor for ms in reference]
    found = {row.row: row for row in rows(_cell({DENSE: reference, NARROW: faster}))}
    assert found[REFERENCE].ratio == 1
    assert np.allclose([found[NARROW.row].ratio, *found[NARROW.row].ratio_ci95], factor)


def test_a_peer_is_shown_at_its_fastest_setting() -> None:
    spinning = BY_NAME[f"{REFERENCE}, spinning on"]
    (row,) = rows(_cell({DENSE: [4.0, 4.0], spinning: [2.0, 3.0]}))
    assert (row.settings, row.ms) == ("spinning on", 2.5)


def _cell(times: dict[Way, list[float]]) -> dict[str, Any]:
    near = {"max_abs_diff": 0.0, "max_abs_logit": 1.0, "top1_agreement": 1.0}
    ways = {
        way.name: {"row": way.row, "settings": way.settings, "precision": way.precision, "equal": way.equal, "ms": ms}
        | near
        for way, ms in times.items()
    }
    return {"ways": ways, "build": [0] * len(next(iter(times.values())))}


def test_ways_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(WAYS)
    assert REFERENCE in {way.row for way in WAYS}
    assert all(Path(way.file).suffix in (".onnx", ".pth", ".xml") for way in WAYS)
