"""What makes an engine another one, and what makes it stale."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from rgp.engines.tensorrt.cuda import Gpu
from rgp.engines.tensorrt.key import Key
from rgp.engines.tensorrt.library import Library, Log
from rgp.engines.tensorrt.settings import Settings
from rgp.errors import UsageError

GPU = Gpu("Paper 3000", "8.6", "13.2")


def library(kind: str, version: str = "11.2") -> Library:
    module = type("module", (), {"__version__": version})
    return Library(kind, module, None, Log())


KEY = Key.of(b"network", library("trt"), Settings("fp16", (1, 8)), GPU)


def test_a_key_says_all_that_an_engine_depends_on() -> None:
    assert KEY.to_dict() == {
        "library": "tensorrt 11.2",
        "driver": "CUDA 13.2",
        "hardware": "Paper 3000 (8.6)",
        "precision": "fp16",
        "batches": [1, 8],
        "workspace": None,
        "onnx": hashlib.sha256(b"network").hexdigest(),
    }


@pytest.mark.parametrize(
    "other",
    [
        Key.of(b"another", library("trt"), Settings("fp16", (1, 8)), GPU),
        Key.of(b"network", library("trt-rtx"), Settings("fp16", (1, 8)), GPU),
        Key.of(b"network", library("trt"), Settings("fp32", (1, 8)), GPU),
        Key.of(b"network", library("trt"), Settings("fp16", (1, 9)), GPU),
        Key.of(b"network", library("trt"), Settings("fp16", (1, 8), workspace=1), GPU),
        Key.of(b"network", library("trt"), Settings("fp16", (1, 8)), replace(GPU, name="Paper 4000")),
    ],
)
def test_another_engine_has_another_name(other: Key) -> None:
    assert other.name != KEY.name


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (Key.of(b"network", library("trt", "11.3"), Settings("fp16", (8, 1)), GPU), "library was tensorrt 11.3, is"),
        (Key.of(b"network", library("trt"), Settings("fp16", (1, 8)), replace(GPU, driver="12.9")), "CUDA 12.9, is"),
    ],
)
def test_another_version_has_the_same_name_and_is_stale(other: Key, reason: str) -> None:
    assert other.name == KEY.name
    assert reason in KEY.stale(other.to_dict())
    assert KEY.stale(KEY.to_dict()) == ""


def test_an_engine_that_is_built_for_targets_does_not_depend_on_the_gpu_or_the_driver() -> None:
    rtx, settings = library("trt-rtx"), Settings(targets=("12.0", "8.6"))
    assert Key.of(b"network", rtx, settings, GPU) == Key.of(b"network", rtx, settings, None)
    assert Key.of(b"network", rtx, settings, None).hardware == "8.6, 12.0"
    unnamed = Key.of(b"network", rtx, Settings(), None)
    assert unnamed.hardware == "8.0 and newer"
    assert Key.of(b"network", rtx, Settings(), GPU).hardware == "Paper 3000 (8.6)"
    assert Key.of(b"network", rtx, Settings(), GPU).driver == unnamed.driver == "any"


def test_timings_are_shared_by_all_networks_of_a_gpu_and_a_version() -> None:
    other = Key.of(b"another", library("trt"), Settings("fp32", (4,)), GPU)
    assert other.of_timings() == KEY.of_timings()
    assert KEY.of_timings().name != KEY.name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "fp17"}, "unknown precision 'fp17': did you mean 'fp16'"),
        ({"batches": ()}, "give one or more"),
        ({"batches": (8, 0)}, "each at least 1"),
        ({"workspace": 0}, "workspace is 0 bytes"),
        ({"targets": ("sm_86",)}, "'sm_86' is no compute capability: give one like 8.6"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Settings(**settings)  # type: ignore[arg-type]


def test_each_batch_has_a_profile_from_the_size_after_the_one_before() -> None:
    assert Settings(batches=(32, 1, 8, 8)).profiles == [(1, 1), (2, 8), (9, 32)]
    assert Settings(batches=(8,)).profiles == [(1, 8)]
