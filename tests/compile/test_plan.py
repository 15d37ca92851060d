"""What is chosen follows from what was measured, shuffles included."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv, find
from rgp.compile.export import export
from rgp.compile.layout import Wiring
from rgp.compile.lowerings import LOWERINGS
from rgp.compile.plan import Plan, all_dense, make_plan
from rgp.compile.spaces import Spaces, find_spaces
from rgp.compile.tune import ATTEMPTS, BUDGETS, Budget, Timing, Tuner
from rgp.compile.tune_cache import TuneCache
from rgp.engines.ort import OrtEngine
from rgp.families import affine, parse
from rgp.graph import Graph
from rgp.models.registry import build
from rgp.prune import prune
from tests.compile.conftest import GREY, randomised


class ScriptedTuner(Tuner):
    """Answers from a table instead of a clock: lowering -> speed-up alone, and with shuffles."""

    def __init__(self, alone: dict[str, float], shuffled: float = 2.0) -> None:
        super().__init__(start=lambda onnx: OrtEngine(onnx, threads=1), identity={}, budget=BUDGETS["full"])
        self.alone, self.shuffled = {"matmul": 0.1, "sliced": 0.1, "native": 0.1} | alone, shuffled

    def time(self, conv: Conv, choice: Choice, wiring: Wiring | None = None) -> Timing:
        shuffles = wiring.shuffles if wiring else 0
        return timing(choice.lowering, self.shuffled if shuffles else self.alone[choice.lowering], shuffles)


def timing(lowering: str, speedup: float, shuffles: int = 0) -> Timing:
    ci95 = (speedup - 0.1, speedup + 0.1)
    return Timing(lowering, 4, 1, shuffles, 0.25, speedup, 1.0, 1 / speedup, speedup, ci95)


FAST = Budget(pairs=20, seconds=0.01, builds=2, slack=float("inf"))


def real_tuner(cache: TuneCache | None = None, budget: Budget | None = FAST) -> Tuner:
    return Tuner(lambda onnx: OrtEngine(onnx, threads=1), {"engine": "ort"}, budget, cache)


def network(graphs: Graph | tuple[Graph, ...]) -> tuple[list[Conv], Spaces]:
    torch.manual_seed(0)
    model = build("small_resnet", num_classes=5, in_channels=1, width=16)
    prune(model, graphs)
    working = export(randomised(model), GREY)
    return find(working), find_spaces(working)


def lowerings(plan: Plan) -> list[str]:
    return [layer.choice.lowering for layer in plan.layers]


def test_the_faster_lowering_is_chosen_and_the_stem_says_why_it_is_dense() -> None:
    convs, spaces = network(affine(16, 4))
    assert lowerings(make_plan(convs, spaces, ScriptedTuner({"grouped": 2.0, "sliced": 3.0})))[1:] == ["sliced"] * 8
    plan = make_plan(convs, spaces, ScriptedTuner({"grouped": 3.0, "sliced": 2.0}))
    assert lowerings(plan) == ["dense"] + ["grouped"] * 8
    assert plan.layers[0].why == "dense: no zeros to leave out"
    assert plan.layers[1].why == "grouped measured 3.00x dense [2.90, 3.10]"
    assert not plan.lowers_nothing


def test_nothing_is_lowered_that_is_not_faster_beyond_the_noise() -> None:
    convs, spaces = network(affine(16, 4))
    plan = make_plan(convs, spaces, ScriptedTuner({"grouped": 1.05, "sliced": 0.5}))
    assert plan.lowers_nothing
    assert "grouped measured 1.05x" in plan.layers[1].why
    assert plan.layers[1].macs_share == 1


def test_a_lowering_whose_shuffles_eat_its_gain_falls_back_to_dense() -> None:
    convs, spaces = network(parse("affine:16_4?rotate=1"))
    kept = make_plan(convs, spaces, ScriptedTuner({"grouped": 3.0, "sliced": 0.5}, shuffled=1.5))
    assert lowerings(kept) == ["dense"] + ["grouped"] * 8
    assert sum(layer.shuffles for layer in kept.layers) == 10
    spared = make_plan(convs, spaces, ScriptedTuner({"grouped": 3.0, "sliced": 0.5}, shuffled=0.8))
    assert sum(layer.shuffles for layer in spared.layers) == 0
    assert "grouped" in lowerings(spared)  # those that never needed one
    fallen = next(layer for layer in spared.layers[1:] if layer.choice.lowering == "dense")
    assert "shuffle" in fallen.why


def test_the_whole_network_can_fall_back_and_keeps_what_was_measured() -> None:
    convs, spaces = network(affine(16, 4))
    plan = make_plan(convs, spaces, ScriptedTuner({"grouped": 3.0, "sliced": 2.0}))
    dense = all_dense(plan, "dense: because")
    assert dense.lowers_nothing
    for before, after in zip(plan.layers, dense.layers, strict=True):
        assert after.why == (before.why if before.choice.lowering == "dense" else "dense: because")
    assert "dense: because" in {layer.why for layer in dense.layers}
    assert [layer.timings for layer in dense.layers] == [layer.timings for layer in plan.layers]


def test_a_random_graph_says_that_no_blocks_were_found() -> None:
    convs, spaces = network(parse("random:16_7"))
    plan = make_plan(convs, spaces, ScriptedTuner({}))
    assert plan.lowers_nothing
    assert any("not grouped: no cover by parallel classes" in refusal for refusal in plan.layers[1].refusals)
    assert "sliced measured 0.10x dense" in plan.layers[1].why


def test_the_real_tuner_measures_equal_shapes_once() -> None:
    convs, spaces = network(affine(16, 4))
    started: list[int] = []

    def start(onnx: bytes) -> OrtEngine:
        started.append(len(onnx))
        return OrtEngine(onnx, threads=1)

    plan = make_plan(convs, spaces, Tuner(start, {}, FAST))
    kinds = [(layer.timings, layer.conv.channels, layer.conv.kernel, layer.conv.out_elements) for layer in plan.layers]
    questions = {(timing, *kind) for timings, *kind in kinds for timing in timings}
    asked = 2 * FAST.builds * len(questions)  # dense and lowered, for 8 masked convolutions of 6 shapes
    assert asked <= len(started) <= ATTEMPTS * asked
    for layer in plan.layers[1:]:
        assert {timing.lowering for timing in layer.timings} >= {"grouped", "sliced"}
        assert all(timing.ms and np.isfinite(timing.ms) for timing in layer.timings)


def test_what_was_measured_is_kept_for_the_next_compilation(tmp_path: Path) -> None:
    convs, spaces = network(affine(16, 4))
    first = make_plan(convs, spaces, real_tuner(TuneCache(tmp_path)))
    again = Tuner(lambda onnx: pytest.fail("measured again"), {"engine": "ort"}, FAST, TuneCache(tmp_path))
    assert [layer.to_dict() for layer in make_plan(convs, spaces, again).layers] == [
        layer.to_dict() for layer in first.layers
    ]
    for file in tmp_path.iterdir():
        file.write_text("{")  # a broken cache is measured again, and mended
    make_plan(convs, spaces, real_tuner(TuneCache(tmp_path)))
    make_plan(convs, spaces, again)


def test_another_engine_is_measured_anew(tmp_path: Path) -> None:
    convs, spaces = network(affine(16, 4))
    make_plan(convs, spaces, real_tuner(TuneCache(tmp_path)))
    kept = len(list(tmp_path.iterdir()))
    other = Tuner(lambda onnx: OrtEngine(onnx, threads=1), {"engine": "another"}, FAST, TuneCache(tmp_path))
    make_plan(convs, spaces, other)
    assert len(list(tmp_path.iterdir())) == 2 * kept


def test_without_a_budget_estimates_decide_and_say_that_they_are_estimates() -> None:
    convs, spaces = network(affine(16, 4))
    tuner = Tuner(lambda onnx: pytest.fail("measured"), {}, None)
    plan = make_plan(convs, spaces, tuner)
    assert "is estimated" in plan.layers[1].why
    assert plan.layers[1].to_dict()["chosen_ms"] is None


def test_a_small_budget_leaves_out_what_cannot_win() -> None:
    convs, spaces = network(affine(16, 4))
    narrow = Budget(pairs=20, seconds=0.01, builds=2, slack=1.0)
    plan = make_plan(convs, spaces, real_tuner(budget=narrow))
    assert all(len(layer.timings) == 1 for layer in plan.layers[1:])


class TwoReaders(nn.Module):
    """D writes a tensor that E and G read; D and G agree on its parts, E does not."""

    def __init__(self) -> None:
        super().__init__()
        halves, evens = [range(4), range(4, 8)], [range(0, 8, 2), range(1, 8, 2)]
        self.D = blocked(halves, evens)
        self.E = blocked(halves, evens)
        self.G = blocked(halves, halves)
        self.fc = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.D(torch.cat([x] * 8, 1)).relu()
        pooled = [nn.functional.adaptive_avg_pool2d(read(h), 1).flatten(1) for read in (self.E, self.G)]
        logits: Tensor = self.fc(torch.cat(pooled, 1))
        return logits


def blocked(outs: list[range], ins: list[range]) -> nn.Conv2d:
    conv = nn.Conv2d(8, 8, 3, padding=1)
    mask = torch.zeros(8, 8, 1, 1)
    for rows, columns in zip(outs, ins, strict=True):
        mask[rows.start : rows.stop : rows.step, columns.start : columns.stop : columns.step] = 1
    with torch.no_grad():
        conv.weight *= mask
    return conv


def test_a_layer_that_needs_a_shuffle_only_since_another_fell_back_is_measured_with_it() -> None:
    class ByName(ScriptedTuner):
        def time(self, conv: Conv, choice: Choice, wiring: Wiring | None = None) -> Timing:
            shuffled = {"D": 0.5, "E": 1.5, "G": 0.5}[conv.name]
            alone = {"grouped": 2.0, "sliced": 0.5, "matmul": 0.5, "native": 0.5}
            self.alone, self.shuffled = alone, shuffled
            return super().time(conv, choice, wiring)

    torch.manual_seed(0)
    working = export(TwoReaders().eval(), GREY)
    plan = make_plan(find(working), find_spaces(working), ByName({}))
    assert lowerings(plan) == ["dense", "grouped", "grouped"]  # D fell back, so E and G disagree alone
    assert [layer.shuffles for layer in plan.layers] == [0, 1, 0]
    assert plan.layers[1].chosen is not None
    assert plan.layers[1].chosen.speedup == 1.5


def convolution(weight: Tensor) -> tuple[list[Conv], Spaces]:
    """A network around one convolution (8 -> 8) of this weight."""
    torch.manual_seed(0)
    stem, conv = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)
    conv.weight = nn.Parameter(weight)
    model = nn.Sequential(stem, conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    working = export(model.eval(), GREY)
    return find(working), find_spaces(working)


def test_an_input_that_nobody_reads_can_be_measured() -> None:
    weight = torch.randn(8, 8, 3, 3)
    weight[:, 7] = 0
    weight[:4, 4:] = 0  # outputs 0-3 read 0-3, outputs 4-7 read 0-6
    convs, spaces = convolution(weight)
    plan = make_plan(convs, spaces, real_tuner())
    assert "sliced" in {timing.lowering for timing in plan.layers[1].timings}


def test_a_slice_and_a_gather_are_measured_apart() -> None:
    tuner = real_tuner()
    for step in (slice(0, 4), slice(0, 8, 2)):
        weight = torch.randn(8, 8, 3, 3)
        other = [channel for channel in range(8) if channel not in range(8)[step]]
        weight[:4, other] = 0
        weight[4:, step] = 0
        convs, _ = convolution(weight)
        choices = LOWERINGS["sliced"].choices(convs[1])
        assert not isinstance(choices, str)
        tuner.time(convs[1], choices[-1])
    assert len(tuner._known) == 2
