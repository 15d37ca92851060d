"""Engines on disk: what is written comes back, and nothing else does."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.engines.tensorrt.key import Key
from rgp.engines.tensorrt.store import Store, default_folder
from rgp.errors import EngineError

INFINITE = b'{"format": "rgp-tensorrt/1", "bytes": Infinity, "sha256": "", "key": {}}\n'
KEY = Key("tensorrt 11.2", "CUDA 13.2", "Paper 3000 (8.6)", "fp16", (1, 8), None, "ab" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "deep" / "engines")


def file_of(store: Store, key: Key = KEY) -> Path:
    assert store.folder is not None
    return store.folder / f"{key.name}.engine"


@pytest.mark.parametrize("data", [b"", b"\n", b"engine\n{}\n" * 1000])
def test_what_is_stored_comes_back(data: bytes, store: Store) -> None:
    assert store.get(KEY) == (None, "there is none yet")
    assert store.put(KEY, data) == ""
    assert store.get(KEY) == (data, "")
    assert store.get(replace(KEY, precision="fp32")) == (None, "there is none yet")


def test_the_last_one_stored_is_the_one_that_counts(store: Store) -> None:
    store.put(KEY, b"first")
    store.put(KEY, b"second")
    assert store.get(KEY) == (b"second", "")


def test_an_engine_of_another_version_is_stale_and_the_reason_says_which(store: Store) -> None:
    store.put(KEY, b"engine")
    data, why = store.get(replace(KEY, library="tensorrt 11.3", driver="CUDA 13.3"))
    assert data is None
    assert why == (
        "the stored one is stale: library was tensorrt 11.2, is tensorrt 11.3; driver was CUDA 13.2, is CUDA 13.3"
    )


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.booleans())
def test_no_changed_file_gives_an_engine(
    place: int, bit: int, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine = bytes(range(256))
    store = Store(tmp_path_factory.mktemp("store") / "engines")
    store.put(KEY, engine)
    whole = file_of(store).read_bytes()
    place %= len(whole)
    changed = whole[:place] if cut else whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
    file_of(store).write_bytes(changed)
    data, why = store.get(KEY)
    assert data in (None, engine)  # what changed may be a space in the header
    assert data is not None or why


@pytest.mark.parametrize(
    "header", [b"", b"[]\n", b"{}\n", b"null\n", b"[" * 100_000, b"\xff\n", b'{"format": 1}\n', INFINITE]
)
def test_a_file_of_another_format_gives_a_reason(header: bytes, store: Store) -> None:
    store.put(KEY, b"engine")
    file_of(store).write_bytes(header)
    data, why = store.get(KEY)
    assert data is None
    assert why.startswith("the stored one cannot be read")


def test_a_folder_that_others_can_enter_is_not_trusted(store: Store) -> None:
    store.put(KEY, b"engine")
    assert store.folder is not None
    assert store.folder.stat().st_mode & 0o777 == 0o700
    store.folder.chmod(0o755)
    for use in (lambda: store.get(KEY), lambda: store.put(KEY, b"engine")):
        with pytest.raises(EngineError, match="an engine is code: chmod 700 it"):
            use()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file" / "engines")
    assert "Not a directory" in store.put(KEY, b"engine")
    assert store.get(KEY) == (None, "there is none yet")


def test_no_folder_keeps_nothing() -> None:
    store = Store(None)
    assert store.put(KEY, b"engine") == ""
    assert store.get(KEY)[0] is None


def test_what_was_used_least_recently_makes_room(tmp_path: Path) -> None:
    store = Store(tmp_path / "engines", max_bytes=3500)
    keys = [replace(KEY, onnx=name) for name in "abcd"]
    for age, key in enumerate(keys[:3]):
        store.put(key, b"e" * 700)
        os.utime(file_of(store, key), (age, age))
    assert store.get(keys[0])[0] is not None  # used just now
    store.put(keys[3], b"e" * 700)
    assert [store.get(key)[0] is not None for key in keys] == [True, False, True, True]


def test_an_engine_larger_than_the_room_is_kept_all_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path / "engines", max_bytes=100)
    store.put(KEY, b"e" * 700)
    assert store.get(KEY)[0] is not None


def test_the_default_folder_follows_the_xdg_specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "rgp" / "tensorrt"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_folder() == Path.home() / ".cache" / "rgp" / "tensorrt"
