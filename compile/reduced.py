"""A structure in its smallest form: layers of one graph differ in their channels only, and are searched once.

Channels of a twin class are alike. Where all classes on a side have u channels, each class counts as one channel;
what is found for this small form holds for the layer, with u channels for each.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rgp.compile.merge import merged
from rgp.compile.parallel_classes import Decomposition, decompose
from rgp.compile.structure import Channels, Part, Structure

Key = tuple[bytes, tuple[int, ...]]
"""A biadjacency: its bits and its shape."""
Members = list[Channels]
"""The channels of each class."""


def decomposition(structure: Structure) -> Decomposition:
    """``decompose``, searched once for all layers that differ in their numbers of channels only."""
    outs, ins = _members(structure.out_class), _members(structure.in_class)
    if outs is None or ins is None:
        return decompose(structure)
    small = _decomposed(_key(structure))
    return replace(small, classes=tuple(tuple(_grown(part, outs, ins) for part in parts) for parts in small.classes))


def merged_neighbourhoods(structure: Structure) -> dict[int, tuple[Part, ...]]:
    """``merged``, searched once for all layers that differ in their numbers of channels only."""
    outs, ins = _members(structure.out_class), _members(structure.in_class)
    if outs is None or ins is None:
        return merged(structure)
    return {
        count: tuple(_grown(part, outs, ins) for part in parts) for count, parts in _merged(_key(structure)).items()
    }


def _key(structure: Structure) -> Key:
    return np.packbits(structure.biadjacency).tobytes(), structure.biadjacency.shape


def _members(class_of: NDArray[np.int64]) -> Members | None:
    """The channels of each class, or None if the classes differ in size."""
    sizes = np.bincount(class_of)
    if sizes.min() < sizes.max():
        return None
    return [tuple(channels) for channels in np.argsort(class_of, kind="stable").reshape(len(sizes), -1).tolist()]


def _structure(key: Key) -> Structure:
    packed, (outs, ins) = key
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=outs * ins)
    return Structure(np.arange(outs), np.arange(ins), bits.reshape(outs, ins).astype(bool))


@lru_cache(maxsize=256)
def _decomposed(key: Key) -> Decomposition:
    return decompose(_structure(key))


@lru_cache(maxsize=256)
def _merged(key: Key) -> dict[int, tuple[Part, ...]]:
    return merged(_structure(key))


def _grown(part: Part, outs: Members, ins: Members) -> Part:
    def channels(small: Channels, of: Members) -> Channels:
        return tuple(sorted(channel for each in small for channel in of[each]))

    return Part(channels(part.outs, outs), channels(part.ins, ins))
