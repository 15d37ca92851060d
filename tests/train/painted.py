"""Small image files and shards for the tests of the data sets; each image is told from the others by its colour."""

import io
import json
import tarfile
from pathlib import Path

from PIL import Image


def png(red: int, green: int = 0, blue: int = 0, size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (red, green, blue)).save(file, "PNG")
    return file.getvalue()


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def write_shard(path: Path, first: int, count: int, classes: int = 3) -> None:
    """Images first, first + 1, ...: the number is in red and green, the class is number % classes."""
    files = {}
    for number in range(first, first + count):
        files[f"{number:05}.png"] = png(number % 256, number // 256)
        files[f"{number:05}.cls"] = str(number % classes).encode()
    write_tar(path, files)


def write_shards(folder: Path, counts: list[int], held_out: list[int]) -> Path:
    """Shards with so many images each, and dataset.json; train and val are numbered from 0 each."""
    listed: dict[str, object] = {"labels": ["a", "b", "c"]}
    for part, sizes in (("train", counts), ("val", held_out)):
        first = 0
        for number, size in enumerate(sizes):
            write_shard(folder / f"{part}-{number}.tar", first, size)
            first += size
        listed[part] = {f"{part}-{number}.tar": size for number, size in enumerate(sizes)}
    (folder / "dataset.json").write_text(json.dumps(listed))
    return folder
