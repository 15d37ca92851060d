"""The network as a picture: blocks in running order, arcs where tensors skip blocks, colour by lowering.

Under each block hangs a bar, as long as the convolution takes: its outline dense, filled as chosen.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import onnx_ir as ir

from rgp.compile.convs import constant, find
from rgp.svg import ACCENT, GREY

COLOURS = {"dense": GREY, "grouped": ACCENT, "sliced": "#2f8fd0", "matmul": "#009e73", "native": "#b86fd0"}
"""By lowering; colour-blind readers tell them apart."""
AS_IT_CAME = "as it came"
"""What is no candidate for a lowering, such as a depthwise convolution."""

WIDTH, ARC, HEAD, BAR, LABELS, GAP = 1000, 56, 11, 84, 18, 10  # pixels: of a row, and of what it stacks
HEIGHT = ARC + HEAD + BAR + LABELS + GAP
LEAST_PITCH, MOST_PITCH = 15, 30  # pixels from one block to the next
TORN = 0.05  # what each arc that a line break tears costs, squared, in squares of a row left empty


@dataclass(frozen=True)
class Block:
    """One convolution or linear layer, or a ``join`` where tensors from several blocks meet (Add, Concat...).

    ``sources``: the numbers of the blocks that it reads, earlier in the sequence; ``image``: (H, W) of its input;
    ``macs``: for one image, zeros included. A join has neither channels nor MACs.
    """

    name: str
    join: bool
    sources: tuple[int, ...]
    channels: tuple[int, int] = (0, 0)
    kernel: tuple[int, ...] = ()
    image: tuple[int, ...] = ()
    macs: int = 0


@dataclass(frozen=True)
class _Bar:
    """Two lengths; ``solid``: they are what all bars stand for, not a guess from MACs."""

    dense: float
    chosen: float
    solid: bool


def read_blocks(model: ir.Model) -> tuple[Block, ...]:
    """The blocks of a network in running order; what reads one tensor and has no weights is left out."""
    convs = {conv.node: conv for conv in find(model)}
    blocks: list[Block] = []
    made_by: dict[ir.Value, int] = {}
    for node in model.graph:
        sources = tuple(dict.fromkeys(made_by[value] for value in node.inputs if value in made_by))
        weight = constant(node.inputs[1]) if node.op_type in ("Gemm", "MatMul") else None
        if conv := convs.get(node):
            assert conv.x.shape is not None
            image = tuple(side for side in list(conv.x.shape)[2:] if isinstance(side, int))
            blocks.append(Block(conv.name, False, sources, conv.channels, conv.kernel, image, conv.macs))
        elif weight is not None:
            assert node.inputs[1] is not None
            name = (node.inputs[1].name or node.name or node.op_type).removesuffix(".weight")
            turned = bool(node.attributes.get_int("transB", 0))
            ins, outs = weight.shape[::-1] if turned else weight.shape
            blocks.append(Block(name, False, sources, (ins, outs), macs=weight.size))
        elif len(sources) > 1:
            blocks.append(Block(node.op_type, True, sources))
        elif sources:
            made_by.update(dict.fromkeys(node.outputs, sources[0]))
            continue
        else:
            continue
        made_by.update(dict.fromkeys(node.outputs, len(blocks) - 1))
    return tuple(blocks)


def network_svg(blocks: Sequence[Block], layers: Sequence[Mapping[str, Any]]) -> str:
    """Draw ``blocks``, coloured and measured by the ``layers`` of a report; an <svg> element."""
    plans = {layer["name"]: layer for layer in layers}
    rows = _rows(blocks)
    pitch = min(MOST_PITCH, WIDTH / max(map(len, rows)))
    width = max(620, math.ceil(max(map(len, rows)) * pitch))
    svg = Element("svg", xmlns="http://www.w3.org/2000/svg", width=str(width), role="img")
    svg.set("aria-label", "the network's blocks in running order, coloured by lowering")
    svg.set("font-family", "system-ui, sans-serif")
    svg.set("font-size", "10")
    at = [((column + 0.5) * pitch, line * HEIGHT + ARC) for line, row in enumerate(rows) for column in range(len(row))]
    _wires(svg, [path for number in range(len(blocks)) for path in _paths(blocks, number, at, width)])
    bars, meaning = _bars(blocks, plans)
    sizes: set[tuple[int, ...]] = set()
    free = dict.fromkeys((y for _, y in at), 0.0)  # where the labels of each line end
    for block, bar, (x, y) in zip(blocks, bars, at, strict=True):
        _draw(svg, block, bar, plans.get(block.name), x, y, 0.7 * pitch)
        if math.prod(block.image) > 1 and block.image not in sizes:  # an empty product is 1
            sizes.add(block.image)
            label, left = "x".join(map(str, block.image)), max(free[y], x - 0.35 * pitch)
            _text(svg, left, y + HEAD + BAR + 12, label)
            free[y] = left + 6.5 * len(label) + 6
    used = dict.fromkeys(_lowering(plans.get(block.name)) for block in blocks if not block.join)
    bottom = len(rows) * HEIGHT + 10
    _legend(svg, list(used), bottom)
    _text(svg, 0, bottom + 18, meaning)
    svg.set("viewBox", f"0 0 {width} {bottom + 26}")
    return tostring(svg, encoding="unicode")


def _rows(blocks: Sequence[Block]) -> list[range]:
    """Break the sequence into lines that fit, where few arcs are torn and the lines are about as long."""
    count = len(blocks)
    longest = WIDTH // LEAST_PITCH
    last_reader = list(range(count))
    for number, block in enumerate(blocks):
        for source in block.sources:
            last_reader[source] = number
    torn = [sum(last_reader[source] >= start for source in range(start)) for start in range(count)]
    best: list[tuple[float, int]] = [(0.0, 0)]  # for each end: the least cost, and where its last line starts
    for end in range(1, count + 1):
        starts = range(max(0, end - longest), end)
        best.append(
            min(
                (best[start][0] + (1 - (end - start) / longest) ** 2 + TORN * max(0, torn[start] - 1) ** 2, start)
                for start in starts
            )
        )
    rows = []
    while count:
        rows.append(range(best[count][1], count))
        count = best[count][1]
    return rows[::-1]


def _wires(svg: Element, paths: Sequence[tuple[bool, str]]) -> None:
    """Draw lines and arcs. Hundreds of arcs are paler; lines are no darker where one lies on another."""
    pale = f"{max(0.15, min(0.4, 40 / max(1, len(paths)))):.2f}"
    arcs = SubElement(svg, "g", {"fill": "none", "stroke": "currentColor", "stroke-opacity": pale})
    lines = SubElement(svg, "g", {"fill": "none", "stroke": "currentColor", "opacity": "0.4"})
    for straight, path in dict.fromkeys(paths):
        SubElement(lines if straight else arcs, "path", d=path)


def _paths(
    blocks: Sequence[Block], number: int, at: Sequence[tuple[float, float]], width: float
) -> Iterator[tuple[bool, str]]:
    """From each source of a block to it: a line to the next, an arc over others, or off a line's end and on.

    Gives whether it is a straight line, and the path.
    """
    x, y = at[number]
    middle, high = HEAD / 2, y - 24
    for source in blocks[number].sources:
        start, level = at[source]
        if level == y and source == number - 1:
            yield True, f"M{start:.1f} {y + middle:.1f}H{x:.1f}"
        elif level == y:
            peak = y - 4 / 3 * min(ARC - 4, 8 + 0.28 * (x - start))  # of the curve: 3/4 of its control points
            yield False, f"M{start:.1f} {y}C{start:.1f} {peak:.1f} {x:.1f} {peak:.1f} {x:.1f} {y}"
        elif source == number - 1:
            yield True, f"M{start:.1f} {level + middle:.1f}H{width}"
            yield True, f"M0 {y + middle:.1f}H{x:.1f}"
        else:
            yield True, f"M{start:.1f} {level}q0 -24 24 -24H{width}"
            yield True, f"M0 {high}H{max(0, x - 24):.1f}Q{x:.1f} {high} {x:.1f} {y}"


def _bars(blocks: Sequence[Block], plans: Mapping[str, Mapping[str, Any]]) -> tuple[list[_Bar], str]:
    """How long each block's bar is, as shares of the longest, and what that means."""
    timed = {name: plan for name, plan in plans.items() if plan["dense_ms"] is not None}
    rates = [timed[block.name]["dense_ms"] / block.macs for block in blocks if block.name in timed and block.macs]
    rate = statistics.median(rates) if rates else 1.0
    bars = []
    for block in blocks:
        if plan := timed.get(block.name):
            bars.append(_Bar(plan["dense_ms"], plan["chosen_ms"], True))
        else:
            share = plans[block.name]["macs_share"] if block.name in plans else 1.0
            bars.append(_Bar(block.macs * rate, block.macs * rate * share, not rates))
    longest = max(bar.dense for bar in bars) or 1.0
    scaled = [_Bar(bar.dense / longest, bar.chosen / longest, bar.solid) for bar in bars]
    if not rates:
        return scaled, "bars: multiply-accumulates, outlined dense, filled as chosen; nothing was measured"
    dashed = "" if all(bar.solid or not bar.dense for bar in bars) else "; dashed: not measured, by its MACs"
    return scaled, f"bars: milliseconds of each alone, outlined dense, filled as chosen{dashed}"


