"""What a finished run says of itself."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from docs.reference import formats
from rgp.cost import cost
from rgp.train.config import TrainConfig, load
from rgp.train.data import load_data
from rgp.train.history import Epoch, History
from rgp.train.loop import RunResult, train
from rgp.train.network import build_network, builder_options
from rgp.train.report import command, finish
from rgp.train.result_form import Result
from rgp.train.tracking import COLUMNS, RunFolder
from tests.docs.forms import unlike

Configured = Callable[..., TrainConfig]


def rows(count: int, *, average: bool = False, top5: bool = True) -> list[Epoch]:
    """Rises to its best in the epoch before the last."""
    return [
        Epoch(
            epoch=number,
            steps=10 * number,
            train_loss=2 / number,
            lr=0.1 / number,
            images_per_second=1000.0 + number,
            seconds=3600.0 * number,
            top1=70.0 if number == count > 1 else 50 + 40 * number / count,
            top5=90 + number / 50 if top5 else None,
            loss=3 / number,
            raw_top1=40 + number / 4 if average else None,
        )
        for number in range(1, count + 1)
    ]


def finished_run(config: TrainConfig, epochs: list[Epoch], processes: int = 1) -> RunFolder:
    """A run's folder with its report, of ``epochs`` that never were trained."""
    data = load_data(config)
    network, decisions = build_network(config, data, builder_options(config, data))
    folder = RunFolder.create(config)
    for each in epochs:
        History(folder.history).append(each)
    spent = cost(network, (1, 8, 8))
    console = Console(markup=False, highlight=False, soft_wrap=True, width=80)
    device = torch.device("cpu")
    finish(console, folder, config, spent, decisions, held_out=21, device=device, processes=processes)
    return folder


