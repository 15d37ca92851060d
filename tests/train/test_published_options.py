"""The published code's commands and files work, or say what to write instead."""

from dataclasses import replace
from pathlib import Path

import pytest

from rgp.errors import UsageError
from rgp.models.published_names import PUBLISHED
from rgp.models.registry import NETWORKS
from rgp.train.config import load
from rgp.train.published_options import OPTIONS

# from the published scripts; the configuration files are ours
COMMAND = (
    "--config {} --multigpu 0 --name 64_10 --first-layer-dense --last-layer-dense --set-connection --freeze-subnet "
    "--matrix Adjacency/64/10/M0.npy"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "resnet18-graph-cifar10.yaml"
    path.write_text(
        "arch: cResNet18\nset: CIFAR10\nconv_type: GraphConv\nfirst_layer_type: DenseConv\nlr_policy: cosine_lr\n"
        "weight_decay: 5e-4\nwarmup_length: 0\nbatch_size: 256\nbn_type: LearnedBatchNorm\nscale_fan: false\n"
        "init: kaiming_normal\nmode: fan_in\nnum_classes: 10\noptimizer: sgd\nprint_freq: 50\n"
    )
    return path


def test_a_published_command_works_as_it_is(file: Path) -> None:
    config = load(COMMAND.format(file).split())
    assert config.graph == "Adjacency/64/10/M0.npy"
    assert (config.experiment, config.name) == ("resnet18-graph-cifar10", "64_10")
    assert (config.architecture, config.data) == ("cifar_resnet18", "cifar10:data/cifar10")
    assert (config.first_dense, config.last_dense, config.init) == (True, True, "paper")
    assert (config.weight_decay, config.batch_size, config.warmup_epochs) == (5e-4, 256, 0)


def test_a_data_set_has_its_folder_in_data() -> None:
    for given in (["--data", "/datasets"], ["--data=/datasets"]):
        assert load([*given, "--set", "ImageNet"]).data == "imagenet:/datasets/imagenet"
    assert load(["--data", "cifar10:here"]).data == "cifar10:here"


def test_the_evaluation_command_works() -> None:
    config = load(["--arch", "ResNet50", "--pretrained", "official.pth", "-e", "-b", "64", "-j", "2", "-p", "10"])
    assert (config.evaluate, config.architecture) == ("official.pth", "resnet50")
    assert (config.batch_size, config.workers) == (64, 2)


def test_flags_may_be_denied_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("first_layer_dense: false\nno_bn_decay: true\nscale-fan: true\nnesterov: false\n")
    config = load(["--config", str(path)])
    assert (config.first_dense, config.norm_decay, config.init) == (False, False, "density")


def test_true_and_false_may_be_spelled_as_python_does(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("no_bn_decay: True\nscale_fan: True\nset_connection: True\ninit: kaiming_normal\n")
    config = load(["--config", str(path)])
    assert (config.norm_decay, config.init) == (False, "density")
    path.write_text("no_bn_decay: False\nscale_fan: False\nnesterov: False\n")
    assert load(["--config", str(path)]) == replace(load([]), experiment="c")
    path.write_text("set: [CIFAR10]\n")
    with pytest.raises(UsageError, match=r"set is \['CIFAR10'\]: give a word"):
        load(["--config", str(path)])


def test_hyphens_and_underscores_are_the_same() -> None:
    config = load(["--label-smoothing", "0.1", "--save-every=3", "--batch_size", "8"])
    assert (config.label_smoothing, config.save_every, config.batch_size) == (0.1, 3, 8)


def test_a_switch_needs_no_value() -> None:
    assert load(["--download", "--channels-last", "--lr", "1"]).download
    assert not load(["--download", "false"]).download


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        (["--multigpu", "0,1"], "torchrun --nproc-per-node"),
        (["--lr-policy", "step_lr"], r"--milestones \[30, 60, 90\]"),
        (["--start-epoch", "3"], "--resume auto"),
        (["--nesterov"], "without Nesterov"),
        (["--random-subnet"], "random:64_16"),
        (["--width-mult", "2"], "--match_macs"),
        (["--optimizer", "adam"], "the optimiser is SGD"),
        (["--prune-rate=0.5"], "64_16 keeps 16 of 64"),
    ],
)
def test_what_has_no_equal_is_answered(argv: list[str], answer: str) -> None:
    with pytest.raises(UsageError, match=answer):
        load(argv)


def test_every_published_network_and_option_has_an_equal() -> None:
    assert set(PUBLISHED.values()) <= set(NETWORKS)
    settings = set(load([]).__dict__)
    assert {option.becomes for option in OPTIONS.values()} - {""} <= settings
