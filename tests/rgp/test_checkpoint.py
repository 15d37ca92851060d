"""Checkpoint: what is saved comes back bit for bit, and nothing else gets in."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rgp.checkpoint import FORMAT, Checkpoint
from rgp.environment import versions
from rgp.errors import CheckpointError
from rgp.families import ring
from rgp.models.registry import build, restore
from rgp.preprocess import Preprocess
from rgp.prune import prune

GREY = Preprocess(channels=1, size=8, resize=8, mean=(0.3,), std=(0.2,))


def network() -> nn.Module:
    torch.manual_seed(0)
    model = build("small_resnet", num_classes=3, width=8)
    prune(model, ring(8, 4))
    return model.eval()


def checkpoint(**changes: Any) -> Checkpoint:
    values: dict[str, Any] = {
        "architecture": "small_resnet",
        "options": {"num_classes": 3, "width": 8},
        "labels": ("zero", "one", "zwei"),
        "preprocess": GREY,
        "graph": "ring:8_4",
        "state": network().state_dict(),
        "metrics": {"top1": 0.1 + 0.2},
        "training": {
            "epoch": 3,
            "optimizer": {"state": {0: {"momentum": torch.randn(3)}}},
            "rng": torch.get_rng_state(),
        },
    }
    return Checkpoint(**values | changes)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "last.pth"
    checkpoint().save(path)
    return path


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    written = checkpoint()
    written.save(tmp_path / "runs" / "last.pth")
    read = Checkpoint.load(tmp_path / "runs" / "last.pth")
    for name in ("architecture", "options", "labels", "preprocess", "graph", "metrics", "versions"):
        assert getattr(read, name) == getattr(written, name), name
    assert read.versions == versions()
    assert list(read.state) == list(written.state)
    for key, value in written.state.items():
        assert read.state[key].dtype == value.dtype
        assert torch.equal(read.state[key], value)
    assert read.training["epoch"] == 3
    assert torch.equal(read.training["rng"], written.training["rng"])


def test_masks_are_found_by_layer(good: Path) -> None:
    masks = Checkpoint.load(good).masks
    assert "blocks.0.conv1" in masks
    assert "stem.0" not in masks
    assert all(np.array_equal(mask.numpy(), ring(8, 4).adjacency) for mask in masks.values())


def test_a_network_is_restored_whole(good: Path) -> None:
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(restore(Checkpoint.load(good))(images), network()(images))


def test_metrics_from_numpy_are_written_as_plain_numbers(tmp_path: Path) -> None:
    checkpoint(metrics={"top1": np.float64(0.5), "epoch": 3, "loss": float("nan")}).save(tmp_path / "a.pth")
    read = Checkpoint.load(tmp_path / "a.pth").metrics
    assert read["top1"] == 0.5
    assert {type(value) for value in read.values()} == {float}


def test_a_checkpoint_saved_from_a_gpu_or_not_loads_onto_the_cpu(good: Path) -> None:
    assert {value.device.type for value in Checkpoint.load(good).state.values()} == {"cpu"}


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_every_truncation_is_refused(good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    for length in [*range(0, 64), *range(64, len(content), len(content) // 200), len(content) - 1]:
        (tmp_path / "cut.pth").write_bytes(content[:length])
        assert "truncated, or not a checkpoint" in refused(tmp_path / "cut.pth")


@given(data=st.data())
def test_a_damaged_file_is_refused_or_means_the_same(
    good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(good.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    path.write_bytes(content)
    try:
        read = Checkpoint.load(path)
    except CheckpointError:
        return
    whole = Checkpoint.load(good)  # a byte of padding, or of a date: no value may have changed
    assert read.labels == whole.labels
    assert all(torch.equal(read.state[key], value) for key, value in whole.state.items())


class Sentinel:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_object_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "hostile.pth"
    torch.save({"format": FORMAT, "state": Sentinel(trace)}, path, _use_new_zipfile_serialization=zipped)
    message = refused(path)
    assert not trace.exists()
    if zipped:
        assert "holds pickled Python objects (posix.mkdir), which could run code, and is refused" in message
    torch.load(path, weights_only=False)  # the trap is a real one
    assert trace.exists()


def test_a_bare_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "hostile.pth").write_bytes(pickle.dumps(Sentinel(tmp_path / "trace")))
    refused(tmp_path / "hostile.pth")
    assert not (tmp_path / "trace").exists()


def write(path: Path, content: object) -> None:
    torch.save(content, path)


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: write(path, nn.Linear(2, 2)), r"holds pickled Python objects \(torch.nn.modules.linear.Linear\)"),
        (lambda path: write(path, {"state_dict": {}, "epoch": 3}), r"its format is None, .* holds: epoch, state_dict"),
        (lambda path: write(path, {"format": "rgp-checkpoint/9"}), "its format is 'rgp-checkpoint/9', this rgp reads"),
        (lambda path: write(path, {1: 2}), "its format is None"),
        (lambda path: write(path, [1, 2]), "holds list, not a checkpoint"),
        (lambda path: write(path, torch.zeros(3)), "holds Tensor, not a checkpoint"),
        (lambda path: path.write_text("epoch,top1\n1,0.5\n"), "no zip archive inside"),
        (lambda path: path.write_bytes(b""), "no zip archive inside"),
        (lambda path: path.write_bytes(archive({"readme.txt": b"hello"})), "truncated, or not a checkpoint"),
        (lambda path: path.write_bytes(archive({"a/data.pkl": b"\x80\x02"})), "truncated, or not a checkpoint"),
        (lambda path: path.write_bytes(archive({})), "truncated, or not a checkpoint"),
        (lambda path: path.mkdir(), "Is a directory: give a checkpoint that rgp-train wrote"),
        (lambda path: None, "No such file or directory: give a checkpoint that rgp-train wrote"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "foreign.pth"
    make(path)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.load(path)
    refused(path)


def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    bomb = archive({"a/data.pkl": b"", "a/data/0": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    (tmp_path / "bomb.pth").write_bytes(bomb)
    assert "unpacks to 67108864 bytes: refused as a decompression bomb" in refused(tmp_path / "bomb.pth")


def test_the_published_format_is_told_apart(shared_data: Path) -> None:
    sample = shared_data / "official" / "a_resnet56_16_8" / "model_best.pth"
    assert "a_resnet56_16_8" in refused(sample)


def rewritten(good: Path, path: Path, **changes: object) -> Path:
    values = torch.load(good, weights_only=True) | changes
    torch.save({name: value for name, value in values.items() if value is not ...}, path)
    return path


FIELDS = ("architecture", "options", "labels", "preprocess", "graph", "state", "metrics", "training", "versions")


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_field_is_named(good: Path, tmp_path: Path, name: str) -> None:
    assert f"it has no '{name}'" in refused(rewritten(good, tmp_path / "a.pth", **{name: ...}))


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [None, 7, 0.5, ("a",), torch.zeros(2), b"x"])
def test_a_field_of_the_wrong_type_is_named(good: Path, tmp_path: Path, name: str, value: object) -> None:
    message = refused(rewritten(good, tmp_path / "a.pth", **{name: value}))
    assert f"'{name}' is {type(value).__name__}, not " in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"num_classes": "3"}}, "'options': 'num_classes' is str, not int"),
        ({"options": {3: 3}}, "'options' has the key 3, not a name"),
        ({"labels": ["a", 1]}, "'labels': 1 is int, not str"),
        ({"state": {"weight": [1.0]}}, "'state': 'weight' is list, not Tensor"),
        ({"state": {0: torch.zeros(1)}}, "'state' has the key 0, not a name"),
        ({"metrics": {"top1": "good"}}, "'metrics': 'top1' is str, not float"),
        ({"versions": {"torch": 2}}, "'versions': 'torch' is int, not str"),
        ({"preprocess": {}}, "preprocess: KeyError"),
        ({"preprocess": GREY.to_dict() | {"channels": 2}}, "preprocess: channels is 2"),
        ({"preprocess": GREY.to_dict() | {"size": float("inf")}}, "written by another program, or damaged"),
        ({"preprocess": GREY.to_dict() | {"size": float("nan")}}, "written by another program, or damaged"),
        ({"preprocess": GREY.to_dict() | {"size": torch.ones(2)}}, "written by another program, or damaged"),
        ({"preprocess": GREY.to_dict() | {"mean": 3}}, "written by another program, or damaged"),
    ],
)
def test_a_wrong_value_inside_a_field_is_named(
    good: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    assert message in refused(rewritten(good, tmp_path / "a.pth", **changes))


@pytest.mark.parametrize(
    "mask",
    [
        torch.ones(8, 8),
        torch.ones(8, 4, dtype=torch.bool),
        torch.ones(8, dtype=torch.bool),
        torch.ones(2, 2, 2, dtype=torch.bool),
        torch.tensor(True),
        torch.ones(0, 0, dtype=torch.bool),
        torch.ones(0, 3, dtype=torch.bool),
    ],
)
def test_a_mask_that_is_no_square_of_bools_is_refused(good: Path, tmp_path: Path, mask: torch.Tensor) -> None:
    state = Checkpoint.load(good).state | {"blocks.0.conv1.adjacency": mask}
    message = refused(rewritten(good, tmp_path / "a.pth", state=state))
    assert f"the mask of blocks.0.conv1 is {mask.dtype} {tuple(mask.shape)}, not (N, N) bool" in message


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    checkpoint(graph="dense").save(path)
    with pytest.raises(Exception, match="pickle"):
        checkpoint(training={"epoch": 4, "loop": lambda: None}).save(path)
    assert Checkpoint.load(path).graph == "dense"
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pth"]


def test_a_full_disk_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    program = """
import resource, signal, sys
from pathlib import Path
import torch
from rgp.checkpoint import Checkpoint
from rgp.preprocess import Preprocess
def save(size):
    state = {"w": torch.zeros(size)}
    Checkpoint("a", {}, ("b",), Preprocess(1, 1, 1, (0.0,), (1.0,)), "dense", state).save(Path(sys.argv[1]))
save(10)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    save(100_000)
except OSError as error:
    print(error.filename, error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{path} File too large"
    assert len(Checkpoint.load(path).state["w"]) == 10
    assert list(tmp_path.iterdir()) == [path]
