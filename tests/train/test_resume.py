"""A run that was cut off and resumed ends exactly as one that was not."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from docs.reference import formats
from rgp.checkpoint import Checkpoint
from rgp.errors import CheckpointError, RgpError, UsageError
from rgp.models import registry
from rgp.models.small import SmallResNet
from rgp.train.config import TrainConfig
from rgp.train.learner import Learner
from rgp.train.loop import RunResult, train
from rgp.train.tracking import RunFolder

Configured = Callable[..., TrainConfig]


class DroppingNetwork(SmallResNet):
    """With dropout: training draws from torch's global generator."""

    def __init__(self, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__(num_classes, in_channels, width, blocks=1)
        self.pool = nn.Sequential(self.pool, nn.Dropout(0.3))  # type: ignore[assignment]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainConfig, int], RunFolder]:
    """Train until ``epochs`` epochs are done, then Ctrl-C in the middle of the next one."""

    def run(config: TrainConfig, epochs: int) -> RunFolder:
        honest = Learner.steps

        def steps(self: Learner, epoch: int, skip: int = 0):  # type: ignore[no-untyped-def]
            for number, step in enumerate(honest(self, epoch, skip)):
                if (epoch, number) == (epochs, 1):
                    raise KeyboardInterrupt
                yield step

        with monkeypatch.context() as patch:
            patch.setattr(Learner, "steps", steps)
            with pytest.raises(KeyboardInterrupt):
                train(config)
        folder = RunFolder.newest(config)
        assert folder is not None
        return folder

    return run


def same_tree(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same_tree(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same_tree, one, two))
    return bool(one == two)


def assert_same_end(resumed: RunResult, straight: RunResult) -> None:
    assert (resumed.last, resumed.best) == (straight.last, straight.best)
    for name in ("last", "best"):
        ours, theirs = (Checkpoint.load(getattr(result.folder, name)) for result in (resumed, straight))
        assert same_tree(ours.state, theirs.state)
        assert ours.metrics == theirs.metrics
    ours, theirs = (Checkpoint.load(result.folder.last) for result in (resumed, straight))
    assert same_tree(ours.training["optimiser"], theirs.training["optimiser"])
    assert same_tree(ours.training["random"], theirs.training["random"])
    assert same_tree(ours.training.get("network", {}), theirs.training.get("network", {}))


@pytest.mark.parametrize(("workers", "done", "ema"), [(0, 1, 0.0), (0, 3, 0.9), (1, 2, 0.99)])
def test_a_resumed_run_ends_as_if_it_had_not_stopped(
    configured: Configured,
    interrupted: Callable[[TrainConfig, int], RunFolder],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    done: int,
    ema: float,
) -> None:
    monkeypatch.setitem(registry.NETWORKS, "dropping", DroppingNetwork)
    config = configured(architecture="dropping", workers=workers, warmup_epochs=1, label_smoothing=0.1, ema=ema)
    straight = train(replace(config, name="straight", workers=0))
    stopped = interrupted(config, done)
    assert Checkpoint.load(stopped.last).training["position"]["epochs"] == done
    torch.manual_seed(99)  # whatever the new process has done before
    resumed = train(replace(config, resume=str(stopped.last)))
    assert resumed.folder == stopped
    assert_same_end(resumed, straight)


def test_auto_takes_up_the_newest_run_and_starts_one_where_there_is_none(
    configured: Configured, interrupted: Callable[[TrainConfig, int], RunFolder]
) -> None:
    config = configured(resume="auto")
    fresh = train(config)
    assert fresh.folder.path.name == "run"
    stopped = interrupted(replace(config, resume=None), 2)
    assert stopped.path.name == "run-1"
    assert_same_end(train(config), fresh)
    assert sorted(path.name for path in stopped.path.parent.iterdir()) == ["run", "run-1"]


def test_a_run_can_be_repeated_from_its_first_checkpoint(configured: Configured) -> None:
    config = configured(epochs=2)
    straight = train(config)
    before = Checkpoint.load(straight.folder.last)
    train(replace(config, resume=str(straight.folder.first)))
    assert same_tree(Checkpoint.load(straight.folder.last).state, before.state)


def test_a_finished_run_is_left_as_it_is(configured: Configured) -> None:
    config = configured(epochs=1)
    result = train(config)
    before = result.folder.last.read_bytes()
    again = train(replace(config, resume="auto"))
    assert (again.last, again.seconds) == (result.last, result.seconds)
    assert result.folder.last.read_bytes() == before
    with (Path(config.runs) / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 1


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, honest = configured(), torch.save

    def full_disk(values: dict[str, Any], file: Any) -> None:
        if values["training"] and values["training"]["position"]["epochs"] == 3:
            file.write(b"half of a checkp")
            raise OSError(28, "No space left on device")
        honest(values, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(RgpError, match=r"cannot be written: No space left on device: .*last\.pth is whole"):
            train(config)
    run = RunFolder.newest(config)
    assert run is not None
    assert sorted(path.name for path in run.last.parent.iterdir()) == ["best.pth", "first.pth", "last.pth"]
    assert Checkpoint.load(run.last).training["position"]["epochs"] == 2
    assert_same_end(train(replace(config, resume="auto")), train(config))


class TestRefusals:
    @pytest.fixture
    def run(self, configured: Configured) -> RunFolder:
        return train(configured(epochs=1)).folder

    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("epochs", 2, "its run has epochs 1, not 2"),
            ("lr", 0.2, "its run has lr 0.1, not 0.2"),
            ("seed", 5, "its run has seed 0, not 5"),
            ("graph", "random:8_2", "its run has graph 'ring:8_2', not 'random:8_2'"),
            ("batch_size", 8, "its run has batch_size 16, not 8"),
        ],
    )
    def test_another_setting_is_named_with_both_values(
        self, run: RunFolder, configured: Configured, key: str, value: object, said: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            train(configured(**{"epochs": 1, "resume": str(run.last), key: value}))
        assert str(caught.value) == f"{run.last}: {said}: start a new run to change it"

    def test_another_architecture_is_named_too(self, run: RunFolder, configured: Configured) -> None:
        changed = configured(epochs=1, resume=str(run.last), architecture="cifar_resnet18", width=None)
        with pytest.raises(UsageError, match=r"its run has architecture 'small_resnet', not 'cifar_resnet18'"):
            train(changed)

    def test_a_graph_file_that_changed_is_noticed(self, configured: Configured, tmp_path: Path) -> None:
        from rgp.families import parse

        file = tmp_path / "graph.npy"
        parse("ring:8_2")[0].save(file)
        run = train(configured(epochs=1, graph=str(file))).folder
        parse("random:8_4")[0].save(file)
        with pytest.raises(UsageError, match=r"another graph in blocks\.0\.conv1: .*graph\.npy has changed"):
            train(configured(epochs=1, graph=str(file), resume=str(run.last)))

    def test_the_best_checkpoint_has_no_training_state(self, run: RunFolder, configured: Configured) -> None:
        with pytest.raises(UsageError, match=r"best\.pth: has no training state: resume from the last\.pth beside it"):
            train(configured(epochs=1, resume=str(run.best)))

    def test_a_checkpoint_out_of_its_folder_cannot_be_continued(
        self, run: RunFolder, configured: Configured, tmp_path: Path
    ) -> None:
        copy = run.last.rename(tmp_path / "last.pth")
        with pytest.raises(UsageError, match="a run continues in its own folder"):
            train(configured(epochs=1, resume=str(copy)))

    def test_a_truncated_checkpoint_is_said_to_be_one(self, run: RunFolder, configured: Configured) -> None:
        run.last.write_bytes(run.last.read_bytes()[:-500])
        with pytest.raises(CheckpointError, match=r"last\.pth: truncated"):
            train(configured(epochs=1, resume=str(run.last)))

    @pytest.mark.parametrize("missing", ["config", "position", "optimiser", "random", "order"])
    def test_a_damaged_training_state_is_said_to_be_one(
        self, run: RunFolder, configured: Configured, missing: str
    ) -> None:
        checkpoint = Checkpoint.load(run.last)
        del checkpoint.training[missing]
        checkpoint.save(run.last)
        with pytest.raises(CheckpointError, match=rf"its training state is damaged.*KeyError: '{missing}'"):
            train(configured(epochs=1, resume=str(run.last)))


def test_all_that_is_kept_for_it_stands_in_the_reference(configured: Configured) -> None:
    kept = Checkpoint.load(train(configured(epochs=1, ema=0.9)).folder.last).training
    page = formats.checkpoint()
    for name in [*kept, *(f"position.{name}" for name in kept["position"])]:
        assert f"| `{name}` |" in page, name
    for name in [*kept["order"], *kept["random"][0]]:
        assert f"`{name}`" in page, name


def test_a_run_killed_before_its_row_gets_it_on_resuming(configured: Configured) -> None:
    config = configured(epochs=1)
    train(config)
    results = Path(config.runs) / "results.csv"
    (row,) = csv.DictReader(results.read_text().splitlines())
    results.unlink()
    train(replace(config, resume="auto"))
    (again,) = csv.DictReader(results.read_text().splitlines())
    assert {**again, "time": ""} == {**row, "time": ""}
    train(replace(config, resume="auto"))
    assert len(results.read_text().splitlines()) == 2


def test_the_decomposed_form_trains_as_the_masked_one_and_resumes(
    configured: Configured, interrupted: Callable[[TrainConfig, int], RunFolder]
) -> None:
    config = configured(graph="affine:4_2?rotate=1", ema=0.5, lr=0.02, epochs=3, form="decomposed")
    decomposed, masked = train(config), train(replace(config, form="masked", name="masked"))
    ours, theirs = (Checkpoint.load(run.folder.last) for run in (decomposed, masked))
    assert list(ours.state) == list(theirs.state)
    for key, value in ours.state.items():
        assert torch.allclose(value.double(), theirs.state[key].double(), atol=1e-2), key
    assert decomposed.cost == masked.cost

    stopped = replace(config, name="stopped")
    interrupted(stopped, 2)
    assert_same_end(train(replace(stopped, resume="auto")), decomposed)


def test_a_graph_that_does_not_decompose_is_refused(configured: Configured) -> None:
    with pytest.raises(UsageError, match=r"nothing to decompose in SmallResNet: .*; give an affine graph"):
        train(configured(form="decomposed"))
