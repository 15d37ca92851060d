"""A bundle is written whole or not at all, and read only if nothing in it was changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rgp.bundle import MAX_MANIFEST_BYTES, Bundle
from rgp.errors import BundleError, UsageError
from rgp.preprocess import Preprocess

FILES = {"dense.onnx": b"dense", "compiled.onnx": b"compiled", "report.json": b'{"a": 1}', "report.html": b"<p>"}
PREPROCESS = Preprocess(channels=1, size=8, resize=9, mean=(0.5,), std=(0.25,))


def write(path: Path, files: dict[str, bytes] = FILES) -> Bundle:
    return Bundle.write(
        path, name="net", architecture="small", labels=("cat", "dög"), preprocess=PREPROCESS, files=files
    )


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def refused(path: Path, message: str) -> None:
    with pytest.raises(BundleError) as error:
        Bundle.open(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "parent" / "bundle").path


def change_manifest(path: Path, change: Callable[[Any], Any]) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    changed = change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest if changed is None else changed))


def test_what_was_written_is_read_back(path: Path) -> None:
    bundle = Bundle.open(path)
    assert (bundle.name, bundle.architecture, bundle.labels) == ("net", "small", ("cat", "dög"))
    assert (bundle.preprocess, dict(bundle.files), bundle.report) == (PREPROCESS, FILES, {"a": 1})
    assert bundle.sha256 == json.loads((path / "manifest.json").read_text())["files"]["compiled.onnx"]["sha256"]


def test_how_many_inputs_are_run_together_is_kept(tmp_path: Path) -> None:
    written = Bundle.write(
        tmp_path / "b", name="n", architecture="a", labels=("x",), preprocess=PREPROCESS, files=FILES,
        at_once={"compiled": 2},
    )  # fmt: skip
    assert Bundle.open(written.path).at_once == {"compiled": 2}
    change_manifest(written.path, lambda manifest: manifest.pop("at_once") and manifest)  # as older ones have it
    assert Bundle.open(written.path).at_once == {}


@pytest.mark.parametrize("value", [{"compiled": 0}, {"dense": -1}, {"dense": "many"}, [1], 3, None])
def test_a_number_of_inputs_that_cannot_be_is_refused(path: Path, value: Any) -> None:
    change_manifest(path, lambda manifest: manifest.update(at_once=value))
    refused(path, "compile again")


def test_a_bundle_may_be_moved_but_not_renamed_inside(path: Path, tmp_path: Path) -> None:
    moved = path.rename(tmp_path / "elsewhere")
    assert Bundle.open(moved).name == "net"
    (moved / "dense.onnx").rename(moved / "DENSE.onnx")
    refused(moved, "dense.onnx: missing")


class TestWriting:
    def test_into_an_empty_folder_is_accepted(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert write(tmp_path / "empty").files == FILES

    def test_over_a_folder_with_anything_in_it_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / ".hidden").touch()
        with pytest.raises(UsageError, match="full: exists and is not an empty folder"):
            write(tmp_path / "full")
        assert names(tmp_path) == ["full"]

    def test_over_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(UsageError, match="file: exists"):
            write(tmp_path / "file")
        assert (tmp_path / "file").read_text() == "mine"

    def test_that_fails_half_way_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            write(tmp_path / "bundle", {**FILES, "no/such/folder": b""})
        assert names(tmp_path) == []

    def test_that_could_not_be_opened_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match=r"lists no report\.json"):
            write(tmp_path / "bundle", {file: FILES[file] for file in ("dense.onnx", "compiled.onnx")})
        assert names(tmp_path) == []


class TestAChangedBundleIsRefused:
    @pytest.mark.parametrize("file", FILES)
    def test_when_a_file_is_missing(self, file: str, path: Path) -> None:
        (path / file).unlink()
        refused(path, f"{path / file}: missing: compile again, or copy the whole bundle")

    @pytest.mark.parametrize("file", FILES)
    @pytest.mark.parametrize("content", [b"", b"x", b"as long"])
    def test_when_a_file_is_another(self, file: str, content: bytes, path: Path) -> None:
        (path / file).write_bytes(content)
        refused(path, f"{path / file}: ")

    @pytest.mark.parametrize("file", FILES)
    def test_when_one_bit_of_a_file_is_flipped(self, file: str, path: Path) -> None:
        data = bytearray(FILES[file])
        data[-1] ^= 1
        (path / file).write_bytes(data)
        refused(path, f"{path / file}: changed since the bundle was written")

    def test_when_a_file_has_grown(self, path: Path) -> None:
        (path / "dense.onnx").write_bytes(b"dense and more")
        refused(path, "dense.onnx: changed since the bundle was written")

    @pytest.mark.parametrize("required", ["dense.onnx", "compiled.onnx", "report.json"])
    def test_when_a_required_file_is_not_listed(self, required: str, path: Path) -> None:
        change_manifest(path, lambda manifest: manifest["files"].pop(required) and None)
        refused(path, f"lists no {required}; compile again")

    def test_when_a_file_is_a_folder(self, path: Path) -> None:
        (path / "dense.onnx").unlink()
        (path / "dense.onnx").mkdir()
        refused(path, "dense.onnx: ")

    def test_when_a_file_is_a_pipe_that_would_never_end(self, path: Path) -> None:
        (path / "dense.onnx").unlink()
        os.mkfifo(path / "dense.onnx")
        refused(path, "dense.onnx: ")


class TestAForeignManifestIsRefused:
    @pytest.mark.parametrize("text", ["", "{", "\x00", "\xff", "[" * 100_000, '{"format": "rgp-bundle/1",'])
    def test_when_it_is_not_json(self, text: str, path: Path) -> None:
        (path / "manifest.json").write_text(text, "latin-1")
        refused(path, "manifest.json: not JSON")

    @pytest.mark.parametrize("value", [[], "rgp-bundle/1", 1, None])
    def test_when_it_is_no_object(self, value: Any, path: Path) -> None:
        (path / "manifest.json").write_text(json.dumps(value))
        refused(path, "not an object")

    @pytest.mark.parametrize("value", [None, 1, "rgp-bundle/2", "rgp-checkpoint/1"])
    def test_when_its_format_is_another(self, value: Any, path: Path) -> None:
        change_manifest(path, lambda manifest: manifest.update(format=value))
        refused(path, f"its format is {value!r}, this rgp reads 'rgp-bundle/1'")

    @pytest.mark.parametrize("key", ["labels", "preprocess", "model", "files"])
    @pytest.mark.parametrize("value", [None, 1, "text", {"a": 1}, {}, []])
    def test_when_a_value_has_another_type(self, key: str, value: Any, path: Path) -> None:
        change_manifest(path, lambda manifest: manifest.update({key: value}))
        if key == "preprocess" and value is None:  # a network that takes no images
            with pytest.raises(BundleError, match="takes numbers, not images"):
                Bundle.open(path).require_images()
        else:
            refused(path, "manifest.json: ")

    @pytest.mark.parametrize("key", ["labels", "preprocess", "model", "files"])
    def test_when_a_value_is_missing(self, key: str, path: Path) -> None:
        change_manifest(path, lambda manifest: manifest.pop(key) and None)
        refused(path, f"manifest.json: KeyError: '{key}'")

    @pytest.mark.parametrize(
        "entry", [None, 5, {}, {"bytes": 5}, {"bytes": "x", "sha256": ""}, {"bytes": 1e999, "sha256": ""}]
    )
    def test_when_a_file_is_badly_described(self, entry: Any, path: Path) -> None:
        change_manifest(path, lambda manifest: manifest["files"].update({"dense.onnx": entry}))
        refused(path, "manifest.json: ")

    @pytest.mark.parametrize("change", [{"size": 0}, {"channels": 2}, {"std": [0.0]}, {"mean": [1, 2]}, {"size": "x"}])
    def test_when_its_preprocessing_cannot_be(self, change: dict[str, Any], path: Path) -> None:
        change_manifest(path, lambda manifest: manifest["preprocess"].update(change))
        refused(path, "preprocess: ")

    @pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", ".", "", "a/b", "nul\0", "a\nb"])
    def test_when_it_names_a_file_outside(self, name: str, path: Path) -> None:
        (path.parent / "secret").write_bytes(b"")
        empty = {"bytes": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
        change_manifest(path, lambda manifest: manifest["files"].update({name: empty}))
        refused(path, "is no plain file name")

    def test_when_it_is_missing(self, path: Path) -> None:
        (path / "manifest.json").unlink()
        refused(path, "manifest.json: missing")

    def test_when_it_is_too_large(self, path: Path) -> None:
        os.truncate(path / "manifest.json", MAX_MANIFEST_BYTES + 1)
        refused(path, f"a manifest has at most {MAX_MANIFEST_BYTES}")


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "nothing: no such folder: make a bundle with rgp-compile")
    (tmp_path / "file").touch()
    refused(tmp_path / "file", "file: no such folder")


def test_a_report_that_is_not_json_is_refused_when_it_is_read(tmp_path: Path) -> None:
    bundle = write(tmp_path / "b", {**FILES, "report.json": b"[1]"})
    with pytest.raises(BundleError, match=r"report\.json: holds list, not an object"):
        bundle.report  # noqa: B018
