"""Schedule, first weights, penalty and average against hand-computed values."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rgp.conv import GraphConv2d
from rgp.errors import UsageError
from rgp.families import parse
from rgp.models.small import SmallResNet
from rgp.train.config import TrainConfig
from rgp.train.recipe import average, learning_rate, optimiser, rate_of, scale_to_density_


def test_the_rate_rises_in_a_line_and_falls_in_a_cosine() -> None:
    rates = [learning_rate(step, steps=12, warmup=4, peak=0.8) for step in range(12)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    # eight steps of half a cosine: cos of 0, 22.5, 45, ... degrees
    assert rates[4:] == pytest.approx([0.8, 0.76955, 0.68284, 0.55307, 0.4, 0.24693, 0.11716, 0.03045], abs=1e-5)


def test_without_warm_up_it_starts_at_the_peak_and_halves_in_the_middle() -> None:
    assert learning_rate(0, steps=100, warmup=0, peak=0.1) == 0.1
    assert learning_rate(50, steps=100, warmup=0, peak=0.1) == pytest.approx(0.05)
    assert learning_rate(99, steps=100, warmup=0, peak=0.1) == pytest.approx(0.05 * (1 - math.cos(math.pi / 100)))


@given(st.integers(1, 300), st.data(), st.floats(1e-6, 1e3))
def test_the_rate_is_positive_rises_to_its_peak_and_never_rises_again(
    steps: int, data: st.DataObject, peak: float
) -> None:
    warmup = data.draw(st.integers(0, steps - 1))
    rates = [learning_rate(step, steps=steps, warmup=warmup, peak=peak) for step in range(steps)]
    assert min(rates) > 0
    assert rates[max(0, warmup - 1)] == pytest.approx(peak) == max(rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


def test_the_papers_imagenet_schedule_divides_by_ten_at_30_60_and_90() -> None:
    config = TrainConfig(epochs=100, lr=0.1, milestones=(30, 60, 90))
    length = 7
    rates = [rate_of(step, config, length) for step in range(100 * length)]
    for epochs, rate in ((range(30), 0.1), (range(30, 60), 0.01), (range(60, 90), 0.001), (range(90, 100), 0.0001)):
        for epoch in epochs:
            assert rates[epoch * length : (epoch + 1) * length] == pytest.approx([rate] * length)


def test_the_papers_cifar_schedule_moves_once_an_epoch() -> None:
    config = TrainConfig(epochs=100, lr=0.1, rate_per="epoch")
    rates = [rate_of(step, config, 3) for step in range(300)]
    by_hand = [0.05 * (1 + math.cos(math.pi * epoch / 100)) for epoch in range(100)]
    assert rates == pytest.approx([rate for rate in by_hand for _ in range(3)])


def test_warm_up_comes_before_the_milestones() -> None:
    config = TrainConfig(epochs=4, lr=0.8, warmup_epochs=1, milestones=(2,))
    assert [rate_of(step, config, 2) for step in range(8)] == pytest.approx([0.4, 0.8, 0.8, 0.8, *[0.08] * 4])


@pytest.mark.parametrize("milestones", [(0,), (4,), (2, 1), (2, 2)])
def test_milestones_rise_within_the_run(milestones: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="give rising epochs from 1 to 3"):
        TrainConfig(epochs=4, milestones=milestones)


def test_the_penalty_leaves_out_normalisation_and_biases_when_told() -> None:
    network = SmallResNet(3, 1, 8, 1)
    (everything,) = optimiser(network, TrainConfig(weight_decay=0.1)).param_groups
    assert len(everything["params"]) == len(list(network.parameters()))
    heavy, light = optimiser(network, TrainConfig(weight_decay=0.1, norm_decay=False)).param_groups
    assert (heavy["weight_decay"], light["weight_decay"]) == (0.1, 0.0)
    assert len(heavy["params"]) + len(light["params"]) == len(everything["params"])
    named = {id(parameter): name for name, parameter in network.named_parameters()}
    scales = {name for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert {named[id(p)] for p in light["params"]} >= {
        f"{name}.{what}" for name in scales for what in ("weight", "bias")
    }
    assert all(named[id(p)].endswith("weight") for p in heavy["params"])


@pytest.mark.parametrize(("graph", "channels"), [("ring:16_4", 64), ("64_16", 64), ("ring:12_4", 40)])
def test_density_scaled_weights_give_the_variance_of_a_dense_layer(graph: str, channels: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    images = torch.randn(16, channels, 12, 12)
    dense = conv(images).var()
    layer = GraphConv2d.of(conv, torch.from_numpy(parse(graph)[0].adjacency.copy()))
    masked = nn.Sequential(layer)
    thin = masked(images).var()
    scale_to_density_(masked)
    assert masked(images).var().item() == pytest.approx(dense.item(), rel=0.1)
    assert thin < 0.5 * dense
    assert (layer.weight[~layer.mask] == 0).all()


@given(st.floats(0.5, 0.9999), st.integers(1, 40))
def test_a_moving_average_is_the_one_computed_by_hand(decay: float, steps: int) -> None:
    network = nn.BatchNorm1d(2)
    averaged = average(network, decay)
    by_hand = 0.0
    for step in range(steps):
        with torch.no_grad():
            network.weight.fill_(step)
            network.running_mean.fill_(2 * step)  # type: ignore[union-attr]
        averaged.update_parameters(network)
        kept = 0.0 if step == 0 else min(decay, (1 + step) / (10 + step))
        by_hand = kept * by_hand + (1 - kept) * step
    state = averaged.module.state_dict()
    assert state["weight"].tolist() == pytest.approx([by_hand] * 2, rel=1e-5, abs=1e-6)
    assert state["running_mean"].tolist() == pytest.approx([2 * by_hand] * 2, rel=1e-5, abs=1e-6)
