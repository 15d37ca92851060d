"""Ranking, softmax and the canary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rgp.bundle import Bundle
from rgp.errors import EngineError, ImageError
from rgp.serve.classify import classify, softmax
from tests.serve.tiny import encoded, picture

PNG = encoded(picture(), "PNG")


class Constant:
    """An engine that always answers with these logits."""

    def __init__(self, *logits: float) -> None:
        self._logits = np.array([logits], np.float32)

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._logits

    def describe(self) -> dict[str, str | int]:
        return {}


def test_equal_classes_come_in_order_of_index(bundle: Bundle) -> None:
    hundred = replace(bundle, labels=tuple(f"class {index}" for index in range(100)))
    found = classify(hundred, Constant(*[index % 3 for index in range(100)]), PNG, top_k=100).predictions
    assert [prediction.index for prediction in found] == [*range(2, 100, 3), *range(1, 100, 3), *range(0, 100, 3)]
    assert all(prediction.label == f"class {prediction.index}" for prediction in found)


def test_probabilities_are_the_softmax_of_the_logits_in_float64(bundle: Bundle) -> None:
    (first,) = classify(bundle, Constant(0, 0, 0, 0, 0, 0, np.log(2)), PNG, top_k=1).predictions
    assert first.probability == pytest.approx(2 / 8, rel=1e-7)


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_softmax_is_a_distribution_that_keeps_the_order(logits: NDArray[np.float32]) -> None:
    probabilities = softmax(logits)
    assert probabilities.dtype == np.float64
    assert probabilities.sum() == pytest.approx(1)
    assert (np.diff(probabilities[np.argsort(logits)]) >= 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_an_engine_error(bad: float, bundle: Bundle) -> None:
    engine = Constant(0, 0, bad, 0, 0, 0, 0)
    with pytest.raises(EngineError, match="not finite"):
        classify(bundle, engine, PNG, top_k=1)


@pytest.mark.parametrize("classes", [1, 6, 8])
def test_a_wrong_number_of_classes_is_an_engine_error(classes: int, bundle: Bundle) -> None:
    with pytest.raises(EngineError, match=rf"shape \(1, {classes}\), its bundle has 7 labels"):
        classify(bundle, Constant(*range(classes)), PNG, top_k=1)


def test_an_image_that_is_none_never_reaches_the_engine(bundle: Bundle) -> None:
    with pytest.raises(ImageError, match="not a JPEG, PNG or WebP"):
        classify(bundle, Constant(), b"x", top_k=1)
