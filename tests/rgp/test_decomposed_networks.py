"""Networks in decomposed form: trained, averaged, saved and loaded as the masked ones are."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from rgp.checkpoint import Checkpoint
from rgp.conv import GraphConv2d
from rgp.decomposed import DecomposedConv2d, decompose_
from rgp.errors import UsageError
from rgp.families import parse
from rgp.models.registry import build, restore
from rgp.preprocess import Preprocess
from rgp.prune import prune
from tests.rgp.masked_layers import adjacency_of, masked


def network(graph: str) -> nn.Sequential:
    """Three masked layers, 2, 5 (1x1) and 7, on 16 to 48 channels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 16, 1, stride=2), nn.ReLU()),
        *(nn.Conv2d(16, 48, 3, stride=2), nn.BatchNorm2d(48), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 5)),
    )
    prune(model, parse(graph))
    return model.double()


def decomposed(model: nn.Module) -> nn.Module:
    model = copy.deepcopy(model)
    assert decompose_(model) == []
    return model


def train(model: nn.Module, steps: int, seed: int = 0) -> None:
    """SGD as in training, momentum, decay and all."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    for _ in range(steps):
        images = torch.randn(4, 3, 9, 9, generator=generator, dtype=torch.float64)
        classes = torch.randint(5, (4,), generator=generator)
        optimiser.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(images), classes))
        optimiser.step()


def assert_same_state(ours: nn.Module, theirs: nn.Module, tolerance: float = 0.0) -> None:
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[key], rtol=0, atol=tolerance)


SEQUENCES = ["affine:16_4?rotate=1", "affine:16_7?classes=2", "affine:16_7?classes=2&rotate=1", "affine:8_4?classes=3"]


@pytest.mark.parametrize("graph", SEQUENCES)
def test_twenty_steps_of_sgd_move_both_forms_equally(graph: str) -> None:
    theirs = network(graph)
    ours = decomposed(theirs)
    start = copy.deepcopy(ours)
    for model in (theirs, ours):
        train(model, steps=20)
    assert_same_state(ours, theirs, tolerance=1e-9)
    assert not torch.allclose(ours.state_dict()["7.weight"], start.state_dict()["7.weight"], atol=1e-3)


@pytest.mark.parametrize("graph", SEQUENCES)
def test_a_run_may_change_its_form_halfway_through_a_state_dict(graph: str) -> None:
    whole = network(graph)
    first = decomposed(whole)
    second, third = network(graph), decomposed(network(graph))
    for model in (whole, first):
        train(model, 3, seed=1)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert_same_state(second, first)
    third.load_state_dict(second.state_dict())
    assert_same_state(third, first)
    for model in (whole, second, third):
        train(model, 3, seed=2)
    assert_same_state(second, whole, tolerance=1e-10)
    assert_same_state(third, whole, tolerance=1e-10)


def test_averages_of_the_weights_are_equal_too() -> None:
    models = network("affine:16_7?classes=2"), decomposed(network("affine:16_7?classes=2"))
    averages = [AveragedModel(model, use_buffers=False) for model in models]
    for _ in range(3):
        for model, average in zip(models, averages, strict=True):
            train(model, 1)
            average.update_parameters(model)
    assert_same_state(averages[1].module, averages[0].module, tolerance=1e-10)


@pytest.mark.parametrize("autocast", [False, True])
def test_self_loops_in_later_classes_stay_zero_in_training_and_never_count(autocast: bool) -> None:
    conv = DecomposedConv2d.of(masked("affine:9_7").float())
    empty = conv.weight == 0
    assert int(empty.sum()) == 2 * 9 * 2 * 9
    optimiser = torch.optim.AdamW(conv.parameters(), weight_decay=0.1)
    for _ in range(5):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = conv(torch.randn(2, 9, 5, 5)).float().square().mean()
        torch.autograd.backward(loss)
        optimiser.step()
    assert torch.equal(conv.weight == 0, empty)
    images = torch.randn(2, 9, 5, 5)
    before, weight = conv(images), conv.masked_weight()
    conv.weight.data[empty] = 1
    assert torch.equal(conv(images), before)
    assert torch.equal(conv.masked_weight(), weight)


def test_a_checkpoint_of_the_decomposed_form_is_one_of_the_masked_form(tmp_path: Path) -> None:
    options = {"num_classes": 4, "in_channels": 1, "width": 16}
    model = build("small_resnet", **options)
    prune(model, parse("affine:16_4?rotate=1"))
    assert decompose_(model) == []
    path = tmp_path / "net.pth"
    preprocess = Preprocess(1, 8, 8, (0.5,), (0.5,))
    Checkpoint("small_resnet", options, tuple("abcd"), preprocess, "affine:16_4?rotate=1", model.state_dict()).save(
        path
    )
    checkpoint = Checkpoint.load(path)
    assert len(checkpoint.masks) == 8
    restored = restore(checkpoint)
    assert sum(isinstance(module, GraphConv2d) for module in restored.modules()) == 8
    images = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(model.eval()(images), restored(images), rtol=0, atol=1e-5)


def test_a_state_dict_of_another_graph_or_shape_is_refused() -> None:
    conv = DecomposedConv2d.of(masked("affine:4_2?classes=1"))
    other = masked("affine:4_2?classes=1&first=1").state_dict()
    before = copy.deepcopy(conv.weight)
    with pytest.raises(RuntimeError, match="adjacency: another graph"):
        conv.load_state_dict(other)
    assert torch.equal(conv.weight, before)
    for key in ("weight", "bias", "adjacency"):
        with pytest.raises(RuntimeError, match=f'Missing key.* "{key}"'):
            conv.load_state_dict({name: value for name, value in conv.state_dict().items() if name != key})
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        conv.load_state_dict(masked("affine:4_2?classes=1", outs=3).state_dict())
    with pytest.raises(RuntimeError, match="Unexpected key"):
        conv.load_state_dict(conv.state_dict() | {"order": conv.order})


def test_loading_takes_away_what_lies_under_the_mask() -> None:
    conv = masked("affine:9_5")
    state = copy.deepcopy(conv.state_dict())
    state["weight"][~conv.mask] = torch.nan
    loaded = DecomposedConv2d.of(masked("affine:9_5"))
    loaded.load_state_dict(state)
    assert torch.equal(loaded.masked_weight(), conv.weight)


@pytest.mark.parametrize("assign", [False, True])
def test_a_state_dict_may_be_assigned(assign: bool) -> None:
    theirs = masked("affine:9_5")
    conv = DecomposedConv2d.of(masked("affine:9_5"))
    conv.load_state_dict(theirs.state_dict(), assign=assign)
    assert_same_state(conv, theirs)


def test_a_state_dict_is_no_window_on_the_weights() -> None:
    conv = DecomposedConv2d.of(masked("affine:9_5"))
    before = conv.masked_weight()
    conv.state_dict()["adjacency"].zero_()
    conv.state_dict()["weight"].zero_()
    assert torch.equal(conv.masked_weight(), before)


def test_layers_that_do_not_decompose_stay_masked_and_say_why() -> None:
    model = network("affine:16_4?rotate=1")
    model[5] = GraphConv2d.of(nn.Conv2d(32, 20, 1), torch.from_numpy(adjacency_of("affine:16_7?classes=2")))
    model[7] = GraphConv2d.of(nn.Conv2d(20, 48, 3), torch.from_numpy(adjacency_of("affine:16_7?classes=2")))
    model[9] = GraphConv2d.of(nn.Conv2d(48, 48, 1), torch.from_numpy(adjacency_of("random:16_4")))
    assert decompose_(model) == [
        "5 stays masked: 16 nodes do not divide 20 channels",
        "7 stays masked: 16 nodes do not divide 20 channels",
        "9 stays masked: its graph is no union of partitions into cliques",
    ]
    assert [type(model[i]) for i in (0, 2, 5, 7, 9)] == [nn.Conv2d, DecomposedConv2d, *[GraphConv2d] * 3]


def test_a_convolution_in_several_places_is_decomposed_once() -> None:
    model = nn.Sequential(masked("affine:9_5", 1, 1), nn.ReLU(), nn.Identity())
    model[2] = model[0]
    assert decompose_(model) == []
    assert isinstance(model[0], DecomposedConv2d)
    assert model[2] is model[0]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Sequential(nn.Conv2d(3, 3, 1)), "it has no masked convolution"),
        (network("random:16_4"), "2 stays masked: its graph is no union of partitions into cliques"),
    ],
)
def test_a_network_with_nothing_to_decompose_is_refused_unchanged(model: nn.Module, reason: str) -> None:
    before = [type(module) for module in model.modules()]
    with pytest.raises(UsageError, match=f"nothing to decompose in Sequential: {reason}"):
        decompose_(model)
    assert [type(module) for module in model.modules()] == before
