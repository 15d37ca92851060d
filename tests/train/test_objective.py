"""The loss against hand-computed values: mixed images, a teacher, and what is refused as one."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from rgp.checkpoint import Checkpoint
from rgp.errors import CheckpointError
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.loop import RunResult, train
from rgp.train.objective import Objective

CPU = torch.device("cpu")


def objective(config: TrainConfig) -> Objective:
    return Objective(config, load_data(config), CPU)


def test_without_more_it_is_cross_entropy(configured: Callable[..., TrainConfig]) -> None:
    logits, classes = torch.tensor([[2.0, 0, 0], [0, 0, 1]]), torch.tensor([0, 1])
    images = torch.zeros(2, 1, 8, 8)
    plain = objective(configured())
    assert plain.mixed(images, classes) == (images, classes)
    expected = -(2 - torch.tensor([2.0, 0, 0]).logsumexp(0) + 0 - torch.tensor([0, 0, 1.0]).logsumexp(0)) / 2
    assert plain(logits, images, classes).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_images_have_mixed_targets(configured: Callable[..., TrainConfig], kind: str) -> None:
    torch.manual_seed(3)
    images = torch.arange(3.0)[:, None, None, None].expand(3, 1, 8, 8)  # each image shows its own class
    mixed, targets = objective(configured(**{kind: 1.0})).mixed(images, torch.arange(3))
    assert targets.shape == (3, 3)
    assert targets.sum(1) == pytest.approx(torch.ones(3))
    # the mean of an image is then the mean of its targets' classes
    assert mixed.mean((1, 2, 3)) == pytest.approx(targets @ torch.arange(3.0), abs=1e-5)
    assert not torch.equal(mixed, images)


def test_with_both_each_batch_takes_one_of_them(configured: Callable[..., TrainConfig]) -> None:
    torch.manual_seed(0)
    both = objective(configured(mixup=1.0, cutmix=1.0))
    images = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 8, 8)
    batches = [both.mixed(images, torch.arange(2))[0] for _ in range(30)]
    blended = {bool(((batch > 0) & (batch < 1)).any()) for batch in batches}
    assert blended == {True, False}  # CutMix leaves only zeros and ones


def test_a_teacher_shares_the_loss(
    finished: tuple[TrainConfig, RunResult], configured: Callable[..., TrainConfig]
) -> None:
    _, run = finished
    config = configured(teacher=str(run.folder.last), teacher_share=0.7, temperature=2.0)
    learning = objective(config)
    images, classes = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    logits = torch.randn(4, 3, requires_grad=True)
    assert learning.teacher is not None
    soft = F.softmax(learning.teacher(images) / 2, 1)
    distance = (soft * (soft.log() - F.log_softmax(logits / 2, 1))).sum() / 4
    expected = 0.3 * F.cross_entropy(logits, classes) + 0.7 * 4 * distance
    loss = learning(logits, images, classes)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in learning.teacher.parameters())


def test_a_teacher_teaches(finished: tuple[TrainConfig, RunResult], configured: Callable[..., TrainConfig]) -> None:
    _, run = finished
    taught = train(configured(teacher=str(run.folder.last), teacher_share=1.0, epochs=6))  # no class is ever shown
    assert taught.last["top1"] > 60


def test_a_teacher_of_other_data_is_refused(
    finished: tuple[TrainConfig, RunResult], configured: Callable[..., TrainConfig]
) -> None:
    config, run = finished
    checkpoint = Checkpoint.load(run.folder.last)
    other = run.folder.path / "other.pth"
    replace(checkpoint, labels=("rows", "columns", "cats")).save(other)
    with pytest.raises(CheckpointError, match=r"other\.pth: the teacher knows other classes than the data"):
        objective(replace(config, teacher=str(other)))
    replace(checkpoint, preprocess=replace(checkpoint.preprocess, mean=(0.5,))).save(other)
    with pytest.raises(CheckpointError, match=r"the teacher sees 1 x 8 x 8 images of mean \(0\.5,\), the data gives"):
        objective(configured(teacher=str(other)))
