"""Dust between blocks hides them; a threshold wipes it, and the proof watches over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rgp.checkpoint import Checkpoint
from rgp.compile.convs import find
from rgp.compile.pipeline import Settings, compile_source
from rgp.compile.source import from_checkpoint
from rgp.compile.threshold import drop_small
from rgp.errors import UsageError, VerificationError
from rgp.models.registry import build
from tests.compile.conftest import GREY

Write = Callable[..., Path]


@pytest.fixture
def dusty(write_checkpoint: Write, tmp_path: Path) -> Callable[[float], Path]:
    """The small network of ``write_checkpoint``, unmasked, with weights of some size where its zeros were."""

    def write(size: float) -> Path:
        masked = Checkpoint.load(write_checkpoint())
        torch.manual_seed(1)
        model = build("small_resnet", num_classes=10, in_channels=1, width=16)
        state = {key: value for key, value in masked.state.items() if not key.endswith(".adjacency")}
        for key, value in state.items():
            if value.ndim == 4:
                state[key] = torch.where(value == 0, size * torch.randn_like(value), value)
        model.load_state_dict(state)
        options = {"num_classes": 10, "in_channels": 1, "width": 16}
        labels = tuple(map(str, range(10)))
        Checkpoint("small_resnet", options, labels, GREY, "dense", model.state_dict()).save(tmp_path / "dusty.pth")
        return tmp_path / "dusty.pth"

    return write


SETTINGS = {"threads": 1, "batches": (1,), "pairs": 20, "seconds": 0.1, "tune": "off"}


def test_a_threshold_finds_the_blocks_under_the_dust(dusty: Callable[[float], Path], tmp_path: Path) -> None:
    source = from_checkpoint(dusty(1e-9))
    assert all(conv.structure.density == 1 for conv in find(source.model))
    report = compile_source(source, tmp_path / "b", Settings(threshold=1e-7, **SETTINGS)).report  # type: ignore[arg-type]
    assert {layer["density"] for layer in report["layers"][1:]} == {0.25}


def test_a_threshold_that_changes_the_function_leaves_no_bundle(dusty: Callable[[float], Path], tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="no bundle was written"):
        compile_source(from_checkpoint(dusty(0.05)), tmp_path / "b", Settings(threshold=0.2, **SETTINGS))  # type: ignore[arg-type]
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("threshold", [-1.0, float("nan"), float("inf")])
def test_what_is_no_magnitude_is_refused(dusty: Callable[[float], Path], threshold: float) -> None:
    with pytest.raises(UsageError, match="give a magnitude"):
        drop_small(from_checkpoint(dusty(1e-9)).model, threshold)
