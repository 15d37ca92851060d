"""What a network costs under a graph, without its weights, is what it costs with them."""

from __future__ import annotations

from typing import Any

import pytest

from rgp.cost import cost
from rgp.families import parse
from rgp.models.price import price
from rgp.models.registry import build
from rgp.prune import prune


@pytest.mark.parametrize(
    ("name", "graph", "pruning"),
    [
        ("cifar_resnet56", "ring:16_4", {}),
        ("small_resnet", "random:7_4?seed=2", {}),  # nodes that do not divide the channels
        ("small_resnet", "affine:16_4?rotate=1", {"first_dense": False, "narrow": "dense"}),
        ("timm:mobilenetv3_small_050", "ring:16_4", {"narrow": "fewer", "skip": ["*.se.*"]}),
    ],
)
def test_a_price_is_the_cost_of_the_masked_network(name: str, graph: str, pruning: dict[str, Any]) -> None:
    options = {"num_classes": 5, "in_channels": 3}
    model = build(name, **options)
    decisions = prune(model, parse(graph), **pruning)
    told = price(name, options, parse(graph), (3, 32, 32), **pruning)
    assert told.cost == cost(model, (3, 32, 32))
    assert list(map(str, told.decisions)) == list(map(str, decisions))
    assert told.masked == sum(decision.graph is not None for decision in decisions) > 0


@pytest.mark.parametrize(
    ("graph", "macs", "parameters"), [("64_36", 57.5, 59.9), ("64_16", 27.2, 31.2), ("64_8", 15.1, 19.7)]
)
def test_resnet50_costs_what_the_paper_leaves(graph: str, macs: float, parameters: float) -> None:
    found = price("resnet50", {"num_classes": 1000}, parse(graph), (3, 224, 224)).cost
    assert round(100 * found.macs / found.dense_macs, 1) == macs
    assert round(100 * found.parameters / found.dense_parameters, 1) == parameters


def test_without_a_graph_a_price_is_the_dense_cost() -> None:
    told = price("small_resnet", {"num_classes": 5}, (), (1, 8, 8))
    assert told.cost == cost(build("small_resnet", num_classes=5), (1, 8, 8))
    assert told.decisions == ()
