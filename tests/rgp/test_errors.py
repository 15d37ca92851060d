"""The errors: their tree, their exit codes, and the nearest known name."""

from __future__ import annotations

import pytest

from rgp import errors
from rgp.errors import RgpError, UsageError, unknown

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, RgpError)]


def test_every_error_is_an_rgp_error_with_a_docstring_and_stands_in_the_tree() -> None:
    assert len(CLASSES) >= 12
    for kind in CLASSES:
        assert kind.__doc__
        assert kind.__name__ in (errors.__doc__ or "")


def test_only_usage_errors_exit_with_2() -> None:
    assert {kind for kind in CLASSES if kind.exit_code == 2} == {UsageError}
    assert {kind.exit_code for kind in CLASSES if kind is not UsageError} == {1}


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("rnig", ["ring", "random"], "unknown thing 'rnig': did you mean 'ring'?"),
        ("xyz", ["ring", "random"], "unknown thing 'xyz': known: random, ring"),
        ("", ["ring", "random"], "unknown thing '': known: random, ring"),
        ("ring", [], "unknown thing 'ring': known: none"),
        ("resnet5", {"resnet50": 1, "resnet18": 2}, "unknown thing 'resnet5': did you mean 'resnet50'?"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest_or_with_all(name: str, known: list[str], message: str) -> None:
    assert unknown("thing", name, known) == message
