"""The one way to spell a graph: parsed, and printed again.

A spelling is ``family:N_d?option=value&option=value``: N nodes, each of which reads d of the N groups of
channels, itself included where there are self-loops. ``N_d`` alone is of the family ``searched``;
``product:N_dxM`` takes each node of a graph M times; a path ends in ``.npy``.

>>> str(Spelling.parse("random:64_16?loops=1&seed=3"))
'random:64_16?seed=3&loops=1'
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rgp.errors import UsageError, unknown

# family -> the options it knows, whole numbers, in the order in which they are printed; a product has its base's.
# What an option means and its default are in the family's own function.
OPTIONS: dict[str, tuple[str, ...]] = {
    "searched": ("seed", "iterations", "relabel", "rotate", "loops"),
    "ring": ("loops",),
    "circulant": ("seed", "loops"),
    "random": ("seed", "rotate", "loops"),
    "affine": ("classes", "first", "rotate", "loops"),
    "file": ("loops",),
}
BARE = "searched"
MAX_DIGITS = 18
_SPELLED = [family for family in OPTIONS if family != "file"]
_FORM = re.compile(r"(product:)?(?:([a-z]+):)?([0-9]+)_([0-9]+)(?:x([0-9]+))?(?:\?(.*))?")


@dataclass(frozen=True)
class Spelling:
    """What a spelling says; it is not yet known whether such a graph exists.

    ``family``: a key of ``OPTIONS``, or "product", whose ``nodes``, ``degree`` and ``options`` are those of
    its base graph, of family ``base``, and which takes each node ``copies`` times. A "file" has a ``path``
    and no size.
    """

    family: str
    nodes: int = 0
    degree: int = 0
    options: tuple[tuple[str, int], ...] = ()
    base: str = ""
    copies: int = 1
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Spelling:
        """Read a spelling; UsageError, with what is meant where that can be guessed, for a text that is none."""
        if text.endswith(".npy"):  # whatever stands before that is a name
            return cls("file", path=text)
        path, mark, options = text.rpartition(".npy?")
        if mark:
            return cls("file", options=_options(text, "file", options), path=path + ".npy")
        match = _FORM.fullmatch(text)
        if not match:
            raise UsageError(f"graph '{text:.80}': write family:N_d (ring:64_16, random:64_16?seed=1) or a .npy path")
        product, family, nodes, degree, copies, options = match.groups()
        family = family or BARE
        if family not in _SPELLED:
            raise UsageError(unknown("graph family", family, [*_SPELLED, *([] if product else ["product"])]))
        size = (_number(text, "N", nodes), _number(text, "d", degree))
        spelling = cls(family, *size, _options(text, family, options))
        if not product:
            if copies is not None:
                raise UsageError(f"graph '{text:.80}': only a product takes copies: write product:{text:.80}")
            return spelling
        times = _number(text, "M", copies or "0")
        if times < 2:
            raise UsageError(f"graph '{text:.80}': a product is written product:N_dxM, with M from 2 (product:16_4x4)")
        return replace(spelling, family="product", base=family, copies=times)

    def __str__(self) -> str:
        options = "&".join(f"{name}={value}" for name, value in self.options)
        size = self.path or f"{self.nodes}_{self.degree}"
        if self.family == "product":
            size = f"product:{'' if self.base == BARE else self.base + ':'}{size}x{self.copies}"
        elif self.family not in (BARE, "file"):
            size = f"{self.family}:{size}"
        return size + (f"?{options}" if options else "")

    def having(self, **options: int | None) -> Spelling:
        """The same with these options; None takes one away."""
        merged = dict(self.options) | options
        ordered = ((name, merged.get(name)) for name in OPTIONS[self.base or self.family])
        return replace(self, options=tuple((name, value) for name, value in ordered if value is not None))


def _options(text: str, family: str, written: str | None) -> tuple[tuple[str, int], ...]:
    """``written`` is what follows the question mark, None where there is none."""
    options: dict[str, int] = {}
    for name, _, value in (part.partition("=") for part in (written.split("&") if written is not None else ())):
        if name not in OPTIONS[family]:
            raise UsageError(unknown(f"option of graph family {family}", name[:80], OPTIONS[family]))
        if name in options:
            raise UsageError(f"graph '{text:.80}': {name} is given twice")
        options[name] = _number(text, name, value)
        if name in ("loops", "rotate") and options[name] > 1:
            raise UsageError(f"graph '{text:.80}': {name} is {options[name]}, give 0 or 1")
    return tuple((name, options[name]) for name in OPTIONS[family] if name in options)


def _number(text: str, name: str, value: str) -> int:
    if not re.fullmatch(f"[0-9]{{1,{MAX_DIGITS}}}", value):
        raise UsageError(
            f"graph '{text:.80}': {name} is '{value:.40}', give a whole number from 0, of at most {MAX_DIGITS} digits"
        )
    return int(value)
