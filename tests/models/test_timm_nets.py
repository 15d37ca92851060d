"""timm's networks: by name, never from its hub."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
import torch
from torch import nn

from rgp.checkpoint import Checkpoint
from rgp.errors import CheckpointError, UsageError
from rgp.families import parse
from rgp.models.registry import build, restore
from rgp.preprocess import Preprocess
from rgp.prune import prune, summary


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something reached for the network")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet10x", "did you mean resnet10t"),
        ("hf-hub:timm/resnet18.a1_in1k", ""),
        ("hf_hub:timm/resnet18", ""),
        ("local-dir:.", ""),
        ("timm/resnet18", "did you mean"),
        ("../resnet18", "did you mean"),
        ("resnet18.a1_in1k", "did you mean resnet18"),
        ("resnet*", "did you mean"),
        ("resnet18\n", "did you mean resnet18"),
        ("", "timm.list_models() has their names"),
    ],
)
def test_a_name_that_timm_does_not_list_is_refused_without_a_download(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(f"timm:{name}", num_classes=3)
    assert str(caught.value).startswith("timm has no network ")
    assert hint in str(caught.value)


@pytest.mark.usefixtures("no_network")
def test_a_checkpoint_that_names_the_hub_is_refused() -> None:
    hostile = Checkpoint(
        "timm:hf-hub:someone/anything",
        {"num_classes": 1, "in_channels": 1},
        ("a",),
        Preprocess(1, 8, 8, mean=(0.5,), std=(0.5,)),
        "dense",
        {},
    )
    with pytest.raises(CheckpointError, match="timm has no network 'hf-hub:someone/anything'"):
        restore(hostile)
    with pytest.raises(CheckpointError, match="checkpoint_path"):  # options are not handed on to timm
        restore(replace(hostile, architecture="timm:test_resnet", options=hostile.options | {"checkpoint_path": 1}))


@pytest.mark.usefixtures("no_network")
def test_weights_are_fresh_and_the_seed_decides_them() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return build("timm:test_resnet", num_classes=3).get_parameter("layer1.0.conv1.weight")

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_what_a_network_of_timm_cannot_have_is_said_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^timm:test_resnet cannot have 3 classes and -1 input channels: ") as caught:
        build("timm:test_resnet", num_classes=3, in_channels=-1)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="affine: it has no BatchNorm"):
        build("timm:test_convnext", num_classes=3, affine=0)


def test_convolutions_of_timms_own_classes_stay_dense_and_that_is_said() -> None:
    with torch.device("meta"):
        model = build("timm:tf_mobilenetv3_small_minimal_100", num_classes=3, width_percent=200)
    before = {name: type(module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    decisions = prune(model, parse("ring:8_4"), first_dense=False, narrow="dense")
    assert decisions[0].why == "Conv2dSame, not a plain Conv2d"
    assert type(model.get_submodule(decisions[0].name)) is before[decisions[0].name]
    assert "1 dense (Conv2dSame, not a plain Conv2d)" in summary(decisions)
