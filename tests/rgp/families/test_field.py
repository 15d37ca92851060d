"""Finite fields: the laws they obey."""

from __future__ import annotations

import numpy as np
import pytest

from rgp.families.field import PRIMES, plus, powers, prime_power

ORDERS = [2, 3, 4, 5, 7, 8, 9, 16, 25, 27]


def test_prime_powers_are_found_and_nothing_else() -> None:
    known = {p**n: (p, n) for p in PRIMES for n in range(1, 13) if p**n <= 4200}
    assert {order: prime_power(order) for order in range(4200) if prime_power(order) != (0, 0)} == known


@pytest.mark.parametrize("order", [*ORDERS, 64, 81, 343, 1024, 3125])
def test_the_powers_of_a_primitive_element_are_every_element_but_0_once(order: int) -> None:
    assert sorted(powers(order).tolist()) == list(range(1, order))
    assert powers(order)[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        powers(order)[0] = 2


@pytest.mark.parametrize("order", ORDERS)
def test_the_elements_form_a_field(order: int) -> None:
    every = np.arange(order, dtype=np.int16)
    sums = plus(order, every[:, None], every)
    exponent = np.zeros(order, dtype=int)
    exponent[powers(order)] = np.arange(order - 1)
    products = powers(order)[(exponent[:, None] + exponent) % (order - 1)].copy()
    products[0, :] = products[:, 0] = 0

    assert np.array_equal(sums[0], every)
    assert np.array_equal(products[1], every)
    for table in (sums, products):
        assert np.array_equal(table, table.T)
        assert np.array_equal(table[table[:, :, None], every], table[every[:, None, None], table])
    assert (np.sort(sums, axis=1) == every).all()  # each element has a negative
    assert (np.sort(products[1:, 1:], axis=1) == every[1:]).all()  # and an inverse
    a, b, c = np.ix_(every, every, every)
    assert np.array_equal(products[a, sums[b, c]], sums[products[a, b], products[a, c]])
