"""The configuration: what is accepted, and what each mistake says."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from rgp.errors import UsageError
from rgp.train.config import TrainConfig, load

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def test_command_line_goes_over_file_and_file_over_defaults(file: Path) -> None:
    file.write_text("epochs: 7\nlr: 1e-2\n")
    config = load(["--config", str(file), "--epochs", "9"])
    assert (config.epochs, config.lr, config.batch_size) == (9, 0.01, TrainConfig().batch_size)


def test_the_order_of_config_and_overrides_does_not_matter(file: Path) -> None:
    file.write_text("epochs: 7\n")
    assert load(["--epochs", "9", "--config", str(file)]).epochs == 9


def test_a_graph_in_yaml_is_text_although_yaml_would_read_a_number(file: Path) -> None:
    file.write_text("graph: 64_16\nname: 007\n")
    config = load(["--config", str(file)])
    assert (config.graph, config.name) == ("64_16", "007")


def test_every_kind_of_value_is_read(file: Path) -> None:
    file.write_text("skip: [blocks.0.*, fc]\nwidth: 48\nfirst_dense: false\nblocks: null\nnarrow: fewer\nlr: .5\n")
    config = load(["--config", str(file)])
    assert config.skip == ("blocks.0.*", "fc")
    assert (config.width, config.first_dense, config.blocks) == (48, False, None)
    assert (config.narrow, config.lr) == ("fewer", 0.5)


def test_experiment_is_named_after_the_file_unless_given(file: Path) -> None:
    file.write_text("epochs: 7\n")
    assert load([]).experiment == "default"
    assert load(["--config", str(file)]).experiment == "mine"
    assert load(["--config", str(file), "--experiment", "other"]).experiment == "other"


def test_a_written_configuration_reads_back_as_it_was(file: Path) -> None:
    config = load(["--graph", "64_16", "--skip", "[a, b]", "--lr", "1e-5", "--resume", "auto", "--width", "3"])
    file.write_text(yaml.safe_dump(asdict(config)))
    assert load(["--config", str(file)]) == config


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_configurations_are_valid(path: Path) -> None:
    assert load(["--config", str(path)]).experiment == path.stem


@pytest.mark.parametrize("name", ["baselines/resnet50-dense-imagenet", "experiments/resnet50-64_16-imagenet"])
def test_the_papers_imagenet_recipe_is_to_the_letter(name: str) -> None:
    config = load(["--config", str(CONFIGS / f"{name}.yaml")])
    assert (config.epochs, config.lr, config.milestones, config.batch_size) == (100, 0.1, (30, 60, 90), 256)
    assert (config.momentum, config.weight_decay, config.label_smoothing) == (0.9, 1e-4, 0.1)
    assert (config.norm_decay, config.init, config.ema, config.warmup_epochs) == (True, "paper", 0.0, 0)


@pytest.mark.parametrize("name", ["baselines/resnet18-dense-cifar10", "experiments/resnet18-64_16-cifar10"])
def test_the_papers_cifar_recipe_is_to_the_letter(name: str) -> None:
    config = load(["--config", str(CONFIGS / f"{name}.yaml")])
    assert (config.epochs, config.lr, config.milestones, config.rate_per) == (100, 0.1, (), "epoch")
    assert (config.batch_size, config.momentum, config.weight_decay, config.label_smoothing) == (256, 0.9, 5e-4, 0.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epohcs: 3", "unknown setting 'epohcs': did you mean 'epochs'?"),
        ("epochs: ten", "epochs is 'ten': give a whole number"),
        ("epochs: 3.5", "epochs is '3.5': give a whole number"),
        ("epochs: true", "epochs is 'True': give a whole number"),
        ("epochs: {a: 1}", "epochs is '{'a': '1'}': give a whole number"),
        ("width: wide", "width is 'wide': give a whole number"),
        ("lr: fast", "lr is 'fast': give a number"),
        ("lr: nan", "lr is 'nan': give a number"),
        ("download: maybe", "download is 'maybe': give true or false"),
        ("skip: stem", "skip is 'stem': give a list, as in [a, b]"),
        ("amp: fp8", "amp is 'fp8': give one of auto, off, bf16, fp16"),
        ("graph: [a]", "graph is '['a']': give text"),
        ("- epochs", "holds no settings"),
        ("", "holds no settings"),
        ("epochs", "holds no settings"),
        ("epochs: [", "not a YAML file"),
        ("? [a, b]\n: 3", "not a YAML file"),
    ],
)
def test_a_wrong_file_says_what_is_wrong_and_where(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(["--config", str(file)])
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_no_configuration(file: Path) -> None:
    file.write_bytes(b"\x00\xff\xfe")
    with pytest.raises(UsageError, match="not a YAML file"):
        load(["--config", str(file)])


@pytest.mark.parametrize("path", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(path: str) -> None:
    with pytest.raises(UsageError, match="give --config a YAML file"):
        load(["--config", path])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--epoch", "3"], "unknown option '--epoch': did you mean '--epochs'?"),
        (["--batch-sizes=3"], "unknown option '--batch-sizes': did you mean '--batch_size'?"),
        (["--epochs"], "argument --epochs: expected one argument"),
        (["--epochs", "x"], "epochs is 'x': give a whole number"),
        (["digits.yaml"], "unrecognized arguments: digits.yaml"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(argv: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(argv)
    assert str(caught.value) == f"command line: {said}"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--epochs", "0"], "epochs is 0: give a number in [1, inf)"),
        (["--batch_size", "-1"], "batch_size is -1"),
        (["--lr", "0"], "lr is 0.0: give a number in (0, inf)"),
        (["--lr", "1e999"], "lr is inf"),
        (["--momentum", "1"], "momentum is 1.0: give a number in [0, 1)"),
        (["--weight_decay=-1e-4"], "weight_decay is -0.0001"),
        (["--label_smoothing", "1.5"], "label_smoothing is 1.5"),
        (["--seed", "4294967296"], "seed is 4294967296"),
        (["--workers", "-1"], "workers is -1"),
        (["--width", "0"], "width is 0"),
        (["--image_size", "3585"], "image_size is 3585: give a number in [8, 3584]"),
        (["--epochs", "3", "--warmup_epochs", "3"], "warmup_epochs is 3: give fewer than the 3 epochs"),
        (["--name", "a/b"], "name is 'a/b': give a plain folder name"),
        (["--name", ""], "name is ''"),
        (["--experiment", ".."], "experiment is '..'"),
    ],
)
def test_a_value_out_of_its_range_is_refused(argv: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(argv)
    assert str(caught.value).startswith(said)


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(["--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name in asdict(TrainConfig()):
        assert f"--{name} " in shown
    assert "learning rate at its peak; in (0, inf)" in shown
