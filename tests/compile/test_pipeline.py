"""From a checkpoint to a bundle, or to nothing at all."""

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from rgp.bundle import Bundle
from rgp.compile import pipeline
from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.lowerings import grouped
from rgp.compile.pipeline import Settings, compile_source
from rgp.compile.source import from_checkpoint
from rgp.compile.structure import Part
from rgp.compile.tune import Timing, Tuner
from rgp.engines import native
from rgp.engines.ort import OrtEngine
from rgp.engines.target import Target
from rgp.errors import CheckpointError, CompileError, DataError, UsageError, VerificationError
from rgp.measure import Comparison

Write = Callable[..., Path]
settings = partial(Settings, threads=1, batches=(1, 2), pairs=20, seconds=0.1)


def compiled(checkpoint: Path, out: Path, **options: object) -> Bundle:
    return compile_source(from_checkpoint(checkpoint), out, settings(**options))  # type: ignore[arg-type]


def always(speedup: float, lowering: str = "grouped") -> Callable[..., Timing]:
    def time(self: Tuner, conv: Conv, choice: Choice, wiring: object = None) -> Timing:
        fast = speedup if choice.lowering == lowering else 0.5
        return Timing(choice.lowering, 4, 1, 0, 0.25, fast, 1.0, 1 / fast, fast, (fast, fast))

    return time


def measured(ratio: float) -> Callable[..., Comparison]:
    def compare(dense: object, compiled: object, images: np.ndarray, **_: object) -> Comparison:
        return Comparison(len(images), np.full(20, ratio), np.ones(20), np.arange(20) % 4)

    return compare


def test_a_checkpoint_becomes_a_bundle_whose_engines_agree(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "time", always(2.0))
    monkeypatch.setattr(pipeline, "compare", measured(2.0))
    bundle = compiled(write_checkpoint(), tmp_path / "bundle")
    assert sorted(path.name for path in bundle.path.iterdir()) == sorted(
        [*("manifest.json", "dense.onnx", "compiled.onnx", "plan.json", "report.json", "report.html")]
    )
    assert bundle.files["compiled.onnx"] != bundle.files["dense.onnx"]
    images = np.random.default_rng(1).integers(0, 256, (5, 12, 12, 1), np.uint8)
    dense, lowered = (OrtEngine(bundle.files[f"{name}.onnx"], threads=1).run(images) for name in ("dense", "compiled"))
    assert np.abs(dense - lowered).max() <= 1e-4 * np.abs(dense).max()


def test_the_report_has_what_it_promises(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "time", always(2.0))
    monkeypatch.setattr(pipeline, "compare", measured(2.0))
    report = compiled(write_checkpoint(), tmp_path / "bundle").report
    assert {"cpu", "threads", "versions", "time"} <= report["environment"].keys()
    cost = report["cost"]
    assert cost["macs"] / cost["dense_macs"] == pytest.approx(0.26, abs=0.01)
    assert cost["compiled_macs"] == cost["macs"]  # every masked convolution was lowered to exactly its blocks
    assert cost["parameters"] < cost["dense_parameters"]
    equivalence = report["equivalence"]
    assert equivalence["max_abs_diff"] <= 1e-4 * equivalence["max_abs_logit"]
    assert equivalence["top1_agreement"] == 1
    assert equivalence["batches"] == [1, 2, 7]
    assert [row["batch"] for row in report["latency"]] == [1, 2]
    assert report["latency"][0].keys() == {
        *("batch", "dense_ms_p50", "compiled_ms_p50", "dense_ms_p90", "compiled_ms_p90"),
        *("speedup", "speedup_ci95", "pairs", "builds"),
    }
    layers = {layer["name"]: layer for layer in report["layers"]}
    assert layers["stem.0"]["lowering"] == "dense"
    lowered = layers["blocks.1.conv2"]
    assert (lowered["in_channels"], lowered["out_channels"], lowered["kernel"]) == (32, 32, [3, 3])
    assert (lowered["lowering"], lowered["density"], lowered["nodes"]) == ("grouped", 0.25, 4)
    assert lowered["why"]
    assert report["verdict"].startswith("2.00x faster than dense at batch 1")


