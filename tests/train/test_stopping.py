"""A run that is stopped or killed in the middle of an epoch loses no step that its checkpoint has."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from rgp.checkpoint import Checkpoint
from rgp.train.config import TrainConfig
from rgp.train.evaluation import Metrics
from rgp.train.history import History
from rgp.train.learner import Learner, Step
from rgp.train.loop import RunResult, train
from rgp.train.stopping import StoppedError, stop_requests
from rgp.train.tracking import RunFolder

Configured = Callable[..., TrainConfig]


def signalled(monkeypatch: pytest.MonkeyPatch, number: signal.Signals, epoch: int, step: int) -> None:
    """Let the process signal itself once, after a step."""
    honest = Learner.steps

    def steps(self: Learner, now: int, skip: int = 0):  # type: ignore[no-untyped-def]
        for taken, done in enumerate(honest(self, now, skip), start=skip + 1):
            if (now, taken) == (epoch, step):
                os.kill(os.getpid(), number)
            yield done

    monkeypatch.setattr(Learner, "steps", steps)


def assert_same_end(resumed: RunResult, straight: RunResult) -> None:
    assert (resumed.last, resumed.best) == (straight.last, straight.best)
    ours, theirs = (Checkpoint.load(result.folder.last) for result in (resumed, straight))
    assert ours.state.keys() == theirs.state.keys()
    assert all(torch.equal(ours.state[key], theirs.state[key]) for key in ours.state)


@pytest.mark.parametrize(
    ("number", "code", "epoch", "step", "ema"),
    [(signal.SIGTERM, 143, 0, 1, 0.0), (signal.SIGINT, 130, 1, 3, 0.9), (signal.SIGTERM, 143, 2, 2, 0.0)],
)
def test_a_run_asked_to_stop_goes_on_from_the_very_step(
    configured: Configured,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
    epoch: int,
    step: int,
    ema: float,
) -> None:
    config = configured(epochs=3, batch_size=8, ema=ema)
    straight = train(replace(config, name="straight"))
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        signalled(patch, number, epoch, step)
        with pytest.raises(StoppedError, match=rf"in epoch {epoch + 1}, after {step} of 6 steps: .*last\.pth") as asked:
            train(config)
    assert asked.value.exit_code == code
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    folder = RunFolder.newest(replace(config, name="run"))
    assert folder is not None
    position = Checkpoint.load(folder.last).training["position"]
    assert (position["epochs"], position["steps"]) == (epoch, step)
    torch.manual_seed(99)
    assert_same_end(train(replace(config, resume=str(folder.last))), straight)


def test_the_second_request_is_not_held_back() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with stop_requests() as requests:
            signal.raise_signal(signal.SIGINT)
            assert requests == [signal.SIGINT]
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


SETTINGS = {"data": "digits", "width": 8, "epochs": 2, "batch_size": 16, "graph": "ring:8_2", "save_steps": 5}


def test_kill_9_loses_at_most_the_steps_since_the_last_checkpoint(tmp_path: Path) -> None:
    arguments = [f"--{name}={value}" for name, value in SETTINGS.items()]
    command = [sys.executable, "-m", "rgp.train", *arguments, "--runs", str(tmp_path / "runs")]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # as in this process: sums differ
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=one_thread)
    last = tmp_path / "runs" / "default" / "run" / "checkpoints" / "last.pth"
    deadline = time.monotonic() + 120
    while not last.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    position = Checkpoint.load(last).training["position"]
    assert position["steps"] > 0
    assert position["steps"] % 5 == 0

    config = TrainConfig(runs=str(tmp_path / "runs"), **SETTINGS)  # type: ignore[arg-type]
    resumed = train(replace(config, resume="auto"))
    assert resumed.folder.last == last
    assert_same_end(resumed, train(replace(config, name="straight", save_steps=0)))


def test_kill_9_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    # a network whose checkpoint takes a while to write, and one after each step
    settings: dict[str, Any] = {"data": "digits", "width": 64, "batch_size": 16, "epochs": 1, "save_steps": 1}
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "rgp.train", *arguments, "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "runs" / "default" / "run" / "checkpoints"
    deadline = time.monotonic() + 120
    while not ((folder / "last.pth").exists() and list(folder.glob(".last.pth.*"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
    process.kill()
    process.wait()
    (folder / ".last.pth.half").touch()  # the kill may have come just after the renaming
    position = Checkpoint.load(folder / "last.pth").training["position"]
    assert position["steps"] > 0

    config = TrainConfig(runs=str(tmp_path / "runs"), resume="auto", **settings | {"save_steps": 0})
    learner_steps: list[int] = []
    honest = Learner.steps

    def steps(self: Learner, now: int, skip: int = 0) -> Iterator[Step]:
        learner_steps.append(skip)
        yield from islice(honest(self, now, skip), 1)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "steps", steps)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert learner_steps == [position["steps"]]  # the very next one
    assert not list(folder.glob(".*.pth.*"))


def test_a_sigterm_that_comes_twice_at_once_is_one() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with stop_requests() as requests:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert requests == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("epoch", "step"), [(0, 2), (0, 3), (1, 3)])
def test_a_stop_at_the_last_step_of_an_epoch_leaves_its_evaluation_to_the_next_start(
    epoch: int, step: int, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(epochs=3)  # of three steps
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGTERM, epoch, step)
        with pytest.raises(StoppedError, match=f"in epoch {epoch + 1}, after {step} of 3 steps"):
            train(config)
    resumed = train(replace(config, resume="auto"))
    assert_same_end(resumed, train(replace(config, name="straight")))
    assert [row.epoch for row in History(resumed.folder.history).read()] == [1, 2, 3]


def test_a_stop_in_an_evaluation_ends_the_run_after_it(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    config, honest = configured(epochs=2), Learner.evaluate

    def evaluate(self: Learner) -> Metrics:
        signal.raise_signal(signal.SIGTERM)
        return honest(self)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "evaluate", evaluate)
        with pytest.raises(StoppedError, match="stopped after epoch 1: "):
            train(config)
        assert train(replace(config, resume="auto")).last["top1"] >= 0  # it was the last epoch: the run is whole
    assert_same_end(train(replace(config, resume="auto")), train(replace(config, name="straight")))