class Page(HTMLParser):
    """The text of a page, what it loads, and whether its tags are known ones."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class TestTheReport:
    @pytest.fixture(params=[1, 2, 100])
    def count(self, request: pytest.FixtureRequest) -> int:
        return int(request.param)

    def test_it_is_there_for_people_and_for_programs(self, configured: Configured, count: int) -> None:
        epochs = rows(count, average=True)
        folder = finished_run(configured(epochs=count), epochs)
        result = json.loads(folder.result.read_text())
        best = epochs[max(0, count - 2)]
        assert (result["format"], result["name"], result["epochs"]) == ("rgp-run/1", "default/run", count)
        assert result["last"] == {entry.name: getattr(epochs[-1], entry.name) for entry in fields(Epoch)}
        assert result["best"]["epoch"] == best.epoch
        assert result["cost"]["macs"] < result["cost"]["dense_macs"]
        assert result["settings"]["graph"] == "ring:8_2"
        assert {layer["graph"] for layer in result["layers"]} == {None, "ring:8_2"}
        assert result["environment"]["held_out"] == 21
        page = Page(folder.report.read_text())
        assert f"{best.top1:.2f}% top-1" in page.text
        assert f"last epoch, {count} best epoch, {best.epoch}" in page.text
        assert f"top-1 without averaging {epochs[-1].raw_top1:.2f}% {best.raw_top1:.2f}%" in page.text
        assert page.tags.count("svg") == 2
        assert "nan" not in page.text.lower().split()

    def test_it_needs_nothing_from_elsewhere(self, configured: Configured) -> None:
        text = finished_run(configured(), rows(3)).report.read_text()
        page = Page(text)
        assert "script" not in page.tags
        assert all(link.startswith(("#", "data:")) for link in page.loads)
        assert "@import" not in text
        assert re.findall(r"url\((?!#)", text) == []

    def test_the_table_on_the_console_has_the_same_figures(
        self, configured: Configured, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = finished_run(configured(), rows(3, average=True))
        printed = " ".join(re.sub(r"[│┃]", " ", capsys.readouterr().out).split())
        text = Page(folder.report.read_text()).text
        for figures in (
            "last epoch, 3 best epoch, 2",
            "top-1 70.00% 76.67%",
            "top-5 90.06% 90.04%",
            "top-1 without averaging 40.75% 40.50%",
            "loss on held-out images 1.0000 1.5000",
            "training images/s 1002 median of the epochs",
            "hours 3.00 evaluation included",
        ):
            assert figures in printed
            assert figures in text
        result = json.loads(folder.result.read_text())["cost"]
        assert f"MACs, millions {result['macs'] / 1e6:.3f} {result['macs'] / result['dense_macs']:.1%} of dense" in text

    def test_of_few_classes_there_is_no_top5_and_of_no_average_no_raw(self, configured: Configured) -> None:
        text = Page(finished_run(configured(), rows(3, top5=False)).report.read_text()).text
        assert "top-5" not in text
        assert "averag" not in text.replace("average shortest path", "").replace("moving average", "")

    def test_a_dense_run_has_no_graph_to_show(self, configured: Configured) -> None:
        page = Page(finished_run(configured(graph="dense"), rows(3)).report.read_text())
        assert "76.67% top-1, 70.00% at the end, dense" in page.text
        assert page.tags.count("svg") == 1
        assert "ASPL" not in page.text

    def test_graphs_in_turn_are_each_named_and_one_in_parts_says_so(self, configured: Configured) -> None:
        config = configured(width=16, graph="affine:16_4?rotate=1")
        folder = finished_run(config, rows(3))
        graphs = json.loads(folder.result.read_text())["graphs"]
        assert len(graphs) == 5
        assert {graph["aspl"] for graph in graphs} == {None}
        assert "4 parts" in Page(folder.report.read_text()).text

    def test_settings_that_were_changed_come_first(self, configured: Configured) -> None:
        text = Page(finished_run(configured(lr=0.25), rows(1)).report.read_text()).text
        before, _, after = text.partition("settings as they are by default")
        assert "lr 0.25 0.1 learning rate at its peak" in before
        assert "momentum 0.9 0.9 momentum of SGD" in after
        assert "momentum of SGD" not in before

    def test_a_training_loss_of_another_kind_is_said_to_be_one(self, configured: Configured) -> None:
        plain, softened = (
            Page(finished_run(configured(**changes), rows(2)).report.read_text()).text
            for changes in ({}, {"label_smoothing": 0.1, "mixup": 0.2})
        )
        assert "The training loss includes" not in plain
        assert "The training loss includes label smoothing, mixup:" in softened

    def test_text_stays_text(self, configured: Configured, capsys: pytest.CaptureFixture[str]) -> None:
        name = "<script>alert(1)</script> & [bold]$x^2$ :smile: ü"
        folder = finished_run(configured(name=name.replace("/", "|"), experiment="a<b"), rows(1))
        page = Page(folder.report.read_text())
        assert "script" not in page.tags
        assert "<script>alert(1)<|script> & [bold]$x^2$ :smile: ü" in page.text
        assert "[bold]$x^2$ :smile:" in " ".join(re.sub(r"[│┃]", " ", capsys.readouterr().out).split())

    def test_a_history_that_is_gone_is_said_and_nothing_is_written(
        self, configured: Configured, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = finished_run(configured(), [])
        assert "history.csv: gone, so there is no report" in capsys.readouterr().out
        assert not folder.report.exists()
        assert not folder.result.exists()


class TestTheCommandThatRepeatsIt:
    @pytest.mark.parametrize(
        ("changes", "spelt"),
        [
            ({}, "rgp-train"),
            ({"graph": "affine:16_4?rotate=1"}, "rgp-train --graph 'affine:16_4?rotate=1'"),
            ({"skip": ("blocks.0.*", "a, b"), "milestones": (3, 5)}, None),
            ({"norm_decay": False, "weight_decay": 1e-5}, "rgp-train --weight_decay 1e-05 --norm_decay false"),
            ({"name": "-x"}, "rgp-train --name=-x"),
            ({"match_macs": "300", "runs": "my runs"}, "rgp-train --match_macs 300 --runs 'my runs'"),
            ({"resume": "auto", "evaluate": "best.pth", "bench_data": True}, "rgp-train"),
        ],
    )
    def test_is_read_back_as_the_same_settings(self, changes: dict[str, Any], spelt: str | None) -> None:
        config = TrainConfig(**changes)
        line = command(config)
        assert spelt in (None, line)
        assert load(shlex.split(line)[1:]) == replace(config, resume=None, evaluate=None, bench_data=False)

    @settings(max_examples=25)
    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "lr": st.floats(1e-12, 1e6),
                "ema": st.floats(0, 1, exclude_max=True),
                "epochs": st.integers(21, 10**4),
                "seed": st.integers(0, 2**32 - 1),
                "download": st.booleans(),
                "width": st.none() | st.integers(1, 999),
                "milestones": st.sets(st.integers(1, 19)).map(lambda epochs: tuple(sorted(epochs))),
                "amp": st.sampled_from(["off", "bf16"]),
                "name": st.from_regex(r"[\w .?&=:'\"$*\[\]-]{1,12}", fullmatch=True).filter(lambda name: name != ".."),
            },
        )
    )
    def test_whatever_the_settings_are(self, changes: dict[str, Any]) -> None:
        config = TrainConfig(**changes)
        assert load(shlex.split(command(config))[1:]) == config

    def test_names_the_launcher_where_several_processes_trained(self, configured: Configured) -> None:
        folder = finished_run(configured(), rows(1), processes=8)
        assert (
            "torchrun --nproc-per-node=8 -m rgp.train --data bars:here --width 8 --graph ring:8_2"
            in folder.report.read_text()
        )


def test_the_commands_to_go_on_name_files_that_are_there(finished: tuple[TrainConfig, RunResult]) -> None:
    _, result = finished
    lines = re.findall(r"<pre>(.*?)</pre>", result.folder.report.read_text(), re.DOTALL)[1].splitlines()
    assert [line.split()[0] for line in lines] == ["rgp-compile", "rgp-train", "rgp-train"]
    paths = [Path(word) for line in lines for word in line.split() if "/" in word and not word.endswith("bundle")]
    assert paths
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize("graph", ["dense", "ring:8_2"])
def test_every_field_for_programs_stands_in_the_reference(configured: Configured, graph: str) -> None:
    folder = finished_run(configured(graph=graph), rows(2, top5=False))
    form = {name: kind for name, kind, _ in formats.form_fields(Result)}
    result = json.loads(folder.result.read_text())
    assert list(unlike(result, form)) == []
    assert bool(result["graphs"]) is (graph != "dense")
    page = formats.run()
    with folder.history.open() as file:
        columns = file.readline().strip().split(",")
    assert [name for name in [*form, *columns, *COLUMNS] if f"| `{name}` |" not in page] == []


def test_training_ends_with_the_report_of_what_was_trained(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(epochs=2)
    result = train(config)
    assert "last epoch, 2" in capsys.readouterr().out
    report = json.loads(result.folder.result.read_text())
    assert (report["last"]["top1"], report["best"]["top1"]) == (result.last["top1"], result.best["top1"])
    assert report["seconds"] == result.seconds
    assert report["cost"]["macs"] == result.cost.macs
    written = result.folder.result.read_bytes()
    train(replace(config, resume="auto"))
    assert result.folder.result.read_bytes() == written  # a finished run is left as it is
    result.folder.result.unlink()  # killed before it was written
    train(replace(config, resume="auto"))
    assert json.loads(result.folder.result.read_text())["last"] == report["last"]
