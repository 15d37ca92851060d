"""``rgp-compile --explain LAYER``: what was found in one layer, everything that was tried, what was chosen and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rgp.errors import UsageError, unknown


def explain(report: Mapping[str, Any], layer: str) -> Group:
    """All that a bundle's ``report`` says of ``layer``, for a rich Console.

    UsageError with the nearest name if there is no such layer, or if an older rgp wrote the report.
    """
    layers = {each["name"]: each for each in report["layers"]}
    if layer not in layers:
        raise UsageError(unknown("layer", layer, layers))
    found = layers[layer]
    if "candidates" not in found:
        raise UsageError(f"the report of '{report['name']}' is of an older rgp, without candidates: compile it again")
    parts: list[Text | Table] = [Text(line) for line in _lines(report, found)]
    if found["candidates"]:
        parts.append(_table(found))
    parts += [Text(f"does not apply: {refusal}") for refusal in found["refusals"]]
    return Group(*parts)


def _lines(report: Mapping[str, Any], layer: Mapping[str, Any]) -> Iterator[str]:
    kernel, stride = ("x".join(map(str, layer[key])) for key in ("kernel", "stride"))
    step = f" / {stride}" if max(layer["stride"]) > 1 else ""
    image = "" if None in layer["image"] else f" on {'x'.join(map(str, layer['image']))}"
    yield f"{layer['name']} of {report['name']}"
    yield (
        f"convolution: {layer['in_channels']} to {layer['out_channels']} channels, {kernel}{step}{image}, "
        f"{layer['dense_macs'] / 1e6:.1f} million MACs when dense"
    )
    yield f"found: {layer['structure']} (density {layer['density']:.3g})"
    yield f"chosen: {_form(layer)}, {layer['macs_share']:.0%} of the MACs{_times(layer)}"
    if layer["shuffles"]:
        yield f"shuffles left around it: {layer['shuffles']}, on its {', '.join(layer['shuffled'])}"
    yield f"why: {layer['why']}"


def _table(layer: Mapping[str, Any]) -> Table:
    table = Table("tried", "MACs", "shuffles", "estimated", "ms, dense", "speed-up", "outcome")
    for candidate in layer["candidates"]:
        ci95 = candidate["speedup_ci95"]
        table.add_row(
            _form(candidate),
            f"{candidate['macs_share']:.0%}",
            str(candidate["shuffles"]),
            f"{candidate['estimated_speedup']:.2f}x",
            "" if ci95 is None else f"{candidate['ms']:.3f}, {candidate['dense_ms']:.3f}",
            "" if ci95 is None else f"{candidate['speedup']:.2f}x [{ci95[0]:.2f}, {ci95[1]:.2f}]",
            _outcome(candidate, layer),
        )
    return table


def _outcome(candidate: Mapping[str, Any], layer: Mapping[str, Any]) -> str:
    """Why a candidate was or was not chosen."""
    form, ci95 = _form(candidate), candidate["speedup_ci95"]
    if form == _form(layer):
        return "chosen" if candidate["shuffles"] == layer["shuffles"] else "the chosen form, under other orders"
    if ci95 is None:
        return "estimated only"
    if ci95[0] <= 1:
        return "not faster than dense beyond the noise"
    if layer["lowering"] == "dense":
        return "faster alone, not as it stands in the network"
    return "faster than dense, but another is faster in its place"


def _form(of: Mapping[str, Any]) -> str:
    parts = f" {of['parts']}" if of["parts"] > 1 else ""
    return f"{of['lowering']}{parts}" + (f", {of['terms']} summed" if of["terms"] > 1 else "")


def _times(layer: Mapping[str, Any]) -> str:
    if layer["dense_ms"] is None:
        return ", not measured"
    return f", {layer['chosen_ms']:.3f} ms alone, dense {layer['dense_ms']:.3f} ms"
