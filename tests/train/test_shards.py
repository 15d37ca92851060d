"""Shards: from a disk and from a web server; what is wrong with one is said in one line that names it."""

import io
import json
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rgp.errors import DataError, ImageError
from rgp.train.batches import EvaluationBatches, TrainingBatches
from rgp.train.shard_list import webdataset
from rgp.train.shards import Shards, decoded
from tests.train.painted import png, write_shard, write_shards, write_tar


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), [5, 1, 7], [9])


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        port = process.stdout.readline().split(" port ")[1].split()[0]
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def numbers(shards: Shards, first: int = 0, last: int = 10_000, order: list[int] | None = None) -> list[int]:
    return [int(sample.name.split("/")[-1].removesuffix(".png")) for sample in shards.read(first, last, order)]


def one(path: Path, files: dict[str, bytes], count: int = 1, classes: int = 3) -> Shards:
    write_tar(path / "s.tar", files)
    return Shards([str(path / "s.tar")], [count], classes)


@settings(max_examples=40, deadline=None)
@given(first=st.integers(0, 14), last=st.integers(0, 14), order=st.permutations(range(3)))
def test_any_stretch_is_read_as_if_the_shards_were_one_file(
    folder: Path, first: int, last: int, order: list[int]
) -> None:
    shards = Shards([str(folder / f"train-{number}.tar") for number in range(3)], [5, 1, 7], 3)
    starts = {0: range(5), 1: range(5, 6), 2: range(6, 13)}
    assert numbers(shards, first, last, order) == [number for shard in order for number in starts[shard]][first:last]


def test_a_sample_is_an_image_its_class_and_where_it_lies(folder: Path) -> None:
    shards = webdataset(str(folder), size=8).train
    assert len(shards) == 13
    image, label = shards[7]
    assert (image.mode, image.size, image.getpixel((0, 0)), label) == ("RGB", (8, 8), (7, 0, 0), 1)


def test_a_web_server_gives_what_the_disk_gives(folder: Path, server: str) -> None:
    local, remote = webdataset(str(folder), size=8), webdataset(f"{server}/", size=8)
    assert isinstance(remote.train, Shards)
    assert remote.train.names[0] == f"{server}/train-0.tar"
    for workers in (0, 2):
        mine, theirs = (list(TrainingBatches(data, 4, 0, workers, False).epoch(1)) for data in (local, remote))
        assert [classes.tolist() for _, classes in mine] == [classes.tolist() for _, classes in theirs]
        assert all((a == b).all() for (a, _), (b, _) in zip(mine, theirs, strict=True))
    seen = [label for _, labels in EvaluationBatches(remote.val, remote.preprocess, 4, 0, False) for label in labels]
    assert seen == [0, 1, 2] * 3


def test_a_list_here_may_name_shards_there(folder: Path, server: str, tmp_path: Path) -> None:
    listed = json.loads((folder / "dataset.json").read_text())
    moved = {part: {f"{server}/{name}": count for name, count in listed[part].items()} for part in ("train", "val")}
    (tmp_path / "mine.json").write_text(json.dumps(listed | moved))
    assert webdataset(str(tmp_path / "mine.json"), size=8).train[12][1] == 0


def test_a_file_that_the_server_does_not_have_is_named(server: str) -> None:
    with pytest.raises(DataError, match=rf"^{server}/no/dataset.json: the server answers 404 File not found"):
        webdataset(f"{server}/no", size=8)
    with pytest.raises(DataError, match=rf"^{server}/no.tar: the server answers 404 File not found$"):
        numbers(Shards([f"{server}/no.tar"], [1], 3))


class Breaking(BaseHTTPRequestHandler):
    """Breaks off in the middle of the file, ``breaks`` times."""

    content = b""
    breaks = 0

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        Breaking.breaks -= 1
        self.wfile.write(self.content if Breaking.breaks < 0 else self.content[: len(self.content) // 2 + 100])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def breaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], str]]:
    monkeypatch.setattr("rgp.train.shards.PAUSE", 0.0)
    write_shard(tmp_path / "s.tar", 0, 20)
    Breaking.content = (tmp_path / "s.tar").read_bytes()
    with HTTPServer(("127.0.0.1", 0), Breaking) as server:
        Thread(target=server.serve_forever, daemon=True).start()

        def start(breaks: int) -> str:
            Breaking.breaks = breaks
            return f"http://127.0.0.1:{server.server_port}/s.tar"

        yield start
        server.shutdown()


def test_a_connection_that_breaks_is_made_again_and_no_image_comes_twice(breaking: Callable[[int], str]) -> None:
    assert numbers(Shards([breaking(3)], [20], 3)) == list(range(20))


def test_a_connection_that_breaks_each_time_ends_with_the_reason(breaking: Callable[[int], str]) -> None:
    with pytest.raises(DataError, match=r"/s\.tar: the connection broke off$"):
        numbers(Shards([breaking(4)], [20], 3))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pipe:cat /etc/passwd", "pipe:cat /etc/passwd: 'pipe:' is not read: give a path, or an http or https address"),
        ("file:///etc/passwd", "'file:' is not read"),
        ("s3://bucket/0.tar", "'s3:' is not read"),
        ("absent.tar", "absent.tar: No such file or directory"),
        ("http://127.0.0.1:1/0.tar", "http://127.0.0.1:1/0.tar: "),
    ],
)
def test_a_source_that_cannot_be_read_is_named(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rgp.train.shards.PAUSE", 0.0)
    with pytest.raises(DataError) as caught:
        numbers(Shards([name], [1], 3))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 300, 700, 5000])
