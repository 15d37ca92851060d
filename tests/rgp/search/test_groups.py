"""The groups are groups, of every order, and none is listed twice as the same."""

from __future__ import annotations

import numpy as np
import pytest

from rgp.search.groups import Group, groups


@pytest.mark.parametrize("order", [1, 2, 3, 4, 7, 8, 12, 16, 21, 32, 64])
def test_each_table_is_that_of_a_group(order: int) -> None:
    found = groups(order)
    assert len(set(found)) == len(found) > 0
    for group in found:
        table = group.table()
        assert group.order == order == len(table)
        everything = np.arange(order)
        for rows in (table, table.T):
            assert (rows[0] == everything).all()
            assert (np.sort(rows, axis=1) == everything).all()
        assert (table[table[:, :, None], everything] == table[everything[:, None, None], table]).all()


def test_commuting_and_other_groups_are_found() -> None:
    assert set(map(str, groups(8))) == {"Z8", "Z4 x Z2", "Z4 : Z2 by 3"}
    assert str(Group(1)) == "none"
    assert "Z7 : Z3 by 2" in set(map(str, groups(21)))
