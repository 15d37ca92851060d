"""Training itself: what a run learns and leaves, and that pruned weights stay at zero."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from rgp.checkpoint import Checkpoint
from rgp.conv import GraphConv2d
from rgp.errors import PruneError, RgpError, UsageError
from rgp.families import parse
from rgp.models.registry import restore
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.distributed import Processes
from rgp.train.evaluation import evaluate_checkpoint
from rgp.train.learner import Learner
from rgp.train.loop import RunResult, train
from rgp.train.randomness import seed_all
from rgp.train.tracking import RunFolder

Configured = Callable[..., TrainConfig]


def learner_of(config: TrainConfig) -> Learner:
    return Learner(config, load_data(config), Processes(config))


Finished = tuple[TrainConfig, RunResult]


class TestAFinishedRun:
    def test_it_has_learnt(self, finished: Finished) -> None:
        _, result = finished
        assert result.best["top1"] > 80  # one in three by chance
        assert "top5" not in result.best  # of three classes it would mean nothing

    def test_its_checkpoints_describe_the_network(self, finished: Finished) -> None:
        config, result = finished
        data = load_data(config)
        for path in (result.folder.first, result.folder.best, result.folder.last):
            checkpoint = Checkpoint.load(path)
            assert (checkpoint.architecture, checkpoint.graph) == ("small_resnet", "ring:8_2")
            assert checkpoint.options == {"num_classes": 3, "in_channels": 1, "width": 8}
            assert (checkpoint.labels, checkpoint.preprocess) == (data.labels, data.preprocess)
            assert {len(mask) for mask in checkpoint.masks.values()} == {8}
        assert Checkpoint.load(result.folder.best).metrics == result.best
        assert Checkpoint.load(result.folder.last).metrics == result.last

    def test_evaluating_a_checkpoint_gives_what_training_measured(self, finished: Finished) -> None:
        config, result = finished
        assert evaluate_checkpoint(config, result.folder.best) == result.best
        assert evaluate_checkpoint(config, result.folder.last) == result.last

    def test_the_metric_is_the_share_of_right_answers(self, finished: Finished) -> None:
        config, result = finished
        checkpoint, data = Checkpoint.load(result.folder.last), load_data(config)
        network, right = restore(checkpoint), 0
        for image, label in (data.val[index] for index in range(len(data.val))):
            pixels = torch.tensor(checkpoint.preprocess(image)).permute(2, 0, 1)[None] / 255
            right += int(network((pixels - 0.2) / 0.3).argmax()) == label
        assert result.last["top1"] == pytest.approx(100 * right / len(data.val))

    def test_its_row_in_the_results_says_what_it_was(self, finished: Finished) -> None:
        config, result = finished
        with (Path(config.runs) / "results.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["config"], row["name"], row["graph"], row["epochs"]) == ("bars", "run", "ring:8_2", "12")
        assert row["top1_best"] == f"{result.best['top1']:.2f}"
        assert row["top5_best"] == ""
        assert int(row["macs"]) == result.cost.macs < int(row["dense_macs"])
        assert row["device"] == "cpu"

    def test_its_curves_are_in_the_logs(self, finished: Finished) -> None:
        _, result = finished
        events = EventAccumulator(str(result.folder.logs)).Reload()
        top1 = events.Scalars("val/top1")
        assert len(top1) == 12
        assert top1[-1].value == pytest.approx(result.last["top1"])
        assert top1[-1].step == 12 * 3 - 1
        rates = [event.value for event in events.Scalars("train/lr")]
        assert rates == sorted(rates, reverse=True)
        assert rates[0] == pytest.approx(0.1)  # the peak, at the end of the warm-up

    def test_pruned_weights_are_exactly_zero_in_every_checkpoint(self, finished: Finished) -> None:
        _, result = finished
        for path in (result.folder.first, result.folder.last):
            checkpoint = Checkpoint.load(path)
            for layer in checkpoint.masks:
                conv = restore(checkpoint).get_submodule(layer)
                assert isinstance(conv, GraphConv2d)
                stored = checkpoint.state[f"{layer}.weight"]
                assert (stored[~conv.mask] == 0).all()
                assert (stored[conv.mask] != 0).any()


def test_the_gradient_under_the_mask_is_zero_at_every_step(configured: Configured) -> None:
    config = configured(momentum=0.9, weight_decay=0.1, graph="random:8_4")
    learner = learner_of(config)
    masked = [module for module in learner.network.modules() if isinstance(module, GraphConv2d)]
    before = [module.weight.clone() for module in masked]
    for epoch in range(2):
        for _ in learner.steps(epoch):
            for module in masked:
                assert module.weight.grad is not None
                assert (module.weight.grad[~module.mask] == 0).all()
                assert (module.weight.detach()[~module.mask] == 0).all()
                assert (learner.optimiser.state[module.weight]["momentum_buffer"][~module.mask] == 0).all()
    assert masked
    assert all(not torch.equal(module.weight, start) for module, start in zip(masked, before, strict=True))


def test_the_steps_are_those_of_sgd_written_out_by_hand(configured: Configured) -> None:
    config = configured(graph="dense", epochs=1, label_smoothing=0.1, weight_decay=0.01)
    learner, data = learner_of(config), load_data(config)
    twin = Learner(config, data, Processes(config))
    twin.network.load_state_dict(learner.network.state_dict())
    weights = list(twin.network.parameters())
    momenta = [torch.zeros_like(weight) for weight in weights]
    for step, (images, classes) in zip(learner.steps(0), twin.batches.epoch(0), strict=True):
        twin.network.train()
        loss = F.cross_entropy(twin.network(twin.normalise(images)), classes, label_smoothing=0.1)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, momentum, gradient in zip(weights, momenta, gradients, strict=True):
                momentum.mul_(0.9).add_(gradient + 0.01 * weight)
                weight.sub_(step.rate * momentum)
        assert step.loss.item() == pytest.approx(loss.item(), rel=1e-4)
    for mine, by_hand in zip(learner.network.parameters(), weights, strict=True):
        torch.testing.assert_close(mine, by_hand, rtol=1e-3, atol=1e-4)


def test_the_same_seed_gives_the_same_network_and_another_seed_another(configured: Configured) -> None:
    one, two, other = (train(configured(epochs=1, seed=seed)).folder.last for seed in (3, 3, 4))
    states = [Checkpoint.load(path).state for path in (one, two, other)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert not torch.equal(states[0]["fc.weight"], states[2]["fc.weight"])


def test_a_second_run_of_the_same_name_leaves_the_first_alone(configured: Configured) -> None:
    first, second = (train(configured(epochs=1)).folder.path for _ in range(2))
    assert (first.name, second.name) == ("run", "run-1")


def test_what_became_of_the_layers_and_the_cost_are_printed(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(configured(epochs=2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "bars:here: 50 + 21 images 1 x 8 x 8, 3 classes"
    assert [line.strip() for line in lines[1:3]] == ["8 masked by ring:8_2", "1 dense (first layer)"]
    cost_line = next(line for line in lines if line.startswith("small_resnet, graph ring:8_2, on cpu: "))
    assert f"({result.cost.macs / result.cost.dense_macs:.1%})" in cost_line
    assert [line.partition(":")[0] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]


def test_bfloat16_autocast_trains_on_a_cpu_too(configured: Configured) -> None:
    result = train(configured(epochs=2, amp="bf16"))
    state = Checkpoint.load(result.folder.last).state
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float32}
    exact = Checkpoint.load(train(configured(epochs=2)).folder.last).state
    assert not torch.equal(state["fc.weight"], exact["fc.weight"])


def test_the_best_checkpoint_is_that_of_the_first_epoch_with_the_highest_top1(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = [{"top1": top1, "loss": epoch} for epoch, top1 in enumerate([50.0, 70.0, 70.0, 60.0], start=1)]
    waiting = iter(measured)
    monkeypatch.setattr(Learner, "evaluate", lambda self: next(waiting))
    result = train(configured())
    assert (result.best, result.last) == (measured[1], measured[3])
    assert Checkpoint.load(result.folder.best).metrics == measured[1]


class TestALossThatIsNoLongerANumber:
    def test_it_ends_the_run_and_names_the_last_good_checkpoint(self, configured: Configured) -> None:
        config = configured(lr=1e12, epochs=3, warmup_epochs=0)
        with pytest.raises(RgpError) as caught:
            train(config)
        first = Path(config.runs) / "default" / "run" / "checkpoints" / "first.pth"
        assert str(caught.value).startswith("the loss is nan in epoch 1: lower lr (1000000000000.0)")
        assert str(caught.value).endswith(f"the last good checkpoint is {first}")
        assert all(value.isfinite().all() for value in Checkpoint.load(first).state.values())

    def test_the_last_good_checkpoint_stays(self, configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
        spoil_after(monkeypatch, epochs=2)
        config = configured(epochs=4)
        with pytest.raises(RgpError, match=r"the loss is nan in epoch 3: .*/checkpoints/last\.pth"):
            train(config)
        run = RunFolder.newest(config)
        assert run is not None
        last = Checkpoint.load(run.last)
        assert last.training["position"]["epochs"] == 2
        assert all(value.isfinite().all() for value in last.state.values())
        assert not (Path(config.runs) / "results.csv").exists()


def spoil_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Put a NaN into the weights when ``epochs`` epochs have ended."""
    honest = Learner.steps

    def steps(self: Learner, epoch: int, skip: int = 0):  # type: ignore[no-untyped-def]
        if epoch == epochs:
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("nan"))
        return honest(self, epoch, skip)

    monkeypatch.setattr(Learner, "steps", steps)


