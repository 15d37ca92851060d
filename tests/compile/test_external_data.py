"""Weights beside the model are read from its own folder, with exact lengths, or refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from rgp.compile.onnx_file import read_onnx
from rgp.errors import CompileError
from tests.compile.handmade import assert_same, images, run, save, small_net


def external(folder: Path) -> Path:
    model = small_net()
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    model = read_onnx(external(tmp_path))
    (tmp_path / "weights.bin").unlink()
    x = images((2, 3, 8, 8))
    assert_same(run(small_net(), x), run(model, x))


def rewrite_location(path: Path, key: str, value: str) -> None:
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    save(model, path)


def missing(path: Path) -> None:
    (path.parent / "weights.bin").unlink()


def short(path: Path) -> None:
    os.truncate(path.parent / "weights.bin", 100)


def linked(path: Path) -> None:
    (path.parent / "weights.bin").rename(path.parent.parent / "elsewhere.bin")
    (path.parent / "weights.bin").symlink_to(path.parent.parent / "elsewhere.bin")


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (missing, "'stem.weight' has its data in 'weights.bin', which is missing: copy it as well"),
        (short, "'stem.weight' needs 864 bytes, 'weights.bin' gives 864 at 0 of 100"),
        (linked, "outside the model's folder: refused"),
        (lambda path: rewrite_location(path, "location", "../elsewhere.bin"), "outside the model's folder"),
        (lambda path: rewrite_location(path, "location", "/etc/hostname"), "outside the model's folder"),
        (lambda path: rewrite_location(path, "location", ""), "outside the model's folder"),
        (lambda path: rewrite_location(path, "length", "860"), "needs 864 bytes, 'weights.bin' gives 860"),
        (lambda path: rewrite_location(path, "offset", "-4"), "gives 864 at -4"),
        (lambda path: rewrite_location(path, "offset", "999999"), "gives 864 at 999999"),
        (lambda path: rewrite_location(path, "offset", "x"), "no number for its offset"),
    ],
)
def test_external_data_that_is_absent_short_or_elsewhere_is_refused(
    tmp_path: Path, harm: Callable[[Path], None], why: str
) -> None:
    (folder := tmp_path / "model").mkdir()
    harm(path := external(folder))
    with pytest.raises(CompileError, match=why):
        read_onnx(path)


def test_external_data_beyond_two_gibibytes_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rgp.compile.external_data.MAX_BYTES", 2000)
    with pytest.raises(CompileError, match=r"'var' and those before it have .* bytes: 2 GiB is the most"):
        read_onnx(external(tmp_path))
