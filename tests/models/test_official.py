"""Files of the published code: the samples, and those that must be refused."""

import json
import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rgp.checkpoint import Checkpoint
from rgp.errors import CheckpointError
from rgp.models import official
from rgp.models.registry import restore
from tests.models.published_forward import NETWORKS, Plain, save

SAMPLES = ["a_resnet56_16_8", "e2_resnet56_12_4_nondiv", "f1_resnet56_16_4_softscores"]


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> Path:
    folder = Path(__file__).parents[3] / "shared" / "data" / "official" / str(request.param)
    if not folder.is_dir():
        pytest.skip("the published checkpoints (../shared/data/official) are not on this machine")
    return folder


@torch.no_grad()
def test_a_sample_computes_the_expected_logits(sample: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = official.load(sample / "model_best.pth")
    expected = np.load(sample / "expected.npz")
    images = torch.from_numpy(expected["x"])
    assert np.abs(restore(checkpoint)(images).numpy() - expected["logits"]).max() < 5e-5
    exact = restore(checkpoint, torch.float64)(images.double())
    assert np.abs(exact.numpy() - expected["logits64"]).max() < 1e-10

    info = json.loads((sample / "info.json").read_text())
    assert checkpoint.architecture == "cifar_resnet56"
    assert checkpoint.labels == tuple(f"class {number}" for number in range(10))
    assert checkpoint.metrics == {"top1": info["ckpt_scalars"]["curr_acc1"], "top5": info["ckpt_scalars"]["curr_acc5"]}
    soft = not info["freeze_subnet"]
    assert ("without --freeze-subnet" in caplog.text) == soft
    assert len(checkpoint.masks) == (0 if soft else info["num_masked_convs"])
    matrix = np.load(sample / "matrix.npy") == 1
    assert all(np.array_equal(mask.numpy(), matrix) for mask in checkpoint.masks.values())
    assert checkpoint.graph == ("dense" if soft else f"matrix:{info['nodes_N']}_{info['degree_d']}")
    kept = {name: int((value != 0).sum()) for name, value in checkpoint.state.items() if value.ndim == 4}
    assert kept == {
        f"{layer['name']}.weight": layer["nnz"] for layer in info["layers"] if len(layer["weight_shape"]) == 4
    }


def test_an_imported_checkpoint_is_saved_as_ours(sample: Path, tmp_path: Path) -> None:
    imported = official.load(sample / "model_best.pth")
    imported.save(tmp_path / "ours.pth")
    for read in (Checkpoint.load(tmp_path / "ours.pth"), official.load(tmp_path / "ours.pth")):
        assert (read.architecture, read.options, read.graph) == (
            imported.architecture,
            imported.options,
            imported.graph,
        )
        assert all(torch.equal(read.state[key], value) for key, value in imported.state.items())


RING = np.roll(np.eye(16, dtype=np.int64), 1, 0) + np.roll(np.eye(16, dtype=np.int64), -1, 0)


@pytest.fixture(scope="module")
def good() -> dict[str, Tensor]:
    plain = Plain(RING, affine=True, graph_head=False, soft=False, classes=10)
    NETWORKS["resnet56"](plain, torch.zeros(1, 3, 8, 8).double())
    return plain.state


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        official.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def without(key: str) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        del state[key]

    return change


def changed(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.update({key: value})


def broken_mask(state: dict[str, Tensor]) -> None:
    state["layer3.4.conv1.scores"] = state["layer3.4.conv1.scores"].clone()
    state["layer3.4.conv1.scores"][5, 7] = 1 - state["layer3.4.conv1.scores"][5, 7]


REPEATED = torch.zeros(1).expand(10**9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("layer2.3.conv1.weight"), "it has no 'layer2.3.conv1.weight'"),
        (without("layer1.0.bn2.running_var"), "it has no 'layer1.0.bn2.running_var'"),
        (without("layer1.0.bn2.weight"), "it has no 'layer1.0.bn2.weight'"),
        (without("fc.bias"), "it has no 'fc.bias'"),
        (without("fc.weight"), "it has no 'fc.weight'"),
        (changed("layer9.weight", torch.zeros(3)), "it has 'layer9.weight', which the network has not"),
        (changed("bn1.bias", torch.zeros(17)), "'bn1.bias' is torch.float32 (17,), not numbers (16,)"),
        (changed("bn1.bias", torch.zeros(16, dtype=torch.int64)), "'bn1.bias' is torch.int64"),
        (changed("bn1.bias", torch.zeros(16, dtype=torch.complex64)), "'bn1.bias' is torch.complex64"),
        (changed("fc.weight", torch.zeros(10, 63)), "'fc.weight' is torch.float32 (10, 63), not numbers (10, 64)"),
        (changed("fc.weight", torch.zeros(10, 64, 1, 1)), "'fc.weight' is torch.float32 (10, 64, 1, 1)"),
        (changed("fc.weight", torch.zeros(0, 64)), "it has no 'fc.weight'"),
        (changed("fc.weight", torch.zeros(10**9, 0)), "'fc.weight' is torch.float32 (1000000000, 0)"),
        (changed("fc.weight", torch.zeros(1, 1).expand(10**9, 64)), "fewer numbers are stored"),
        (changed("fc.bias", REPEATED), "'fc.bias' has shape (1000000000,), but fewer numbers are stored"),
        (changed("layer1.0.conv1.scores", REPEATED), "fewer numbers are stored"),
        (changed("layer1.0.conv1.scores", torch.ones(16, 16)), "'layer1.0.conv1.scores' is torch.float32 (16, 16)"),
        (changed("fc.scores", torch.ones(10, 64, 1, 1)), "it has 'fc.scores', but no convolution there to mask"),
        (changed("bn1.scores", torch.ones(1)), "it has 'bn1.scores', but no convolution there to mask"),
        pytest.param(
            changed("bn1.bias", torch.zeros(16).to_sparse()),
            "'bn1.bias' is not a plain tensor",
            marks=pytest.mark.filterwarnings("ignore:Validating sparse"),
        ),
        (changed("bn1.bias", torch.zeros(16, device="meta")), "'bn1.bias' is not a plain tensor"),
        (changed("bn1.bias", "zeros"), "'bn1.bias', a str, not a named tensor"),
        (broken_mask, "no number of nodes explains"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused_by_name(
    good: dict[str, Tensor], tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    state = dict(good)
    change(state)
    save(tmp_path / "c.pth", state)
    assert said in refused(tmp_path / "c.pth")


@pytest.mark.parametrize("content", [{}, [], "text", {"a": 1}, {1: torch.zeros(1)}, {"fc.weight": torch.zeros(2, 2)}])
def test_a_state_dict_of_no_published_network_is_refused(tmp_path: Path, content: object) -> None:
    torch.save({"state_dict": content}, tmp_path / "c.pth")
    assert "its state_dict " in refused(tmp_path / "c.pth")


def test_a_key_with_and_without_its_prefix_is_refused(good: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"state_dict": good | {"module.bn1.bias": torch.zeros(16)}}, tmp_path / "c.pth")
    assert "it has 'bn1.bias' twice" in refused(tmp_path / "c.pth")


def test_keys_may_lack_the_prefix_of_several_gpus(good: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"state_dict": good}, tmp_path / "c.pth")
    assert official.load(tmp_path / "c.pth").graph == "matrix:16_2"


def test_the_arch_in_the_file_is_believed_only_if_it_is_true(good: dict[str, Tensor], tmp_path: Path) -> None:
    for arch in ("resnet56", "cResNet18", "nonsense", ["resnet56"]):
        torch.save({"arch": arch, "state_dict": good}, tmp_path / "c.pth")
        assert official.load(tmp_path / "c.pth").architecture == "cifar_resnet56"


def test_a_mask_of_ones_is_no_mask(good: dict[str, Tensor], tmp_path: Path) -> None:
    state = {key: torch.ones_like(value) if key.endswith("scores") else value for key, value in good.items()}
    save(tmp_path / "c.pth", state)
    checkpoint = official.load(tmp_path / "c.pth")
    assert checkpoint.graph == "dense"
    assert not checkpoint.masks


class Sentinel:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_hostile_and_damaged_files_are_refused_in_one_line(good: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save({"state_dict": good, "optimizer": Sentinel(tmp_path / "trace")}, path)
    assert "holds pickled Python objects (posix.mkdir)" in refused(path)
    assert not (tmp_path / "trace").exists()

    save(path, good)
    content = path.read_bytes()
    for length in (0, 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert "truncated, or not a checkpoint" in refused(path)
    path.write_bytes(b"no zip archive at all" * 100)
    assert "not a checkpoint" in refused(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c/data.pkl", bytes(10**7))
    assert "decompression bomb" in refused(path)
    assert "give a checkpoint" in refused(tmp_path / "absent.pth")


def test_objects_cannot_hide_in_a_numpy_scalar(good: dict[str, Tensor], tmp_path: Path) -> None:
    array = np.empty(1, object)
    array[0] = Sentinel(tmp_path / "trace")
    torch.save({"state_dict": good, "optimizer": array}, tmp_path / "c.pth")
    assert "pickled Python objects" in refused(tmp_path / "c.pth")
    assert not (tmp_path / "trace").exists()


def test_a_checkpoint_of_ours_is_read_as_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"format": "rgp-checkpoint/0", "state_dict": {}}, tmp_path / "c.pth")
    with caplog.at_level(logging.WARNING):
        assert "its format is 'rgp-checkpoint/0'" in refused(tmp_path / "c.pth")
    assert not caplog.text