def test_the_page_stands_alone(write_checkpoint: Write, tmp_path: Path) -> None:
    bundle = compiled(write_checkpoint(), tmp_path / "bundle")
    page = bundle.files["report.html"].decode()
    assert bundle.report["verdict"] in page
    loaded = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?((?!#|data:)[^"')>\s]+)""", page)
    assert loaded == []
    assert page.count("<svg") == 3
    assert all(layer["name"] in page for layer in bundle.report["layers"])


def test_a_network_slower_than_dense_ships_dense_and_says_so(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "time", always(2.0))  # each layer alone seems faster
    monkeypatch.setattr(pipeline, "compare", measured(0.9))  # the network is not
    bundle = compiled(write_checkpoint(), tmp_path / "bundle")
    assert bundle.files["compiled.onnx"] == bundle.files["dense.onnx"]
    assert bundle.report["verdict"] == "Runs dense: nothing measured faster"
    assert {layer["lowering"] for layer in bundle.report["layers"]} == {"dense"}
    assert "0.90x" in bundle.report["layers"][1]["why"]
    assert bundle.report["cost"]["compiled_macs"] == bundle.report["cost"]["dense_macs"]


def test_a_gain_within_the_noise_is_called_no_certain_difference(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(dense: object, lowered: object, images: np.ndarray, **_: object) -> Comparison:
        dense_ms = np.repeat([0.8, 1.1, 1.1, 1.2], 5)
        return Comparison(len(images), dense_ms, np.ones(20), np.repeat(np.arange(4), 5))

    monkeypatch.setattr(Tuner, "time", always(2.0))
    monkeypatch.setattr(pipeline, "compare", compare)
    bundle = compiled(write_checkpoint(), tmp_path / "bundle")
    assert bundle.report["verdict"].startswith("No certain difference from dense: 1.10x at batch 1")


def test_a_network_slower_at_one_of_its_batches_ships_dense(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(dense: object, lowered: object, images: np.ndarray, **_: object) -> Comparison:
        return measured(1.5 if len(images) == 1 else 0.8)(dense, lowered, images)

    monkeypatch.setattr(Tuner, "time", always(2.0))
    monkeypatch.setattr(pipeline, "compare", compare)
    bundle = compiled(write_checkpoint(), tmp_path / "bundle")
    assert bundle.files["compiled.onnx"] == bundle.files["dense.onnx"]
    assert "0.80x dense [0.80, 0.80] at batch 2" in bundle.report["layers"][1]["why"]


def test_a_dense_network_compiles_to_itself(write_checkpoint: Write, tmp_path: Path) -> None:
    bundle = compiled(write_checkpoint("dense"), tmp_path / "bundle")
    assert bundle.files["compiled.onnx"] == bundle.files["dense.onnx"]
    assert bundle.report["verdict"] == "Runs dense: its weights have no structure to use"


def test_a_wrong_lowering_is_caught_and_leaves_nothing(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct = grouped.emit

    def broken(
        conv: Conv, parts: tuple[Part, ...], x: ir.Value, in_order: Sequence[int], out_order: Sequence[int]
    ) -> list[ir.Node]:
        return correct(conv, parts, x, in_order, [*out_order[1:], out_order[0]])

    monkeypatch.setattr(Tuner, "time", always(2.0))
    monkeypatch.setattr(grouped, "emit", broken)
    with pytest.raises(
        VerificationError, match=r"no bundle was written; 'blocks\.0\.conv1' is the first layer that differs"
    ):
        compiled(write_checkpoint(), tmp_path / "out" / "bundle")
    assert not (tmp_path / "out").exists()


def test_real_images_take_part_in_the_proof(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = tmp_path / "images" / "deeper"
    folder.mkdir(parents=True)
    for grey in (0, 100, 255):
        Image.new("RGB", (30, 20), (grey, grey, 7)).save(folder / f"{grey}.png")
    (folder / "notes.txt").write_text("no image")
    bundle = compiled(write_checkpoint(), tmp_path / "bundle", images=tmp_path / "images")
    assert bundle.report["equivalence"]["real_images"] == 3


def test_a_folder_without_images_is_refused(write_checkpoint: Write, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no JPEG, PNG or WebP"):
        compiled(write_checkpoint(), tmp_path / "bundle", images=tmp_path / "empty")
    assert not (tmp_path / "bundle").exists()


def test_an_output_folder_in_use_is_refused_and_left_alone(write_checkpoint: Write, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not an empty folder"):
        compiled(write_checkpoint(), tmp_path / "bundle")
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["mine.txt"]


def test_a_broken_checkpoint_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(CheckpointError, match="truncated"):
        compiled(path, tmp_path / "bundle")
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.pth"]


def test_a_bundle_opens_again_elsewhere(write_checkpoint: Write, tmp_path: Path) -> None:
    bundle = compiled(write_checkpoint(), tmp_path / "bundle")
    moved = bundle.path.rename(tmp_path / "moved")
    again = Bundle.open(moved)
    assert again.sha256 == bundle.sha256
    assert json.loads(again.files["report.json"]) == bundle.report


def test_a_plan_is_followed_without_measuring_a_layer(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "time", always(2.0))
    monkeypatch.setattr(pipeline, "compare", measured(2.0))
    checkpoint = write_checkpoint()
    first = compiled(checkpoint, tmp_path / "first")
    monkeypatch.setattr(Tuner, "time", lambda *_: pytest.fail("measured"))
    again = compiled(checkpoint, tmp_path / "again", plan=first.path / "plan.json")
    assert again.files["compiled.onnx"] == first.files["compiled.onnx"]
    assert "plan.json says" in again.report["layers"][1]["why"]


@pytest.mark.skipif(native.missing() is not None, reason=f"no kernels: {native.missing()}")
def test_a_random_graph_runs_in_our_kernel_and_its_plan_where_that_is(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "time", always(2.0, "native"))
    monkeypatch.setattr(pipeline, "compare", measured(2.0))
    checkpoint = write_checkpoint("random:8_3")
    bundle = compiled(checkpoint, tmp_path / "bundle")
    assert [layer["lowering"] for layer in bundle.report["layers"]] == ["dense", *["native"] * 8]
    assert bundle.report["environment"]["kernels"] == native.describe()
    engine = OrtEngine(bundle.files["compiled.onnx"], threads=2)
    assert engine.describe()["kernels"] == native.describe()
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 1), np.uint8)
    dense = OrtEngine(bundle.files["dense.onnx"], threads=1).run(images)
    np.testing.assert_allclose(engine.run(images), dense, atol=1e-4 * np.abs(dense).max(), rtol=0)

    plan = bundle.path / "plan.json"
    assert compiled(checkpoint, tmp_path / "b2", plan=plan).files["compiled.onnx"] == bundle.files["compiled.onnx"]
    without = compiled(checkpoint, tmp_path / "b3", without=["native"])
    assert "not native: excluded by --without native" in without.report["layers"][1]["refusals"]
    monkeypatch.setattr(native, "missing", lambda precision: "no compiler")
    with pytest.raises(CompileError, match=r"cannot run as native.* here: no compiler: compile without --plan"):
        compiled(checkpoint, tmp_path / "b4", plan=plan)
    assert not (tmp_path / "b4").exists()
    with pytest.raises(UsageError, match="unknown lowering for --without"):
        settings(without=["nativ"])


def test_another_dense_network_can_be_the_baseline(write_checkpoint: Write, tmp_path: Path) -> None:
    masked = write_checkpoint().rename(tmp_path / "masked.pth")
    dense = write_checkpoint("dense")
    bundle = compile_source(
        from_checkpoint(masked), tmp_path / "b", settings(tune="off"), baseline=from_checkpoint(dense)
    )
    alone = compiled(dense, tmp_path / "alone")
    assert bundle.files["dense.onnx"] == alone.files["dense.onnx"]
    assert bundle.files["dense.onnx"] != compiled(masked, tmp_path / "m").files["dense.onnx"]
    other = from_checkpoint(dense, tuple("abcdefghij"))
    with pytest.raises(UsageError, match="other labels"):
        compile_source(from_checkpoint(masked), tmp_path / "c", settings(), baseline=other)


def test_labels_must_be_as_many_as_the_classes(write_checkpoint: Write) -> None:
    with pytest.raises(UsageError, match="10 classes, but there are 3 labels"):
        from_checkpoint(write_checkpoint(), ("a", "b", "c"))


def noise_images(folder: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8)).save(folder / f"{number:03}.png")
    return folder


def test_int8_is_calibrated_on_one_half_of_the_images_and_judged_on_the_other(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "time", always(2.0))
    monkeypatch.setattr(pipeline, "compare", measured(2.0))
    images = noise_images(tmp_path / "images", 40)
    int8 = Target(precision="int8")
    bundle = compiled(write_checkpoint(), tmp_path / "bundle", images=images, target=int8, min_agreement=0.3)
    equivalence = bundle.report["equivalence"]
    assert (equivalence["precision"], equivalence["judged"], equivalence["real_images"]) == ("int8", 20, 20)
    assert len(bundle.files["compiled.onnx"]) < len(bundle.files["dense.onnx"])
    assert bundle.target == int8
    few = noise_images(tmp_path / "few", 15)
    with pytest.raises(UsageError, match="15 images: int8 needs at least 16"):
        compiled(write_checkpoint(), tmp_path / "none", images=few, target=int8)
    with pytest.raises(UsageError, match="--images"):
        compiled(write_checkpoint(), tmp_path / "none", target=int8)


@pytest.mark.skipif(native.missing("bf16") is not None, reason=f"{native.missing('bf16')}")
def test_bf16_on_a_cpu_is_our_kernels_beside_dense_float32(
    write_checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "time", always(2.0, "native"))
    monkeypatch.setattr(pipeline, "compare", measured(2.0))
    checkpoint = write_checkpoint("random:8_3")
    bundle = compiled(checkpoint, tmp_path / "bundle", target=Target(precision="bf16"))
    assert bundle.report["environment"]["kernels"] == native.describe(bundle.files["compiled.onnx"]) == "avx512_bf16"
    assert bundle.report["verdict"].startswith("2.00x faster than dense float32 at batch 1")
    assert bundle.report["equivalence"]["precision"] == "bf16"
    assert bundle.files["dense.onnx"] == compiled(checkpoint, tmp_path / "fp32").files["dense.onnx"]


@pytest.mark.skipif(native.missing("bf16") is not None, reason=f"{native.missing('bf16')}")
def test_bf16_layers_are_measured_between_casts(write_checkpoint: Write, tmp_path: Path) -> None:
    bundle = compiled(
        write_checkpoint("random:8_3"), tmp_path / "bundle", target=Target(precision="bf16"), tune="quick"
    )
    timed = [timing for layer in bundle.report["layers"] for timing in layer["candidates"]]
    assert timed
    assert all(timing["ms"] > 0 for timing in timed)
