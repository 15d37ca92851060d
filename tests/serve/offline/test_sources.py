"""Reading: order, skipping, and files made by people who mean harm."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rgp.errors import DataError
from rgp.serve.offline.folders import FILES
from rgp.serve.offline.inputs import Inputs
from rgp.serve.offline.source import CHUNK, MAX_BYTES, Item, Source, chunks
from tests.serve.offline.making import images, write_folder, write_parquet, write_tar

NAMES = {f"{number}.jpg": bytes([number]) * 10 for number in range(20)}


def read(*given: Path | str, column: str | None = None) -> list[Item]:
    return [item for source in Inputs([str(each) for each in given], column).sources() for item in source.read(0)]


@pytest.fixture(params=["folder", "tar", "Parquet"])
def sources(request: pytest.FixtureRequest, tmp_path: Path) -> list[Source]:
    if request.param == "folder":
        path = write_folder(tmp_path / "in", NAMES)
    elif request.param == "tar":
        path = write_tar(tmp_path / "in.tar", NAMES)
    else:
        path = write_parquet(tmp_path / "in.parquet", NAMES)
    return list(Inputs([str(path)]).sources())


def test_what_is_read_after_skipping_is_the_rest(sources: list[Source]) -> None:
    for source in sources:
        whole = list(source.read(0))
        for skip in range(len(whole)):
            assert list(source.read(skip)) == whole[skip:]


@given(st.lists(st.integers(0, 30 << 20), max_size=80), st.integers(1, 40), st.data())
@settings(max_examples=50, suppress_health_check=[HealthCheck.data_too_large])
def test_chunks_from_the_end_of_a_chunk_on_are_the_rest_of_the_chunks(
    sizes: list[int], batch: int, data: st.DataObject
) -> None:
    class Sized(bytes):
        def __len__(self) -> int:
            return self.size  # type: ignore[attr-defined,no-any-return]

    def item(size: int) -> Item:
        sized = Sized()
        sized.size = size  # type: ignore[attr-defined]
        return Item("key", sized)

    items = [item(size) for size in sizes]
    whole = list(chunks(items, batch))
    assert [item for chunk in whole for item in chunk] == items
    assert all(len(chunk) <= max(batch, CHUNK) for chunk in whole)
    done = data.draw(st.integers(0, len(whole)))
    assert list(chunks(items[sum(map(len, whole[:done])) :], batch)) == whole[done:]


def test_folders_are_read_by_name_and_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write_folder(
        tmp_path / "in", {"b/1.jpg": b"1", "a/2.JPEG": b"2", "a.png": b"3", "B/4.webp": b"4", "a/notes.txt": b""}
    )
    write_folder(tmp_path / "elsewhere", {"5.jpg": b"5"})
    (tmp_path / "in" / "c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "a" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert [item.key for item in read(tmp_path / "in")] == ["B/4.webp", "a/2.JPEG", "a.png", "b/1.jpg", "c/5.jpg"]


def test_a_large_folder_is_several_sources(tmp_path: Path) -> None:
    names = {f"{number:04}.jpg": b"" for number in range(2 * FILES + 1)}
    found = list(Inputs([str(write_folder(tmp_path / "in", names))]).sources())
    assert len(found) == 3
    assert [item.key for source in found for item in source.read(0)] == list(names)


def test_names_that_are_no_text_and_files_that_vanish_or_are_too_large_are_items(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", {"1.jpg": b"1", "2.jpg": b"2"})
    (folder / os.fsdecode(b"\xff.jpg")).write_bytes(b"3")
    with (folder / "4.jpg").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    (source,) = Inputs([str(folder)]).sources()
    (folder / "2.jpg").unlink()
    one, gone, large, strange = source.read(0)
    assert (one.key, one.data) == ("1.jpg", b"1")
    assert (gone.key, gone.error) == ("2.jpg", "No such file or directory")
    assert (large.key, large.data, large.error) == (
        "4.jpg",
        b"",
        f"{MAX_BYTES + 1} bytes: more than {MAX_BYTES} is no image",
    )
    assert (strange.key, strange.data) == ("\ufffd.jpg", b"3")


def test_the_fingerprint_changes_with_every_change(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", {"1.jpg": b"1", "2.jpg": b"2"})
    seen = {Inputs([str(folder)]).survey().fingerprint}
    for change in (
        lambda: (folder / "3.jpg").write_bytes(b""),
        lambda: (folder / "1.jpg").write_bytes(b"11"),
        lambda: os.utime(folder / "2.jpg", ns=(1, 1)),
        lambda: (folder / "3.jpg").rename(folder / "4.jpg"),
    ):
        change()
        seen.add(Inputs([str(folder)]).survey().fingerprint)
    assert len(seen) == 5
    assert Inputs([str(folder)]).survey().fingerprint in seen


def test_names_in_a_tar_are_only_names(tmp_path: Path) -> None:
    names = ["../../out.jpg", "/etc/x.jpg", "a/./b.png", "x.jpg"]
    path = write_tar(tmp_path / "in.tar", dict.fromkeys(names, b"1"), labels=False)
    before = sorted(tmp_path.rglob("*"))
    assert [item.key for item in read(path)] == names
    assert sorted(tmp_path.rglob("*")) == before


def test_links_devices_and_holes_in_a_tar_are_errors_and_stop_nothing(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "in.tar", "w") as tar:
        for name, kind in (("1.jpg", tarfile.SYMTYPE), ("2.jpg", tarfile.LNKTYPE), ("3.jpg", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        tar.addfile(tarfile.TarInfo("4.jpg"))
        folder = tarfile.TarInfo("5.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    found = read(tmp_path / "in.tar")
    assert [item.key for item in found] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert [item.error is None for item in found] == [False, False, False, True]


def corrupted(path: Path, at: int, data: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)
    return path


def test_a_tar_that_breaks_anywhere_gives_what_comes_before_and_says_so(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "whole.tar", NAMES, labels=False).read_bytes()
    path = tmp_path / "in.tar"
    for size in range(0, 20 * 1024 + 1, 256):  # a header and a block for each image, then the mark of the end
        path.write_bytes(whole[:size])
        *items, last = read(path)
        assert last.key is None, size
        assert last.error is not None
        assert [item.key for item in items] == list(NAMES)[: len(items)]
        assert len(items) >= (size - 512) // 1024
    path.write_bytes(whole)
    for header in range(1, 20):  # tarfile takes a bad header for the end of the file
        *items, last = read(corrupted(path, header * 1024, b"\xff" * 100))
        assert (len(items), last.key) == (header, None)
        path.write_bytes(whole)


def tar_with(*headers: tuple[str, bytes, dict[str, str]], path: Path) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data, attributes in headers:
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), attributes
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("size", [-512, -1024, -100_000, 1 << 40, 1 << 70])
def test_sizes_that_lie_end_the_tar_with_an_error_and_never_loop(size: int, tmp_path: Path) -> None:
    path = tar_with(
        ("1.jpg", b"1", {}), ("2.jpg", b"2", {"size": str(size)}), ("3.jpg", b"3", {}), path=tmp_path / "t.tar"
    )
    found = read(path)
    assert found[0] == Item("1.jpg", b"1")
    assert found[-1].error is not None
    assert len(found) <= 4


def test_headers_of_any_size_are_not_read_into_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 3 << 30
    with (tmp_path / "t.tar").open("wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.truncate(4 << 30)  # a hole: it takes no room
    (found,) = read(tmp_path / "t.tar")
    assert found.error == f"not a tar file, or not all of it: a header of {3 << 30} bytes"


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_written_over_a_file_it_is_read_to_an_end(data: st.DataObject, tmp_path: Path) -> None:
    name = data.draw(st.sampled_from(["t.tar", "t.tar.gz", "t.parquet"]))
    path = tmp_path / name
    files = dict(list(images(6).items())[:3])
    if name == "t.parquet":
        write_parquet(path, files)
    else:
        write_tar(path, files, "w:gz" if name.endswith("gz") else "w")
    size = path.stat().st_size
    for _ in range(data.draw(st.integers(1, 4))):
        corrupted(path, data.draw(st.integers(0, size - 1)), data.draw(st.binary(min_size=1, max_size=12)))

    def limited() -> Iterator[Item]:
        yield from (item for source in Inputs([str(path)]).sources() for item in source.read(0))

    try:
        found = list(limited())
    except DataError:  # the schema itself
        return
    assert len(found) < 10


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_keys_of_parquet_are_paths_or_numbers_of_rows_in_the_file(kind: pa.DataType, tmp_path: Path) -> None:
    plain = pa.table({"image": pa.array([b"0", None, b"2"], kind), "text": ["a", "b", "c"]})
    pq.write_table(plain, tmp_path / "plain.parquet", row_group_size=2)
    zero, null, two = read(tmp_path / "plain.parquet")
    assert (zero, two) == (Item("0", b"0"), Item("2", b"2"))
    assert (null.key, null.error) == ("1", "no bytes: the value is null")

    values = [{"bytes": b"0", "path": "x/0.jpg"}, {"bytes": None, "path": "1.jpg"}, {"bytes": b"2", "path": None}, None]
    struct = pa.struct([("path", pa.string()), ("bytes", kind)])
    pq.write_table(pa.table({"image": pa.array(values, struct)}), tmp_path / "struct.parquet")
    assert [item.key for item in read(tmp_path / "struct.parquet")] == ["x/0.jpg", "1.jpg", "2", "3"]
    assert [item.error is None for item in read(tmp_path / "struct.parquet")] == [True, False, True, False]


def test_a_parquet_without_images_names_its_columns_and_one_with_several_asks_which(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"none.parquet: no column holds bytes.*; its columns: text, n"):
        read(tmp_path / "none.parquet")
    pq.write_table(pa.table({"left": [b"l"], "right": [b"r"], "n": [1]}), tmp_path / "two.parquet")
    with pytest.raises(DataError, match="several columns hold bytes: give --column one of: left, right"):
        read(tmp_path / "two.parquet")
    with pytest.raises(DataError, match="no column 'n' that holds bytes: give --column one of: left, right"):
        read(tmp_path / "two.parquet", column="n")
    assert read(tmp_path / "two.parquet", column="right") == [Item("0", b"r")]


def test_a_broken_parquet_file_is_one_item_that_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_parquet(folder / "1.parquet", NAMES)
    (folder / "2.parquet").write_bytes(b"PAR1 no more")
    found = read(folder)
    assert len(found) == 21
    assert found[-1].key is None
    assert str(found[-1].error).startswith("not a Parquet file, or not all of it: ")
