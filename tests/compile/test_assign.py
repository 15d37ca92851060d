"""The sum of tables is least, and said to be so only where that is proved."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rgp.compile import assign
from rgp.compile.assign import Table, minimise


def total(tables: list[Table[int]], values: dict[int, int]) -> float:
    return float(sum(table.cost[tuple(values[v] for v in table.variables)] for table in tables))


@st.composite
def problems(draw: st.DrawFn) -> tuple[dict[int, int], list[Table[int]]]:
    sizes = dict(enumerate(draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tables = []
    for _ in range(draw(st.integers(0, 6))):
        scope = tuple(draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=3, unique=True)))
        tables.append(Table(scope, rng.integers(0, 9, [sizes[v] for v in scope]).astype(float)))
    return sizes, tables


@settings(max_examples=150)
@given(problems())
def test_elimination_finds_what_trying_everything_finds(problem: tuple[dict[int, int], list[Table[int]]]) -> None:
    sizes, tables = problem
    values, proved = minimise(sizes, tables)
    assert proved
    assert all(0 <= values[variable] < size for variable, size in sizes.items())
    every = (dict(enumerate(combination)) for combination in product(*map(range, sizes.values())))
    assert total(tables, values) == min(total(tables, each) for each in every)


def test_a_table_too_large_is_not_made_and_nothing_is_claimed() -> None:
    count = 12
    rng = np.random.default_rng(0)
    sizes = dict.fromkeys(range(count), 8)
    tables = [Table((a, b), rng.random((8, 8))) for a in range(count) for b in range(a)]  # everything meets everything
    assert 8**count > assign.LARGEST_TABLE
    start = dict.fromkeys(sizes, 3)
    values, proved = minimise(sizes, tables, start)
    assert not proved
    assert total(tables, values) < total(tables, start)
    for variable in sizes:  # no single change helps
        assert all(total(tables, values) <= total(tables, values | {variable: v}) for v in range(8))


def test_of_equals_the_first_is_taken() -> None:
    assert minimise({"a": 3, "b": 2}, [Table(("a",), np.zeros(3))]) == ({"a": 0, "b": 0}, True)
