"""``rgp-classify`` on every form of input: its rows are the service's answers."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rgp.bundle import Bundle
from rgp.engines.ort import OrtEngine
from rgp.errors import ImageError
from rgp.serve.classify import classify as service_answer
from rgp.serve.offline.classifier import Classifier, thread_plan
from rgp.serve.offline.source import IMAGES, Item
from tests.serve.offline.making import classify, images, refused, rows, write_folder, write_parquet, write_tar
from tests.serve.serving import ROOT, Server
from tests.serve.test_cli import WITHOUT_TORCH
from tests.serve.tiny import LABELS, encoded, network, write_bundle

FILES = images(40)
WAYS: dict[str, Callable[[Path], Path]] = {
    "folder": lambda path: write_folder(path, FILES),
    "tar": lambda path: write_tar(path.with_suffix(".tar"), FILES),
    "tar.gz": lambda path: write_tar(path.with_suffix(".tar.gz"), FILES, "w:gz"),
    "Parquet": lambda path: write_parquet(path.with_suffix(".parquet"), FILES, structs=True),
}
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def expected(bundle: Bundle, engine: OrtEngine) -> list[tuple[Any, ...]]:
    """(key, labels, indices, probabilities, error) as the service answers, in the order of the input."""
    found: list[tuple[Any, ...]] = []
    for name, data in FILES.items():
        try:
            best = service_answer(bundle, engine, data, top_k=3).predictions
        except ImageError as error:
            found.append((name, None, None, None, str(error)))
        else:
            columns = ([getattr(each, part) for each in best] for part in ("label", "index", "probability"))
            found.append((name, *columns, None))
    assert len({error for *_, error in found}) == 5, "each kind of bad image"
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_rows_are_what_the_service_answers_bit_for_bit_in_the_order_of_the_input(
    way: str, threads: int, bundle: Bundle, expected: list[tuple[Any, ...]], tmp_path: Path, capsys: Capture
) -> None:
    source, output = WAYS[way](tmp_path / "in"), tmp_path / "out.parquet"
    arguments = (source, "--bundle", bundle.path, "-o", output, "--top-k", 3, "--threads", threads)
    summary = classify(*arguments, capsys=capsys)
    names = ("key", "labels", "indices", "probabilities", "error")
    assert [tuple(row[name] for name in names) for row in rows(output)] == expected
    assert {(row["source"], row["model"]) for row in rows(output)} == {(str(source), bundle.sha256)}
    assert (summary["images"], summary["classified"], summary["errors"]) == (40, 36, 4)
    assert summary["unreadable_sources"] == summary["resumed_at"] == 0
    assert sum(summary["by_error"].values()) == 4
    assert [path.name for path in tmp_path.iterdir() if "parts" in path.name] == []


def test_the_service_itself_says_the_same_over_http(
    bundle: Bundle, server: Server, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "out.parquet"
    classify(write_folder(tmp_path / "in", FILES), "--bundle", bundle.path, "-o", output, "--threads", 1, capsys=capsys)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for row in rows(output):
            said = client.post("/classify", content=FILES[row["key"]]).json()
            if row["error"] is None:
                found = [dict(zip(("label", "index", "probability"), best, strict=True))
                         for best in zip(row["labels"], row["indices"], row["probabilities"], strict=True)]  # fmt: skip
                assert said["predictions"] == found
            else:
                assert said["error"] == row["error"]


def test_a_batch_larger_than_one_changes_no_class(bundle: Bundle, tmp_path: Path, capsys: Capture) -> None:
    source = write_tar(tmp_path / "in.tar", FILES)
    for batch in (1, 3, 64):
        arguments = (source, "--bundle", bundle.path, "-o", tmp_path / f"{batch}.parquet", "--threads", 1)
        assert classify(*arguments, "--batch", batch, capsys=capsys)["plan"] == {"threads": 1, "batch": batch}
    indices = [rows(tmp_path / f"{batch}.parquet", "indices") for batch in (1, 3, 64)]
    assert indices[0] == indices[1] == indices[2]


def test_shards_by_a_pattern_come_in_its_order_and_an_unreadable_one_is_a_row_and_no_end(
    bundle: Bundle, tmp_path: Path, capsys: Capture
) -> None:
    for number in range(12):
        write_tar(tmp_path / f"s-{number:03}.tar", {f"{number}.png": FILES["a/0001.png"]})
    (tmp_path / "s-004.tar").write_bytes(b"no tar file" * 1000)
    pattern = str(tmp_path / "s-{000..011}.tar")
    arguments = (pattern, "--bundle", bundle.path, "-o", tmp_path / "o.parquet", "--threads", 1)
    summary = classify(*arguments, capsys=capsys)
    assert (summary["images"], summary["errors"], summary["unreadable_sources"]) == (11, 0, 1)
    keys = [f"{number}.png" if number != 4 else None for number in range(12)]
    assert rows(tmp_path / "o.parquet", "key") == keys
    assert rows(tmp_path / "o.parquet", "source") == [str(tmp_path / f"s-{number:03}.tar") for number in range(12)]
    assert rows(tmp_path / "o.parquet", "error")[4].startswith("not a tar file, or not all of it: ")


@pytest.mark.parametrize("top_k", [1, 3, 99])
def test_csv_and_jsonl_say_what_parquet_says(top_k: int, bundle: Bundle, tmp_path: Path, capsys: Capture) -> None:
    source = write_folder(tmp_path / "in", FILES)
    for suffix in ("parquet", "csv", "jsonl"):
        output = tmp_path / f"o.{suffix}"
        classify(source, "--bundle", bundle.path, "-o", output, "--top-k", top_k, "--threads", 1, capsys=capsys)
    expected = rows(tmp_path / "o.parquet")
    assert [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()] == expected
    assert len(expected[0]["labels"]) == min(top_k, len(LABELS))
    with (tmp_path / "o.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for row, full in zip(table, expected, strict=True):
        assert (row["source"], row["key"], row["error"] or None) == (full["source"], full["key"], full["error"])
        for rank, probability in enumerate(full["probabilities"] or (), 1):
            assert float(row[f"probability_{rank}"]) == probability
            assert row[f"label_{rank}"] == full["labels"][rank - 1]
            assert int(row[f"index_{rank}"]) == full["indices"][rank - 1]


def test_it_ends_with_a_table_for_people(bundle: Bundle, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "in", FILES)
    command = [sys.executable, "-m", "rgp.serve.offline", source, "--bundle", bundle.path, "-o", tmp_path / "o.csv"]
    ran = subprocess.run(
        [*map(str, command), "--threads", "1"], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True
    )
    for text in ("images classified", "36", "images with an error", "images/s", "not a JPEG, PNG or WebP image"):
        assert text in ran.stdout
    assert ran.stderr == ""


class Picky:
    """An engine that has no number for images whose first pixel is dark."""

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits = np.zeros((len(images), len(LABELS)), np.float32)
        logits[images[:, 0, 0, 0] < 128, 3] = np.nan
        return logits

    def describe(self) -> dict[str, str | int]:
        return {}


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_logits_that_are_not_finite_are_errors_of_their_images_alone(
    batch: int, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier(bundle, thread_plan(bundle, 1, batch), 2)
    monkeypatch.setattr(classifier, "_engine", Picky())
    shades = (255, 0, 200, 10, 129)
    items = [Item(str(shade), encoded(Image.new("L", (20, 20), shade), "PNG")) for shade in shades]
    found = classifier.rows("in", items).to_pylist()
    assert [row["indices"] for row in found] == [[0, 1] if shade >= 128 else None for shade in shades]
    assert ["not finite" in (row["error"] or "") for row in found] == [shade < 128 for shade in shades]


def test_a_network_that_does_not_fit_its_labels_is_refused_at_once(tmp_path: Path, capsys: Capture) -> None:
    bundle = write_bundle(tmp_path / "bundle", model=network(classes=5))
    source = write_folder(tmp_path / "in", FILES)
    arguments = (source, "--bundle", bundle.path, "-o", tmp_path / "o.csv", "--threads", 1)
    assert "its bundle has 7 labels" in refused(*arguments, capsys=capsys, code=1)


def test_no_torch_is_imported(bundle: Bundle, tmp_path: Path) -> None:
    program = WITHOUT_TORCH.replace("rgp.serve.__main__", "rgp.serve.offline.__main__")
    source = write_folder(tmp_path / "in", FILES)
    arguments = [source, "--bundle", bundle.path, "-o", tmp_path / "o.parquet", "--threads", "1", "--json"]
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[-1] == "[]"


def test_what_cannot_be_classified_is_refused_in_one_line(bundle: Bundle, tmp_path: Path, capsys: Capture) -> None:
    folder, output = write_folder(tmp_path / "in", FILES), tmp_path / "o.parquet"
    mixed = write_folder(tmp_path / "mixed", {"a.jpg": b"", "b/c.tar": b""})
    empty = write_folder(tmp_path / "empty", {"notes.txt": b"x"})

    def says(*arguments: object, code: int = 2) -> str:
        return refused(*arguments, "--bundle", bundle.path, "--threads", 1, capsys=capsys, code=code)

    assert says(tmp_path / "none.tar", "-o", output) == f"{tmp_path}/none.tar: no such file or folder"
    assert "s-3.tar: no such file or folder" in says(tmp_path / "s-{3..5}.tar", "-o", output)
    assert "a brace has no partner" in says("s-{3..5.tar", "-o", output)
    assert "give a folder, a .tar or a .parquet file" in says(folder / "a/0000.jpg", "-o", output)
    assert "holds images (a.jpg) and tar files (b/c.tar): give them one by one" in says(mixed, "-o", output, code=1)
    expected = f"nothing to classify: expected images ({', '.join(IMAGES)}), .tar or .parquet files"
    assert expected in says(empty, "-o", output, code=1)
    assert "must end in .parquet, .csv, .jsonl" in says(folder, "-o", tmp_path / "o.xlsx")
    assert "lies in" in says(folder, "-o", folder / "o.parquet")
    assert "cannot be written" in says(folder, "-o", tmp_path / "no" / "o.parquet")
    assert "not a whole number" in says(folder, "-o", output, "--top-k", 0)
    output.write_text("precious")
    assert says(folder, "-o", output).endswith("exists: remove it, or choose another with -o")
    assert output.read_text() == "precious"
