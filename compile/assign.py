"""Choose one value for each variable so that a sum of small tables is least.

Exact by eliminating one variable after the other (Dechter, "Bucket elimination", 1999, min-sum), which is cheap
where the tables connect few variables at a time, as the layers of a residual network do. Where a joined table
would be too large, coordinate descent from the caller's start: each variable in turn takes the value that is
best with the others as they are, until nothing improves.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

V = TypeVar("V", bound=Hashable)

LARGEST_TABLE = 1 << 16


@dataclass(frozen=True, eq=False)
class Table(Generic[V]):
    """A cost for each combination of values: one axis for each variable, in the order of ``variables``."""

    variables: tuple[V, ...]
    cost: NDArray[np.float64]


def minimise(
    sizes: Mapping[V, int], tables: Sequence[Table[V]], start: Mapping[V, int] | None = None
) -> tuple[dict[V, int], bool]:
    """The value (from 0 to size-1) of each variable, and whether the sum is proved least.

    ``start``: where coordinate descent begins if elimination would take too much memory; left out, at zero.
    Among equal sums the smaller values win.
    """
    best = _eliminated(sizes, tables)
    if best is not None:
        return best, True
    return _descended(sizes, tables, dict(start or dict.fromkeys(sizes, 0))), False


def _eliminated(sizes: Mapping[V, int], tables: Sequence[Table[V]]) -> dict[V, int] | None:
    remaining, left = list(tables), dict(sizes)
    eliminated: list[tuple[V, Table[V]]] = []
    while left:
        scopes = {variable: _scope(variable, remaining) for variable in left}
        cells = {variable: math.prod(sizes[v] for v in scope) for variable, scope in scopes.items()}
        variable = min(left, key=cells.__getitem__)
        if cells[variable] > LARGEST_TABLE:
            return None
        joined = _joined(scopes[variable], [table for table in remaining if variable in table.variables], sizes)
        remaining = [table for table in remaining if variable not in table.variables]
        remaining.append(Table(joined.variables[1:], joined.cost.min(axis=0)))
        eliminated.append((variable, joined))
        del left[variable]
    values: dict[V, int] = {}
    for variable, joined in reversed(eliminated):
        cost = joined.cost
        for other in reversed(joined.variables[1:]):
            cost = cost[..., values[other]]
        values[variable] = int(cost.argmin())
    return values


def _scope(variable: V, tables: Sequence[Table[V]]) -> tuple[V, ...]:
    """The variable, then those that it shares a table with."""
    others = dict.fromkeys(v for table in tables if variable in table.variables for v in table.variables)
    others.pop(variable, None)
    return (variable, *others)


def _joined(scope: tuple[V, ...], tables: Sequence[Table[V]], sizes: Mapping[V, int]) -> Table[V]:
    total = np.zeros([sizes[variable] for variable in scope])
    for table in tables:
        axes = sorted(range(len(table.variables)), key=lambda axis: scope.index(table.variables[axis]))
        present = set(table.variables)
        shape = [sizes[variable] if variable in present else 1 for variable in scope]
        total = total + table.cost.transpose(axes).reshape(shape)
    return Table(scope, total)


def _descended(sizes: Mapping[V, int], tables: Sequence[Table[V]], values: dict[V, int]) -> dict[V, int]:
    touching: dict[V, list[Table[V]]] = {variable: [] for variable in sizes}
    for table in tables:
        for variable in dict.fromkeys(table.variables):
            touching[variable].append(table)
    improved = True
    while improved:
        improved = False
        for variable, size in sizes.items():
            costs = np.zeros(size)
            for table in touching[variable]:
                costs += table.cost[tuple(slice(None) if v == variable else values[v] for v in table.variables)]
            if costs.min() < costs[values[variable]]:
                values[variable], improved = int(costs.argmin()), True
    return values