def _draw(
    svg: Element, block: Block, bar: _Bar, plan: Mapping[str, Any] | None, x: float, y: float, width: float
) -> None:
    group = SubElement(svg, "g")
    SubElement(group, "title").text = _told(block, plan)
    if block.join:
        SubElement(group, "circle", cx=f"{x:.1f}", cy=f"{y + HEAD / 2}", r="3.5", fill=GREY)
        return
    lowering = _lowering(plan)
    colour = COLOURS.get(lowering, GREY)
    left, top = f"{x - width / 2:.1f}", f"{y + HEAD + 2}"
    head = SubElement(group, "rect", x=left, y=str(y), width=f"{width:.1f}", height=str(HEAD), rx="2", fill=colour)
    if lowering == AS_IT_CAME:
        head.set("fill-opacity", "0.35")
    outline = SubElement(group, "rect", x=left, y=top, width=f"{width:.1f}", height=f"{bar.dense * BAR:.1f}")
    outline.set("fill", GREY)
    outline.set("fill-opacity", "0.12")
    outline.set("stroke", GREY)
    outline.set("stroke-width", "0.8")
    if not bar.solid:
        outline.set("stroke-dasharray", "2 2")
    filled = SubElement(group, "rect", x=left, y=top, width=f"{width:.1f}", height=f"{bar.chosen * BAR:.1f}")
    filled.set("fill", colour)
    filled.set("fill-opacity", "0.85" if bar.solid else "0.3")


