"""Only an equal network passes."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rgp.compile.export import ImageNetwork
from rgp.compile.verify import TOLERANCE, verify
from rgp.errors import VerificationError
from rgp.models.registry import build
from tests.compile.conftest import GREY, randomised


class TorchEngine:
    """The reference network itself, as an engine, with what a test changes about its logits."""

    def __init__(self, offset: float = 0.0, *, wrong_at_batch: int = 0, nan: bool = False) -> None:
        torch.manual_seed(0)
        self.model = randomised(build("small_resnet", num_classes=5, in_channels=1, width=8))
        self.offset, self.wrong_at_batch, self.nan = offset, wrong_at_batch, nan

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits = ImageNetwork(self.model, GREY)(torch.from_numpy(images)).numpy()
        if len(images) == self.wrong_at_batch:
            logits = np.roll(logits, 1, axis=1)
        if self.nan:
            logits[0, 0] = np.nan
        return np.asarray(logits + self.offset, np.float32)

    def describe(self) -> dict[str, str | int]:
        return {}


def test_an_equal_engine_passes_on_random_and_real_images() -> None:
    engine = TorchEngine()
    real = [np.full((12, 12, 1), grey, np.uint8) for grey in range(9)]
    found = verify(engine.model, GREY, engine, real)
    assert found.max_abs_diff == 0
    assert found.inputs == 4 * (1 + 2 + 7) + 9
    assert found.real_images == 9


def test_a_difference_just_above_the_tolerance_fails_and_just_below_passes() -> None:
    exact = TorchEngine()
    scale = verify(exact.model, GREY, exact, []).max_abs_logit
    verify(exact.model, GREY, TorchEngine(0.9 * TOLERANCE * scale), [])
    with pytest.raises(VerificationError, match="differs from the masked one"):
        verify(exact.model, GREY, TorchEngine(1.1 * TOLERANCE * scale), [])


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_an_engine_that_is_wrong_at_one_batch_size_fails(batch: int) -> None:
    exact = TorchEngine()
    with pytest.raises(VerificationError):
        verify(exact.model, GREY, TorchEngine(wrong_at_batch=batch), [])


def test_real_images_run_at_every_batch_size() -> None:
    exact, sizes = TorchEngine(), list[int]()

    class Noting(TorchEngine):
        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            sizes.append(len(images))
            return super().run(images)

    verify(exact.model, GREY, Noting(), [np.zeros((12, 12, 1), np.uint8)] * 12)
    assert sizes[12:] == [1, 2, 7, 1, 1]


def test_nan_is_never_equal() -> None:
    exact = TorchEngine()
    with pytest.raises(VerificationError):
        verify(exact.model, GREY, TorchEngine(nan=True), [])