def test_a_truncated_shard_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "s.tar"
    write_shard(path, 0, 6)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"/s\.tar: (not a tar file, or not all of it|holds \d images, not the 6)"):
        numbers(Shards([str(path)], [6], 3))


def test_what_is_no_tar_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_text("<html>not found</html>" * 100)
    with pytest.raises(DataError, match="not a tar file, or not all of it"):
        numbers(Shards([str(tmp_path / "s.tar")], [6], 3))


@pytest.mark.parametrize(
    ("stated", "said"),
    [(5, "holds more than the 5 images that are stated"), (7, "holds 6 images, not the 7 that are stated")],
)
def test_a_shard_must_hold_the_images_that_are_stated(tmp_path: Path, stated: int, said: str) -> None:
    write_shard(tmp_path / "s.tar", 0, 6)
    with pytest.raises(DataError, match=rf"/s\.tar: {said}"):
        numbers(Shards([str(tmp_path / "s.tar")], [stated], 3))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"0.txt": b"x"}, r"s\.tar: holds 0 images, not the 1 that are stated"),
        ({"0.cls": b"1"}, r"s\.tar/0: holds no image: expected \.jpg, \.jpeg, \.png, \.webp"),
        ({"0.png": png(1)}, r"s\.tar/0: has no class: expected \.cls, or \.json with a label"),
        ({"0.png": png(1), "0.json": b'{"class": 1}'}, "has no class"),
        ({"0.png": png(1), "0.cls": b"3"}, r"s\.tar/0: its class is 3, but the 3 classes are 0 to 2"),
        ({"0.png": png(1), "0.cls": b"-1"}, "its class is -1, but"),
        ({"0.png": png(1), "0.cls": b"cat"}, "its class is b'cat': expected a whole number"),
        ({"0.png": png(1), "0.json": b"{"}, "its class is b'{': expected a whole number"),
        ({"0.png": png(1), "0.json": b'{"label": 1.5}'}, "expected a whole number"),
        ({"0.png": png(1), "0.json": b"[1]"}, "expected a whole number"),
        ({"0.PNG": png(1), "0.png": png(2), "0.cls": b"0"}, r"s\.tar: 0\.png: duplicate file name"),
    ],
)
def test_a_sample_that_is_not_an_image_with_its_class_is_named(
    tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        numbers(one(tmp_path, files))
    assert "\n" not in str(caught.value)


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    shards = one(tmp_path, {"7.jpg": b"not a JPEG", "7.cls": b"0"})
    with pytest.raises(ImageError, match=r"s\.tar/7\.jpg: not a JPEG, PNG or WebP image"):
        decoded(next(shards.read(0, 1)))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_while_training_is_the_same_one_line(tmp_path: Path, workers: int) -> None:
    data = webdataset(str(write_shards(tmp_path, [8, 8], [2])), size=8)
    write_tar(tmp_path / "train-1.tar", {f"{n}.png": png(n) for n in range(8)})
    with pytest.raises(DataError) as caught:
        list(TrainingBatches(data, 8, 0, workers, pin=False).epoch(0))
    assert str(caught.value).startswith(f"{tmp_path}/train-1.tar/")
    assert str(caught.value).endswith(": has no class: expected .cls, or .json with a label")


def test_other_files_of_a_sample_are_never_opened(tmp_path: Path) -> None:
    files = {
        "a/0.pyd": pickle.dumps(Shards),
        "a/0.pth": b"x",
        "a/0.txt": b"a cat",
        "a/0.JPEG": jpeg(),
        "a/0.json": b'{"label": 2}',
    }
    ((image, label),) = [one(tmp_path, files)[0]]
    assert (image.size, label) == ((8, 8), 2)


def test_a_compressed_shard_is_read_too(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.tar", 0, 3)
    with tarfile.open(tmp_path / "s.tar") as plain, tarfile.open(tmp_path / "s.tar.gz", "w:gz") as packed:
        for entry in plain:
            packed.addfile(entry, plain.extractfile(entry))
    assert numbers(Shards([str(tmp_path / "s.tar.gz")], [3], 3)) == [0, 1, 2]


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    return file.getvalue()