class TestWhatIsWrongIsSaidBeforeAnythingIsWritten:
    @pytest.mark.parametrize(
        ("changes", "error", "said"),
        [
            ({"architecture": "smal_resnet"}, UsageError, "did you mean 'small_resnet'"),
            ({"architecture": "resnet18"}, UsageError, "width"),
            ({"graph": "rnig:8_2"}, UsageError, "did you mean 'ring'"),
            ({"graph": "ring:64_16"}, PruneError, "fewer than the 64 nodes"),
            ({"graph": "absent.npy"}, OSError, "absent.npy"),
            ({"skip": ("blocks.9.*",)}, UsageError, "blocks.9.*"),
            ({"pretrained": "absent.pth"}, RgpError, "absent.pth"),
        ],
    )
    def test_in_the_network(
        self, configured: Configured, changes: dict[str, object], error: type[Exception], said: str
    ) -> None:
        config = configured(**changes)
        with pytest.raises(error) as caught:
            train(config)
        assert said in str(caught.value)
        assert not Path(config.runs).exists()

    @pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
    def test_in_the_device(self, configured: Configured) -> None:
        with pytest.raises(UsageError, match="device is 'cuda': torch finds no GPU here"):
            train(configured(device="cuda"))

    def test_in_the_table_of_results(self, configured: Configured) -> None:
        config = configured()
        Path(config.runs).mkdir()
        (Path(config.runs) / "results.csv").write_text("other,columns\n")
        with pytest.raises(UsageError, match="columns"):
            train(config)
        assert not (Path(config.runs) / "default").exists()


