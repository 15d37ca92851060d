"""Runs side by side: what is found, grouped, printed and drawn, and what is refused."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from rgp.cli import guarded
from rgp.errors import RgpError, UsageError
from rgp.train.compare import run
from rgp.train.config import TrainConfig
from rgp.train.history import Epoch, History
from rgp.train.plots import MAX_DRAWN
from rgp.train.record import MAX_SETTINGS_BYTES, Run

COST = {"dense_macs": 4000, "macs": 1000, "dense_parameters": 600, "parameters": 150}


def make(folder: Path, tops: list[float], *, ended: bool = True, device: str = "One GPU", **changes: Any) -> Path:
    """A run's folder, as rgp-train leaves it, with these accuracies."""
    folder.mkdir(parents=True)
    settings: dict[str, Any] = {"epochs": len(tops), "experiment": folder.parent.name, "name": folder.name}
    config = TrainConfig(**settings | changes)
    (folder / "config.yaml").write_text(yaml.safe_dump(asdict(config), sort_keys=False))
    for number, top1 in enumerate(tops, start=1):
        History(folder / "history.csv").append(
            Epoch(number, number * 10, 2 / number, 0.1, 1000.0 * number, 3600.0 * number, top1, None, 3 / number)
        )
    if ended:
        result = {"epochs": len(tops), "cost": COST, "environment": {"device": device}}
        (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def compared(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Compare, and give what --json prints."""

    def compare(*words: str | Path) -> dict[str, Any]:
        run([*map(str, words), "--json"])
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return compare


def printed_rows(text: str) -> list[str]:
    """The lines of the tables, their cells parted by a bar."""
    return [re.sub(r" *│ *", "|", line.strip("│ ")) for line in text.splitlines() if line.lstrip().startswith("│")]


class TestTheTable:
    def test_has_a_row_a_run_and_what_the_seeds_give_together(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lasts = [90.0, 91.0, 95.5]
        for seed, last in enumerate(lasts):
            make(tmp_path / "graph" / f"run-{seed}", [50, 97, last], seed=seed, graph="64_16", architecture="resnet50")
        make(tmp_path / "dense" / "run", [50, 60, 70])
        run([str(tmp_path / "graph"), str(tmp_path / "dense")])
        assert printed_rows(capsys.readouterr().out) == [
            "1|graph/run-0|resnet50|64_16|0|3|90.00|97.00 (2)|25.0%|25.0%|2000|3.00",
            "1|graph/run-1|resnet50|64_16|1|3|91.00|97.00 (2)|25.0%|25.0%|2000|3.00",
            "1|graph/run-2|resnet50|64_16|2|3|95.50|97.00 (2)|25.0%|25.0%|2000|3.00",
            "2|dense/run|small_resnet|dense|0|3|70.00|70.00 (3)|25.0%|25.0%|2000|3.00",
            f"1|resnet50|64_16|3|{mean(lasts):.2f} ± {stdev(lasts):.2f}|97.00 ± 0.00",
            "2|small_resnet|dense|1|70.00|70.00",
        ]

    def test_stays_whole_on_a_narrow_terminal(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "40")
        name = "a-very-long-name-that-somebody-chose-for-this-one-run"
        make(tmp_path / name, [50, 60], graph="affine:16_4?rotate=1", device="[bold]:smile:")
        run([str(tmp_path)])
        text = capsys.readouterr().out
        (row,) = printed_rows(text)
        assert row == f"1|…{name[-35:]}|small_resnet|affine:16_4?rotate=1|0|2|60.00|60.00 (2)|25.0%|25.0%|1500|2.00"
        assert "[bold]:smile:" in text

    def test_shows_a_run_that_has_not_ended_as_far_as_it_came(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make(tmp_path / "whole", [50, 60, 70], seed=1)
        make(tmp_path / "half", [50, 61], ended=False, epochs=3)
        with (tmp_path / "half" / "history.csv").open("a") as file:
            file.write("3,30,0.1")
        run([str(tmp_path)])
        rows = printed_rows(capsys.readouterr().out)
        assert rows[0] == "1|half|small_resnet|dense|0|2 of 3, unfinished|61.00|61.00 (2)|-|-|1500|2.00"
        assert rows[2] == "1|1 of 2|70.00|70.00"

    def test_shows_a_run_without_an_epoch(self, tmp_path: Path, compared: Callable[..., dict[str, Any]]) -> None:
        History(make(tmp_path / "new", [50], ended=False) / "history.csv").truncate(0)
        assert compared(tmp_path, "-o", tmp_path / "page.html")["runs"][0]["epochs"] == 0
        run([str(tmp_path)])

    def test_a_run_begun_again_after_its_end_is_not_at_its_end(
        self, tmp_path: Path, compared: Callable[..., dict[str, Any]]
    ) -> None:
        History(make(tmp_path / "run", [50, 60, 70]) / "history.csv").truncate(1)
        (found,) = compared(tmp_path)["runs"]
        assert (found["finished"], found["epochs"], found["cost"]) == (False, 1, None)

    def test_names_devices_and_what_makes_runs_faster_where_they_differ(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make(tmp_path / "a", [50], device="H100", workers=8)
        make(tmp_path / "b", [50], device="CPU")
        run([str(tmp_path)])
        rows = printed_rows(capsys.readouterr().out)
        assert [row.split("|")[-2:] for row in rows[:2]] == [["8", "H100"], ["0", "CPU"]]
        assert rows[2] == "1|2 (1 seed)|50.00 ± 0.00|50.00 ± 0.00"


class TestConfigurations:
    def test_runs_differ_in_what_decides_their_result(
        self, tmp_path: Path, compared: Callable[..., dict[str, Any]]
    ) -> None:
        make(tmp_path / "a" / "run", [50], seed=1, lr=0.2)
        make(tmp_path / "b" / "run", [52], seed=2, lr=0.2, workers=4, runs="elsewhere", save_every=7)
        make(tmp_path / "c" / "run", [60], seed=1)
        found = compared(tmp_path)
        assert [(each["settings"], each["runs"]) for each in found["configurations"]] == [
            ({"lr": "0.2"}, 2),
            ({"lr": "0.1"}, 1),
        ]
        assert [each["configuration"] for each in found["runs"]] == [1, 1, 2]
        first, second = found["configurations"]
        assert first["top1_last"] == {"mean": 51, "deviation": pytest.approx(stdev([50, 52]))}
        assert second["top1_best"] == {"mean": 60, "deviation": None}

    def test_a_setting_that_one_rgp_lacks_has_its_default_there(
        self, tmp_path: Path, compared: Callable[..., dict[str, Any]]
    ) -> None:
        new, old = make(tmp_path / "new", [50], ema=0.5), make(tmp_path / "old", [50])
        path = old / "config.yaml"
        path.write_text("future: 3\n" + path.read_text().replace("ema: 0.0\n", ""))
        found = compared(new, old)
        assert [each["settings"] for each in found["configurations"]] == [
            {"ema": "0.5", "future": ""},
            {"ema": "0.0", "future": "3"},
        ]
        run([str(tmp_path)])

    def test_copied_elsewhere_runs_are_the_same(self, tmp_path: Path, compared: Callable[..., dict[str, Any]]) -> None:
        make(tmp_path / "here" / "run", [50, 60])
        shutil.copytree(tmp_path / "here", tmp_path / "there" / "deep")
        here, there = (compared(tmp_path / place)["runs"][0] for place in ("here", "there"))
        assert {**here, "path": "", "run": ""} == {**there, "path": "", "run": ""}
        assert (here["run"], there["run"]) == ("run", "run")


class TestFinding:
    def test_a_folder_of_runs_means_every_run_in_it_once(
        self, tmp_path: Path, compared: Callable[..., dict[str, Any]]
    ) -> None:
        for name in ("a/run", "a/run-2", "a/run-10", "b/run"):
            make(tmp_path / name, [50])
        (tmp_path / "b" / "begun").mkdir()
        found = compared(tmp_path, tmp_path / "a", tmp_path / "a" / "run-2" / ".." / "run-2")
        assert [each["run"] for each in found["runs"]] == ["a/run", "a/run-2", "a/run-10", "b/run"]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["absent"], "absent: no such folder: give a run's folder, as in runs/digits/run"),
            (["empty"], "empty: no history.csv in it: give the folder of a run that trained an epoch, or of runs"),
            ([], "the following arguments are required: RUN (see rgp-train compare --help)"),
            (["run", "--jsn"], "unrecognized arguments: --jsn (see rgp-train compare --help)"),
            (["run", "-o", "page.png"], "page.png: the name must end in .html: give -o page.png.html"),
            (["run", "-o", "there.html"], "there.html: exists: choose another name with -o, or add --force"),
            (["strange"], r"'strange/a\x1b[2J': its name has letters that cannot be printed: rename the folder"),
        ],
    )
    def test_what_is_wrong_is_one_line_and_exit_code_2(
        self,
        words: list[str],
        said: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        make(tmp_path / "run", [50])
        make(tmp_path / "strange" / "a\x1b[2J", [50], name="run")
        (tmp_path / "empty").mkdir()
        (tmp_path / "there.html").touch()
        assert guarded(run, words, "rgp-train") == 2  # type: ignore[arg-type]
        error = capsys.readouterr().err
        assert error.startswith(f"rgp-train: error: {said}")
        assert error.count("\n") == 1


class TestFilesThatNoRunWrote:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return make(tmp_path / "run", [50])

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "holds no settings"),
            ("- a\n", "holds no settings"),
            ("a: [b\n", r"not a YAML file (ParserError)"),
            ("a: {b: c}\n", "has a value that no setting can have"),
            ("a: [[b]]\n", "has a value that no setting can have"),
            ("a: " + "[" * 5000, "not a YAML file (RecursionError)"),
            ("a: " + "b" * 5000, "has a value that no setting can have"),
            ("? [a]\n: b\n", "not a YAML file (ConstructorError)"),
            ("\xff\x00", "not a YAML file"),
            ("a: &a [b]\nc: [" + "*a, " * 9000 + "]\n", "has a value that no setting can have"),
            ("".join(f"a{number}: b\n" for number in range(2000)), "holds 2000 settings"),
            ("#" * (MAX_SETTINGS_BYTES + 1), "larger than 256 KiB"),
            (None, "missing: copy the run's whole folder"),
        ],
    )
    def test_settings(self, folder: Path, content: str | None, said: str) -> None:
        path = folder / "config.yaml"
        path.unlink()
        if content is not None:
            path.write_bytes(content.encode("latin1"))
        with pytest.raises(RgpError) as caught:
            Run.read(folder)
        assert str(caught.value).startswith(f"{path}: {said}")
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[1]",
            "{}",
            "[" * 100_000,
            "\xff",
            json.dumps({"epochs": 1, "cost": COST | {"macs": 0}, "environment": {"device": "x"}}),
            json.dumps({"epochs": 1, "cost": COST | {"macs": True}, "environment": {"device": "x"}}),
            json.dumps({"epochs": 1, "cost": COST | {"macs": 10**18}, "environment": {"device": "x"}}),
            json.dumps({"epochs": 1, "cost": COST | {"macs": float("nan")}, "environment": {"device": "x"}}),
            json.dumps({"epochs": "1", "cost": COST, "environment": {"device": "x"}}),
            json.dumps({"epochs": 1, "cost": COST, "environment": {"device": ["x"]}}),
            json.dumps({"epochs": 1, "cost": [1, 2], "environment": {"device": "x"}}),
            '{"epochs": 1, "cost": {"dense_macs": ' + "9" * 5000 + "}}",
        ],
    )
    def test_a_result(self, folder: Path, content: str) -> None:
        (folder / "result.json").write_bytes(content.encode("latin1"))
        with pytest.raises(RgpError, match=r"/result\.json: not what rgp-train writes \(\w+: .*unfinished$") as caught:
            Run.read(folder)
        assert str(caught.value).isprintable()

    def test_a_pipe_is_not_waited_for(self, folder: Path) -> None:
        for name, error in (("result.json", RgpError), ("config.yaml", RgpError), ("history.csv", UsageError)):
            (folder / name).unlink()
            os.mkfifo(folder / name)
            with pytest.raises(error):
                run([str(folder)])

    @tried(max_examples=40)
    @given(st.binary(max_size=60))
    def test_no_bytes_are_worse_than_an_error_of_ours(
        self, tmp_path_factory: pytest.TempPathFactory, content: bytes
    ) -> None:
        for name in ("config.yaml", "result.json"):
            folder = make(tmp_path_factory.mktemp("run") / "run", [50])
            (folder / name).write_bytes(content)
            try:
                read = Run.read(folder)
            except RgpError:
                continue
            assert all(text.isprintable() for pair in read.settings.items() for text in pair)


class TestThePage:
    def test_draws_runs_of_one_configuration_alike_and_others_differently(self, tmp_path: Path) -> None:
        for seed in range(3):
            make(tmp_path / f"a-{seed}", [50, 60 + seed], seed=seed, lr=0.5)
        make(tmp_path / "b", [50, 60])
        page = tmp_path / "page.html"
        run([str(tmp_path), "-o", str(page)])
        text = page.read_text()
        assert "4 runs, 2 configurations" in text
        panels = 3
        for colour, runs in (("#d55e00", 3), ("#0072b2", 1)):
            assert len(re.findall(rf'<path d="[^"]*" clip-path="[^"]*" style="fill: none; stroke: {colour}', text)) == (
                panels * runs
            )
            assert text.count(f'stroke="{colour}"') == 1 + runs  # the key: of the configuration, and of its runs
        assert "61.00 ± 1.00" in text
        assert "<script" not in text
        assert re.findall(r"""(?:src|href)=["'](?!#)""", text) == []

    def test_text_stays_text(self, tmp_path: Path) -> None:
        make(tmp_path / "<script>x<|script>", [50], graph="<img src=x>.npy", device="<b>")
        page = tmp_path / "page.html"
        run([str(tmp_path), "-o", str(page)])
        assert not re.search(r"<(script|img|b)\b", page.read_text())
        assert "&lt;img src=x&gt;.npy" in page.read_text()

    def test_a_page_that_is_there_is_replaced_with_force_only(self, tmp_path: Path) -> None:
        make(tmp_path / "run", [50])
        page = tmp_path / "page.html"
        page.write_text("mine")
        with pytest.raises(UsageError, match="--force"):
            run([str(tmp_path), "-o", str(page)])
        assert page.read_text() == "mine"
        run([str(tmp_path), "-o", str(page), "--force"])
        assert "1 run, 1 configuration<" in page.read_text()

    def test_more_configurations_than_can_be_told_apart_are_refused(self, tmp_path: Path) -> None:
        for number in range(MAX_DRAWN + 1):
            make(tmp_path / f"run-{number}", [50], lr=1.0 + number)
        page = tmp_path / "page.html"
        with pytest.raises(
            UsageError, match=rf"-o draws at most {MAX_DRAWN} configurations, these are {MAX_DRAWN + 1}"
        ):
            run([str(tmp_path), "-o", str(page)])
        assert not page.exists()
        shutil.rmtree(tmp_path / "run-0")
        run([str(tmp_path), "-o", str(page)])
        strokes = set(re.findall(r'stroke="(#\w+)" stroke-width="2.5" stroke-dasharray="([^"]*)"', page.read_text()))
        assert len(strokes) == MAX_DRAWN
