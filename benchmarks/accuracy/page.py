"""The section of docs/results.md: a row for each case, from accuracy.csv."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from benchmarks.accuracy.summary import Summary, summaries


def section(rows: Sequence[Mapping[str, str]]) -> str:
    """Markdown. The differences to dense are paired: by seed, so the order of the images is the same."""
    settings, about = json.loads(rows[0]["settings"]), json.loads(rows[0]["environment"])
    said = summaries(rows)
    seeds = max(each.n for each in said)
    head = (
        *("MACs", "case", "runs", "million MACs", "ASPL", "validation, %", "test, %", "test loss"),
        "test, beside dense",
    )
    lines = [head, ("---",) * len(head)]
    for each in said:
        lines.append(
            (
                each.density, each.case, str(each.n), f"{each.macs:.1f}",
                "" if each.aspl is None else f"{each.aspl:.3f}",
                each.spread(each.val), each.spread(each.test), each.spread(each.loss, 3), _beside(each),
            )
        )  # fmt: skip
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        "## What a graph costs in accuracy\n\n"
        "`make bench-accuracy`: the CIFAR form of ResNet-18 at its full width on [glyphs](data.md#glyphs) of 16x16 "
        "pixels, two\nfonts a family, 62 classes. One recipe for all: "
        f"{settings['epochs']} epoch of SGD, batch {settings['batch_size']}, learning rate {settings['lr']} on a "
        f"cosine, {settings['amp']}.\n{seeds} seeds at most; mean and standard deviation over seeds, which also draw "
        "the random graphs. Families of fonts are disjoint\nbetween training, validation and test. *Beside dense*: "
        "percentage points, paired by seed, with their standard error.\n"
        f"{about['cores']} cores of an {about['cpu']}, {about['time'][:10]}.\n\n"
        f"{table}\n\n![Test accuracy of every case, and over the average path length](images/accuracy.svg)\n"
    )


def _beside(each: Summary) -> str:
    if each.beside is None:
        return ""
    mean, error = each.beside
    return f"{mean:+.2f}" + (f" ± {error:.2f}" if each.n > 1 else "")