class TestPretrainedWeights:
    def test_they_are_where_training_starts(self, configured: Configured) -> None:
        dense = train(configured(graph="dense", epochs=1)).folder.last
        pruned = train(configured(pretrained=str(dense), epochs=1)).folder.first
        learnt, start = Checkpoint.load(dense).state, Checkpoint.load(pruned).state
        assert torch.equal(start["fc.weight"], learnt["fc.weight"])
        layer = "blocks.0.conv1"
        mask = torch.from_numpy(parse("ring:8_2")[0].adjacency.copy())[:, :, None, None]
        assert torch.equal(start[f"{layer}.weight"], torch.where(mask, learnt[f"{layer}.weight"], 0))

    def test_those_of_another_network_are_refused(self, configured: Configured) -> None:
        other = train(configured(width=16, epochs=1)).folder.last
        with pytest.raises(RgpError, match=r"last\.pth: holds another network \(small_resnet\)"):
            train(configured(pretrained=str(other)))


def test_a_checkpoint_of_other_classes_is_not_evaluated(finished: Finished, configured: Configured) -> None:
    _, result = finished
    with pytest.raises(RgpError) as caught:
        evaluate_checkpoint(configured(data="digits"), result.folder.best)
    assert "knows 3 classes (rows, columns, diagonals" in str(caught.value)
    assert "digits has 10 classes" in str(caught.value)


