"""What a run leaves behind: folders with numbers, and the table of results."""

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest

from rgp.errors import UsageError
from rgp.train.config import TrainConfig, load
from rgp.train.tracking import COLUMNS, MAY_CHANGE, RunFolder, append_result, check_results


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_name_that_is_taken_gets_a_number(configured: Callable[..., TrainConfig]) -> None:
    config = configured(experiment="mine", name="try")
    made = [RunFolder.create(config).path for _ in range(3)]
    assert made == [Path(config.runs) / "mine" / name for name in ("try", "try-1", "try-2")]


def test_the_folder_holds_its_configuration(configured: Callable[..., TrainConfig]) -> None:
    config = configured(graph="64_16", skip=("blocks.0.*",))
    run = RunFolder.create(config)
    assert load(["--config", str(run.path / "config.yaml")]) == config


def test_the_newest_run_is_the_highest_number_with_a_last_checkpoint(configured: Callable[..., TrainConfig]) -> None:
    config = configured()
    assert RunFolder.newest(config) is None
    runs = [RunFolder.create(config) for _ in range(12)]
    other = RunFolder.create(configured(name="run-extra"))
    assert RunFolder.newest(config) is None
    for run in (runs[2], runs[10], other):
        run.last.parent.mkdir()
        run.last.touch()
    assert RunFolder.newest(config) == runs[10]


def test_results_have_one_header_and_a_row_a_run(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "results.csv"
    append_result(path, {"name": "one", "top1_best": "98.50"})
    append_result(path, {"name": "two, with a comma"})
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert [(row["name"], row["top1_best"]) for row in rows(path)] == [("one", "98.50"), ("two, with a comma", "")]
    check_results(path)


def test_a_torn_last_line_does_not_swallow_the_next_row(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    append_result(path, {"name": "one"})
    with path.open("a") as file:
        file.write("2026-01-01,torn")
    append_result(path, {"name": "two"})
    assert [row["name"] for row in rows(path)][::2] == ["one", "two"]


def test_runs_that_end_at_once_all_get_their_row(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: append_result(path, {"name": str(number)}), range(40)))
    assert sorted(int(row["name"]) for row in rows(path)) == list(range(40))


def test_a_table_with_other_columns_is_refused_before_it_is_spoilt(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    check_results(path)
    path.write_text("name,accuracy\nold,1\n")
    with pytest.raises(UsageError, match="its columns are not those of this rgp"):
        check_results(path)


def test_what_may_change_is_a_setting_and_the_seed_is_not_of_it() -> None:
    assert {entry.name for entry in fields(TrainConfig)} > MAY_CHANGE
    assert "seed" not in MAY_CHANGE
