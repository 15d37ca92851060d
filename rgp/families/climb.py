"""Hill climbing over subsets: which k of n give the best graph, for the families that choose so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

_PATIENCE = 200


def best_subset(
    pool: int, size: int, cost: Callable[[Sequence[int]], tuple[int, int]], *, tries: int, seed: int = 0
) -> tuple[int, ...]:
    """Choose ``size`` of the numbers below ``pool`` so that ``cost`` is least; sorted.

    Looks at every choice if there are no more than ``tries``. Else looks at the first ``size`` numbers, begins with
    random ones, exchanges one for another where that makes nothing worse, and begins again with other random ones
    after 200 exchanges in a row that made nothing better. The same arguments give the same choice on every machine.
    """
    if math.comb(pool, size) <= tries:
        return min((cost(chosen), chosen) for chosen in combinations(range(pool), size))[1]
    rng = np.random.Generator(np.random.PCG64(seed))
    members = list(range(pool))  # the first `size` are chosen
    now = cost(members[:size])
    best, quiet = (now, tuple(members[:size])), _PATIENCE
    for leaves, enters in rng.integers([0, size], [size, pool], size=(tries, 2)).tolist():
        if quiet == _PATIENCE:
            members, quiet = rng.permutation(pool).tolist(), 0
            now = cost(members[:size])
        members[leaves], members[enters] = members[enters], members[leaves]
        found = cost(members[:size])
        quiet = 0 if found < now else quiet + 1
        if found <= now:
            now = found
            best = min(best, (now, tuple(sorted(members[:size]))))
        else:
            members[leaves], members[enters] = members[enters], members[leaves]
    return best[1]