def test_with_an_average_it_is_the_average_that_is_kept_and_measured(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(epochs=3, ema=0.9)
    result = train(config)
    checkpoint = Checkpoint.load(result.folder.last)
    raw = checkpoint.training["network"]
    weights = [key for key, value in raw.items() if value.is_floating_point()]
    assert all((checkpoint.state[key] != raw[key]).any() for key in weights if key.endswith("weight"))
    assert all(torch.equal(checkpoint.state[key], raw[key]) for key in raw if key.endswith("adjacency"))
    measured = evaluate_checkpoint(config, result.folder.last)
    assert measured == {key: value for key, value in result.last.items() if key != "raw_top1"}
    assert f"without averaging {result.last['raw_top1']:.2f}%" in capsys.readouterr().out
    for layer, mask in checkpoint.masks.items():
        conv = restore(checkpoint).get_submodule(layer)
        assert isinstance(conv, GraphConv2d)
        assert (conv.weight[~conv.mask] == 0).all(), mask


def test_density_scaled_weights_begin_larger_and_only_where_they_are_fresh(configured: Configured) -> None:
    learners = []
    for init in ("paper", "density"):
        seed_all(0)
        learners.append(learner_of(configured(init=init)))
    plain, scaled = (learner.network.state_dict() for learner in learners)
    masked = {f"{name}.weight" for name, m in learners[1].network.named_modules() if isinstance(m, GraphConv2d)}
    assert masked
    for key, weight in plain.items():  # ring:8_2 leaves a quarter of the inputs
        assert torch.allclose(scaled[key], 2 * weight if key in masked else weight)
    result = train(configured(epochs=1))
    again = learner_of(configured(init="density", pretrained=str(result.folder.last)))
    kept = Checkpoint.load(result.folder.last).state
    for name, module in again.network.named_modules():
        if isinstance(module, GraphConv2d):
            assert torch.equal(module.weight.cpu(), kept[f"{name}.weight"])


@pytest.mark.slow
def test_a_compiled_network_trains_as_the_plain_one(configured: Configured) -> None:
    plain, compiled = train(configured(epochs=2)), train(configured(epochs=2, compile=True, name="compiled"))
    assert compiled.last["loss"] == pytest.approx(plain.last["loss"], abs=1e-3)


def test_images_in_channels_last_train_the_same_network(configured: Configured) -> None:
    plain, last = train(configured(epochs=1)), train(configured(epochs=1, channels_last=True, name="last"))
    assert last.last["loss"] == pytest.approx(plain.last["loss"], abs=1e-3)


def test_a_batch_in_shares_has_the_gradient_of_the_whole(configured: Configured) -> None:
    """But for BatchNorm, which sees a share at a time: in evaluation mode there is no other difference."""
    gradients = []
    for accumulate in (1, 4):
        seed_all(0)
        learner = learner_of(configured(accumulate=accumulate))
        learner.network.eval()
        images, classes = next(learner.batches.epoch(0))
        loss = learner._backward(learner.normalise(images), classes)
        gradients.append([parameter.grad for parameter in learner.network.parameters()] + [loss])
    for whole, shared in zip(*gradients, strict=True):
        assert whole is not None
        assert shared is not None
        assert torch.allclose(whole, shared, atol=1e-5)
