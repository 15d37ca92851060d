"""`rgp-train networks`: what networks cost, and the table of docs/networks.md."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from rgp.cost import cost
from rgp.errors import RgpError
from rgp.models.registry import NETWORKS, build
from rgp.train.networks_cli import run

DOCS = Path(__file__).parents[2] / "docs" / "networks.md"


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    run(argv)
    return capsys.readouterr().out


def test_all_networks_are_listed_with_their_cost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("resnet18", "small_resnet", "cifar_resnet56")
    monkeypatch.setattr("rgp.train.networks_cli.NETWORKS", {name: NETWORKS[name] for name in few})
    out = printed(capsys)
    lines = [line.strip("│ ").split("│") for line in out.splitlines() if line.startswith("│")]
    cells = {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}
    assert cells["resnet18"] == ["224", "1,814.1", "11.69"]
    assert cells["cifar_resnet56"] == ["32", "125.5", "0.85"]
    assert cells.keys() == set(few)


def test_graphs_show_what_they_leave_and_how_many_layers_they_mask(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "cifar_resnet18", "--graphs", "64_16", "ring:16_4")
    assert out.count("25.2 / 25.1 (19/20)") == 2
    assert "% of MACs / % of parameters" in out


def test_a_network_that_the_graph_does_not_fit_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "cifar_resnet56", "--graphs", "64_16", "16_4")
    assert "│ refused │ 25.3 / 25.5 (54/55) │" in out
    assert "cifar_resnet56: layer1.0.conv1 has 16 -> 16 channels, fewer than the 64 nodes of 64_16" in out
    assert "(17/55)" in printed(capsys, "cifar_resnet56", "--graphs", "64_16", "--narrow", "dense")


def test_json_has_exact_numbers_and_what_became_of_the_layers(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("small_resnet", "--graphs", "ring:32_8", "ring:64_8", "--size", "16", "--classes", "7", "--json")
    (row,) = json.loads(printed(capsys, *argv))
    dense = cost(build("small_resnet", num_classes=7, in_channels=3), (3, 16, 16))
    assert (row["network"], row["side"]) == ("small_resnet", 16)
    assert (row["macs"], row["parameters"]) == (dense.dense_macs, dense.dense_parameters)
    assert row["under"]["ring:32_8"]["summary"] == ["8 masked by ring:32_8", "1 dense (first layer)"]
    assert row["under"]["ring:32_8"]["macs"] < 0.3 * dense.dense_macs
    assert "fewer than the 64 nodes" in row["under"]["ring:64_8"]["refused"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["resnet81"], "unknown architecture 'resnet81': did you mean 'resnet18'?"),
        (["timm:resnet10x"], "timm has no network 'resnet10x': did you mean resnet10t"),
        (["small_resnet", "--graphs", "64_99"], "the degree must be from 2 to N-1"),
        (["small_resnet", "--size", "0"], "'0' is not a whole number from 1"),
        (["small_resnet", "--narrow", "few"], "invalid choice: 'few'"),
        (["small_resnet", "--json", "--markdown"], "not allowed with argument"),
        (["densenet121", "--size", "8"], "does not pass through DenseNet"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(argv: list[str], said: str) -> None:
    with pytest.raises(RgpError) as caught:
        run(argv)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_table_in_the_docs_is_what_its_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    text = DOCS.read_text()
    commands = [line for line in text.replace("\\\n", " ").splitlines() if "networks --markdown" in line]
    assert len(commands) == 2
    quick = ("resnet50", "cifar_resnet56", "timm:mobilenetv3_small_050")
    for command in commands:
        words = shlex.split(command)[2:]
        options = [*words[words.index("--graphs") :], "--markdown", "--narrow", "dense"]
        assert words[:3] == ["--markdown", "--narrow", "dense"]
        names = words[3 : words.index("--graphs")]
        rows = printed(capsys, *(name for name in names if name in quick), *options).splitlines()
        assert len(rows) > 2
        for row in rows:
            assert row in text
        for name in names:
            assert f"| `{name}` |" in text
