"""The section of docs/results.md: a table for each network and machine, a row for each peer, a column for each cell."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.table import Row, absent, rows
from benchmarks.peers.ways import RGP


def section(results: dict[str, Any]) -> str:
    """Markdown, from what peers.json holds."""
    cells = list(results["cells"].values())
    versions = cells[0]["versions"]
    packages = sorted({f"{name} {number}" for each in versions.values() for name, number in each.items()})
    text = [
        "## Beside what you would pick instead",
        "![Times as fast as ONNX Runtime, dense, fp32](images/peers.svg)",
        "`make bench-peers`. Milliseconds of a batch, and how many times as fast as ONNX Runtime, dense, fp32 that is: "
        "the median over\nrounds in which all take turns, with its 95% interval over three builds (torch.compile and "
        "DeepSparse are built once). Each\npeer at the fastest of its settings in that cell, on as many cores as "
        "threads, the same ones for all. The weights are random,\nwhich does not change the time. fp32 answers are the "
        "masked network's, within the share of the largest logit that is given,\nbut for the two smaller networks; of "
        "int8 and bf16 the share of 32 pictures with the same class is given, which says little\nof a trained network: "
        "untrained logits lie close together.\n"
        f"{', '.join(packages)}.",
        "Settings. ONNX Runtime and rgp: all graph optimisations, prepacked weights, the batch fixed, threads spinning "
        "or not, batches\nwhole or image after image. OpenVINO: latency hint, one stream, the batch fixed, int8 by "
        "NNCF. torch.compile: freezing, channels\nlast, C++ wrapper, sizes fixed. DeepSparse: one stream, normalised "
        "numbers instead of bytes. int8 of ONNX Runtime: static, per\nchannel. Narrower: all widths by one percentage; "
        "Torch-Pruning: one share of every layer, by magnitude of groups; both in steps\nof 8 channels, with at most "
        "the multiply-accumulates that the mask leaves.",
    ]
    for network, cpu in dict.fromkeys(map(_measured, sorted(cells, key=_time, reverse=True))):
        of = [cell for cell in cells if _measured(cell) == (network, cpu)]
        share = of[0]["macs"] / of[0]["dense_macs"]
        head = ["peer", *(f"batch {cell['batch']}, {_threads(cell)}" for cell in of), "answers"]
        found = [{row.row: row for row in rows(cell)} for cell in of]
        names = sorted({name for each in found for name in each}, key=lambda name: -_ratio(found, name))
        lines = [head, ["---"] * len(head)]
        for name in names:
            first = next(each[name] for each in found if name in each)
            said = f"**{name}**" if name.startswith(RGP) else name
            lines.append([said, *(_cell(each.get(name)) for each in found), first.answers])
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        forms = "; ".join(f"{_threads(cell)}, {_forms(cell)}" for cell in of if cell["batch"] == of[0]["batch"])
        where = f"{of[0]['environment']['cores']} cores of an {cpu}, {_time(of[0])[:10]}"
        text += [f"{network}, {share:.1%} of the MACs, {where}. How rgp runs its convolutions: {forms}.", table]
    reasons = results["absent"] | {name: reason for cell in cells for name, reason in absent(cell).items()}
    text.append("Not run:\n\n" + "\n".join(f"- {name}: {reason}" for name, reason in reasons.items()))
    return "\n\n".join(text) + "\n"


def _measured(cell: dict[str, Any]) -> tuple[str, str]:
    """What, and on which machine."""
    return f"{cell['architecture']} `{cell['graph']}`", cell["environment"]["cpu"]


def _time(cell: dict[str, Any]) -> str:
    return str(cell["environment"]["time"])


def _threads(cell: dict[str, Any]) -> str:
    return "1 thread" if cell["threads"] == 1 else f"{cell['threads']} threads"


def _forms(cell: dict[str, Any]) -> str:
    """How many layers of each precision run in which form."""
    counts = cell["lowerings"].items()
    return ", ".join(
        f"{precision} " + " and ".join(f"{n} {form}" for form, n in of.items()) for precision, of in counts
    )


def _ratio(found: list[dict[str, Row]], name: str) -> float:
    """Of the first cell that has it."""
    return next(each[name].ratio for each in found if name in each)


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    low, high = row.ratio_ci95
    return f"{row.ms:.2f}: {row.ratio:.2f}x, {low:.2f} to {high:.2f}"
