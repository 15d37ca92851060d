"""Finite fields, from one table: the powers of a primitive element.

The elements of GF(p^n) are the whole numbers below p^n; the digits of one in base p are the coefficients of a
polynomial in x, lowest first. Sums are digit by digit modulo p; products are sums of exponents. Source: Lidl &
Niederreiter, *Finite Fields*, chapters 2 and 3.

>>> powers(4).tolist()  # 1, x, x + 1
[1, 2, 3]
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PRIMES = (2, 3, 5, 7)


def prime_power(order: int) -> tuple[int, int]:
    """(p, n) with p^n = order, p one of ``PRIMES`` and n from 1; (0, 0) if there is none."""
    for prime in PRIMES:
        size, rest = 0, order
        while rest > 1 and rest % prime == 0:
            size, rest = size + 1, rest // prime
        if size and rest == 1:
            return prime, size
    return 0, 0


@lru_cache(maxsize=16)
def powers(order: int) -> NDArray[np.int16]:
    """(order - 1,): 1, a, a², ... of a primitive element a of GF(order): each element but 0 once; read-only."""
    prime, size = prime_power(order)
    for tail in range(1, order):  # x^n = -tail: the first polynomial for which x (n = 1: -tail) is primitive
        if tail % prime == 0:
            continue
        less = [-(tail // prime**i) % prime for i in range(size)]
        one = (1, *[0] * (size - 1))
        element, found = one, [1]
        while True:
            top = element[-1]
            element = tuple((low + top * part) % prime for low, part in zip((0, *element[:-1]), less, strict=True))
            if element == one:
                break
            found.append(sum(digit * prime**i for i, digit in enumerate(element)))
        if len(found) == order - 1:
            table = np.array(found, dtype=np.int16)
            table.setflags(write=False)
            return table
    raise AssertionError(f"GF({order}) has a primitive element")


def plus(order: int, a: NDArray[np.int16], b: NDArray[np.int16]) -> NDArray[np.int16]:
    """a + b in GF(order), element by element."""
    prime, size = prime_power(order)
    if prime == 2:
        return a ^ b
    places = [prime**i for i in range(size)]
    total: NDArray[np.int16] = np.sum([(a // p + b // p) % prime * p for p in places], axis=0, dtype=np.int16)
    return total