def _legend(svg: Element, lowerings: Sequence[str], y: float) -> None:
    x = 0
    for lowering in lowerings:
        mark = SubElement(svg, "rect", x=str(x), y=f"{y - 9}", width="10", height="10", rx="2")
        mark.set("fill", COLOURS.get(lowering, GREY))
        if lowering == AS_IT_CAME:
            mark.set("fill-opacity", "0.35")
        _text(svg, x + 15, y, lowering)
        x += 35 + 6 * len(lowering)
    SubElement(svg, "circle", cx=str(x + 5), cy=f"{y - 4}", r="3.5", fill=GREY)
    _text(svg, x + 15, y, "where tensors meet: Add, Concat")


def _text(svg: Element, x: float, y: float, text: str) -> None:
    SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "fill": "currentColor", "opacity": "0.75"}).text = text


def _lowering(plan: Mapping[str, Any] | None) -> str:
    return AS_IT_CAME if plan is None else str(plan["lowering"])


def _told(block: Block, plan: Mapping[str, Any] | None) -> str:
    """What a pointer over the block shows."""
    if block.join:
        return block.name
    ins, outs = block.channels
    kernel = f", {'x'.join(map(str, block.kernel))}" if block.kernel else ""
    image = f" on {'x'.join(map(str, block.image))}" if block.image else ""
    told = f"{block.name}: {ins} to {outs} channels{kernel}{image}, {block.macs / 1e6:.1f} million MACs\n"
    if plan is None:
        return told + AS_IT_CAME
    told += f"{plan['lowering']}, {plan['macs_share']:.0%} of the MACs"
    if plan["dense_ms"] is None:
        return f"{told}, not measured"
    return f"{told}, {plan['dense_ms']:.3f} ms dense, {plan['chosen_ms']:.3f} ms as chosen"
