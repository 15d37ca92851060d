"""Only an equal network passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.compile.export import ImageNetwork, export
from rgp.compile.onnx_bytes import serialize
from rgp.compile.verify import AGREEMENTS, TIES, TOLERANCES, Network, Samples, sample_batches, verify
from rgp.engines.ort import OrtEngine
from rgp.errors import VerificationError
from rgp.models.registry import build
from tests.compile.conftest import GREY, randomised

Outputs = tuple[NDArray[Any], ...]
SHAPE = (6, 6, 1)
WEIGHT = np.random.default_rng(1).standard_normal((36, 10))


def logits(images: NDArray[Any]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = images.reshape(len(images), -1) @ WEIGHT
    return product


def original(images: NDArray[Any]) -> Outputs:
    """A linear network of 10 classes."""
    return (logits(images),)


class Engine:
    """A function as an engine."""

    def __init__(self, outputs: Network) -> None:
        self.outputs = outputs

    def run(self, images: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(self.outputs(images)[0], np.float32)

    def describe(self) -> dict[str, str | int]:
        return {}


def shifted(by: float) -> Engine:
    """The same classes, other logits."""
    return Engine(lambda images: (logits(images) + by,))


def samples(real: int = 0) -> Samples:
    images = np.random.default_rng(2).integers(0, 256, (real, *SHAPE), np.uint8)
    return sample_batches(SHAPE, np.uint8, list(images))


SCALE = float(max(np.abs(logits(batch)).max() for batch in samples().random))


def test_an_exported_network_equals_the_torch_network_it_was_made_of() -> None:
    torch.manual_seed(0)
    model = randomised(build("small_resnet", num_classes=5, in_channels=1, width=8))
    network = ImageNetwork(model, GREY).eval()

    def reference(images: NDArray[Any]) -> Outputs:
        with torch.no_grad():
            return (network(torch.from_numpy(images)).numpy(),)

    real = [np.full((12, 12, 1), grey, np.uint8) for grey in range(9)]
    engine = OrtEngine(serialize(export(model, GREY)), threads=1)
    found = verify(reference, engine, sample_batches((12, 12, 1), np.uint8, real))
    assert 0 < found.max_abs_diff <= 1e-4 * found.max_abs_logit
    assert (found.top1_agreement, found.judged, found.inputs, found.real_images) == (1, 49, 49, 9)
    assert {"max_abs_diff", "max_abs_logit", "top1_agreement", "inputs", "real_images", "tolerance"} <= set(
        found.to_dict()
    )
    assert found.to_dict()["batches"] == [1, 2, 7]


@pytest.mark.parametrize("precision", list(TOLERANCES))
def test_a_difference_just_above_the_tolerance_fails_and_just_below_passes(precision: str) -> None:
    allowed = TOLERANCES[precision] * SCALE
    verify(original, shifted(0.9 * allowed), samples(), precision=precision)
    with pytest.raises(
        VerificationError, match=r"differs from the original: max \|difference\|.*no bundle was written"
    ):
        verify(original, shifted(1.1 * allowed), samples(), precision=precision)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_an_engine_that_is_wrong_at_one_batch_size_fails(batch: int) -> None:
    engine = Engine(lambda images: (np.roll(logits(images), len(images) == batch, axis=1),))
    with pytest.raises(VerificationError):
        verify(original, engine, samples())


def test_an_engine_that_gives_another_shape_or_number_of_outputs_fails() -> None:
    with pytest.raises(VerificationError, match=r"shapes \[\(1, 9\)\], not \[\(1, 10\)\]"):
        verify(original, Engine(lambda images: (logits(images)[:, 1:],)), samples())
    with pytest.raises(VerificationError, match="gave outputs of shapes"):
        verify(original, Engine(lambda images: (logits(images),) * 2), samples())


@given(st.integers(1, 10), st.integers(0, 12), st.none() | st.integers(1, 5))
def test_every_real_image_is_used_in_batches_that_the_network_takes(first: int, count: int, fixed: int | None) -> None:
    images = [np.full(SHAPE, first + number, np.uint8) for number in range(count)]
    found = sample_batches(SHAPE, np.uint8, images, batch=fixed)
    assert found.real_images == count
    used = [int(image[0, 0, 0]) for batch in found.real for image in batch]
    assert used[:count] == [first + number for number in range(count)]
    if fixed is None:
        assert len(used) == count
        assert found.sizes == [1, 2, 7]
    else:
        assert set(used) == set(range(first, first + count))
        assert {len(batch) for batch in found.random + found.real} == {fixed}
    assert all(batch.dtype == np.uint8 and batch.shape[1:] == SHAPE for batch in found.random + found.real)


def test_noise_is_seeded_and_of_the_networks_type() -> None:
    again = [sample_batches((3, 4, 4), np.float32, []).random for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*again, strict=True))
    assert again[0][0].dtype == np.float32
    assert again[0][-1].shape == (7, 3, 4, 4)
    assert abs(float(np.concatenate(again[0]).mean())) < 0.1
    noise = np.concatenate(samples().random)
    assert (noise.min(), noise.max()) == (0, 255)
    assert not np.array_equal(noise, np.concatenate(sample_batches(SHAPE, np.uint8, [], seed=1).random))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("precision", list(AGREEMENTS))
def test_nothing_that_is_not_finite_is_ever_equal(value: float, precision: str) -> None:
    def broken(images: NDArray[Any]) -> Outputs:
        found = logits(images)
        found[-1, 3] = value
        return (found,)

    with pytest.raises(VerificationError, match="the compiled network gives NaN or infinity"):
        verify(original, Engine(broken), samples(), precision=precision)
    with pytest.raises(VerificationError, match="the original network gives NaN or infinity"):
        verify(broken, Engine(broken), samples(), precision=precision)


def tied(gap: float) -> tuple[Network, Engine]:
    """Two best classes ``gap`` apart at a largest logit of 1, and an engine that has them the other way round."""

    def rows(images: NDArray[Any], *best: float) -> Outputs:
        return (np.tile([0.0, *best], (len(images), 1)),)

    return lambda images: rows(images, 1, 1 - gap), Engine(lambda images: rows(images, 1 - gap, 1))


@pytest.mark.parametrize("precision", list(TOLERANCES))
def test_classes_that_nearly_tie_may_change_places(precision: str) -> None:
    reference, engine = tied(0.9 * TIES[precision])
    found = verify(reference, engine, samples(), precision=precision)
    assert (found.top1_agreement, found.ties) == (0, found.judged)


def test_classes_that_are_further_apart_may_not() -> None:
    reference, engine = tied(2 * TIES["fp16"])
    with pytest.raises(VerificationError, match=r"top-1 agreement 0.00% over 40 images, at least 99.00% is asked for"):
        verify(reference, engine, samples(), precision="fp16")
    reference, engine = tied(1e-9)
    with pytest.raises(VerificationError, match="--min-agreement 0"):  # int8 is judged by its classes alone
        verify(reference, engine, samples(), precision="int8")


def wrong_in(images: list[int]) -> Engine:
    """Another class for the images whose first pixel is one of ``images``."""

    def outputs(batch: NDArray[Any]) -> Outputs:
        found = logits(batch)
        wrong = np.isin(batch[:, 0, 0, 0], images)
        found[wrong] = -found[wrong]
        return (found,)

    return Engine(outputs)


def numbered(count: int) -> Samples:
    images = np.random.default_rng(3).integers(0, 256, (count, *SHAPE), np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    return sample_batches(SHAPE, np.uint8, list(images))


def test_int8_is_refused_below_the_agreement_that_is_asked_for_and_says_how_to_take_it() -> None:
    engine = wrong_in([5, 6, 7, 8])
    with pytest.raises(VerificationError, match=r"top-1 agreement 96.00% over 100 images.*--min-agreement 0.96"):
        verify(original, engine, numbered(100), precision="int8")
    found = verify(original, engine, numbered(100), precision="int8", min_agreement=0.96)
    assert found.top1_agreement == pytest.approx(0.96)
    assert (found.judged, found.real_images) == (100, 100)
    assert found.to_dict()["min_agreement"] == 0.96
    verify(original, wrong_in([5, 6, 7]), numbered(100), precision="int8")


def test_int8_is_judged_on_noise_only_where_there_are_no_real_images() -> None:
    engine = wrong_in(list(range(100, 256)))  # no real image of numbered(100)
    assert verify(original, engine, numbered(100), precision="int8").top1_agreement == 1
    with pytest.raises(VerificationError, match="over 40 images"):
        verify(original, engine, samples(), precision="int8")


def test_fp32_has_no_agreement_but_all() -> None:
    reference, engine = tied(1.5 * TIES["fp32"])
    halfway = Engine(lambda images: ((reference(images)[0] + engine.outputs(images)[0] * 1.01) / 2.01,))
    with pytest.raises(
        VerificationError, match=r"top-1 agreement 0.00% over 40 images, at least 100.00% is asked for;"
    ):
        verify(reference, halfway, samples(), min_agreement=0.0)


def test_every_output_is_compared_and_the_worst_is_told() -> None:
    def several(images: NDArray[Any], off: float = 0.0) -> Outputs:
        return logits(images), images.astype(np.float32).mean((1, 2, 3)) / 1000 + off

    found = verify(several, Engine(lambda images: several(images, 1e-6)), samples())
    assert found.top1_agreement is None
    assert found.max_abs_diff == pytest.approx(1e-6, rel=0.1)
    assert found.max_abs_logit < 0.256
    with pytest.raises(VerificationError, match="its outputs are not classes"):
        verify(several, Engine(lambda images: several(images, 1e-4)), samples())


def test_int8_without_classes_is_refused_for_want_of_a_measure() -> None:
    def maps(images: NDArray[Any]) -> Outputs:
        return (images.astype(np.float32),)

    assert verify(maps, Engine(maps), samples()).top1_agreement is None
    with pytest.raises(VerificationError, match="not classes, by which int8 is judged: use --precision fp16 or fp32"):
        verify(maps, Engine(maps), samples(), precision="int8")


def test_outputs_of_zero_equal_only_zero() -> None:
    def zero(images: NDArray[Any]) -> Outputs:
        return (np.zeros((len(images), 3)),)

    verify(zero, Engine(zero), samples())
    with pytest.raises(VerificationError):
        verify(zero, Engine(lambda images: (np.full((len(images), 3), 1e-30),)), samples())
