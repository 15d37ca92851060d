"""Matching MACs: the widest network within the budget, its nodes equal, and one that trains and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from rgp.checkpoint import Checkpoint
from rgp.conv import GraphConv2d
from rgp.cost import cost
from rgp.errors import PruneError, UsageError
from rgp.families import parse
from rgp.models.match import budget_of, match_width
from rgp.models.price import price
from rgp.models.registry import build, restore
from rgp.preprocess import Preprocess
from rgp.prune import prune

CIFAR = (3, 32, 32)
TEN = {"num_classes": 10, "in_channels": 3}
SMALL = {"num_classes": 3, "width": 16}


def test_resnet18_at_64_16_spends_the_dense_macs_on_width() -> None:
    budget = budget_of("dense", "cifar_resnet18", TEN, CIFAR)
    assert round(budget / 1e6, 1) == 555.4
    found = match_width("cifar_resnet18", TEN, parse("64_16"), CIFAR, budget)
    assert found["width_multiple"] == 64
    assert 185 <= found["width_percent"] < 200
    spent = price("cifar_resnet18", TEN | found, parse("64_16"), CIFAR).cost.macs
    assert 0.97 * budget <= spent <= budget


@pytest.mark.parametrize(("graph", "budget"), [("ring:16_4", 4.5), ("ring:16_4", 0.9), ("ring:4_2", 7.0)])
def test_no_other_width_comes_nearer_to_the_budget(graph: str, budget: float) -> None:
    graphs, shape = parse(graph), (1, 16, 16)
    macs = budget_of(str(budget), "small_resnet", SMALL, shape)
    found = match_width("small_resnet", SMALL, graphs, shape, macs)

    def spent(percent: int) -> int:
        return price("small_resnet", SMALL | found | {"width_percent": percent}, graphs, shape).cost.macs

    best = found["width_percent"]
    assert spent(best) <= macs < spent(best + 1)
    every = [spent(percent) for percent in range(100, 300, 40)]
    assert spent(best) >= max((each for each in every if each <= macs), default=0)
    assert every == sorted(every)


def test_multiples_become_finer_until_the_budget_is_used() -> None:
    shape = (1, 16, 16)
    dense = budget_of("dense", "small_resnet", SMALL, shape)
    found = match_width("small_resnet", SMALL, parse("ring:16_8"), shape, dense)
    assert found["width_multiple"] < 16
    assert price("small_resnet", SMALL | found, parse("ring:16_8"), shape).cost.macs >= 0.97 * dense


def test_without_a_graph_the_network_becomes_narrower() -> None:
    found = match_width("cifar_resnet18", TEN, (), CIFAR, 140_000_000)
    assert 45 <= found["width_percent"] <= 55
    assert found["width_multiple"] == 8


def test_all_nodes_are_equal_and_the_wide_network_trains_and_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graphs, shape = parse("random:16_4"), (1, 16, 16)
    options = SMALL | {"width": 32}
    dense = budget_of("dense", "small_resnet", options, shape)
    options |= match_width("small_resnet", options, graphs, shape, dense)
    assert options["width_percent"] > 100
    assert options["width_multiple"] == 16
    model = build("small_resnet", **options)
    prune(model, graphs)
    assert 0.97 * dense <= cost(model, shape).macs <= dense
    masked = [module for module in model.modules() if isinstance(module, GraphConv2d)]
    assert all(conv.in_channels % 16 == conv.out_channels % 16 == 0 for conv in masked)

    images = torch.randn(4, *shape)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    F.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    assert all((conv.weight[~conv.mask] == 0).all() for conv in masked)
    preprocess = Preprocess(1, 16, 16, mean=(0.5,), std=(0.5,))
    state = model.state_dict()
    Checkpoint("small_resnet", options, ("a", "b", "c"), preprocess, "random:16_4", state).save(tmp_path / "c.pth")
    assert torch.equal(restore(Checkpoint.load(tmp_path / "c.pth"))(images), model.eval()(images))


@pytest.mark.parametrize("text", ["", "0", "-3", "dens", "1e9", "nan", "0.0", "1,5"])
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"match_macs is '{text}': give dense, or millions"):
        budget_of(text, "small_resnet", SMALL, (1, 16, 16))


@pytest.mark.parametrize("millions", ["0.000001", "999999999"])
def test_a_budget_that_no_width_meets_is_refused(millions: str) -> None:
    budget = budget_of(millions, "small_resnet", SMALL, (1, 16, 16))
    with pytest.raises(UsageError, match="has no width from 5% to 2000%"):
        match_width("small_resnet", SMALL, parse("ring:4_2"), (1, 16, 16), budget)


def test_what_cannot_be_masked_or_widened_says_so() -> None:
    with pytest.raises(PruneError, match="fewer than the 64 nodes"):
        match_width("cifar_resnet56", TEN, parse("64_16"), CIFAR, 10**8)
    with pytest.raises(UsageError, match="cannot be widened"):
        match_width("timm:ghostnet_050", TEN, parse("ring:8_4"), (3, 64, 64), 10**8, narrow="dense")
