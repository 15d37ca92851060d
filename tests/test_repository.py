"""Guards of the layout: the links, the directions of imports, what may be committed, what is installed."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from setuptools import find_packages  # type: ignore[import-untyped]

from benchmarks.results_page import PAGE, PICTURES, RESULTS, page
from tests import check_wheel

ROOT = Path(__file__).resolve().parents[1]
LINKS = ("compile", "models", "serve", "train")
CORE = "core"
FOLDERS = ("rgp", *LINKS, "tests", "benchmarks", "docs")
SOURCES = sorted({path.resolve() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")})


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that the file names in an import, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
    return frozenset(found)


def uses(path: Path, module: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in imports(path))


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("name", LINKS)
def test_the_links_are_relative_and_lead_to_the_folders_they_name(name: str) -> None:
    link = ROOT / "rgp" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert link.resolve() == (ROOT / name).resolve()
    assert (link / "__init__.py").is_file()


def test_only_rgp_is_packaged() -> None:
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = find_packages(str(ROOT), include=include)
    assert {"rgp", "rgp.engines", *(f"rgp.{name}" for name in LINKS)} <= set(packages)
    assert all(package.split(".")[0] == "rgp" for package in packages)


@pytest.mark.parametrize("name", LINKS)
def test_nothing_installed_is_called_like_a_folder_of_ours(name: str, tmp_path: Path) -> None:
    program = f"import importlib.util as u; raise SystemExit(u.find_spec('{name}') is not None)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert ran.returncode == 0


TORCHLESS = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "onnx"):
            raise ImportError(name + " is not for a service")

sys.meta_path.insert(0, Refuse())
import rgp, rgp.graph, rgp.graph_cli, rgp.families, rgp.bundle, rgp.engines.ort, rgp.measure
import rgp.preprocess, rgp.images, rgp.environment, rgp.errors, rgp.cli, rgp.files
assert not {"torch", "torchvision", "onnx"} & set(sys.modules)
try:
    import torch
except ImportError:
    print("as it should be")
"""


def test_what_a_service_needs_works_where_torch_does_not() -> None:
    ran = subprocess.run([sys.executable, "-c", TORCHLESS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("as it should be\n", "", 0)


# package -> what it must not import (design: data goes through once, left to right)
FORBIDDEN = {
    CORE: ("rgp.models", "rgp.train", "rgp.compile", "rgp.serve"),
    "models": ("rgp.train", "rgp.compile", "rgp.serve"),
    "train": ("rgp.compile", "rgp.serve"),
    "compile": ("rgp.train", "rgp.serve"),
    "serve": ("rgp.models", "rgp.train", "rgp.compile", "torch", "torchvision", "onnx"),
}


def package_of(path: Path) -> str:
    folder = path.relative_to(ROOT).parts[0]
    return CORE if folder == "rgp" else folder


@pytest.mark.parametrize(
    ("package", "module"), [(package, name) for package in FORBIDDEN for name in FORBIDDEN[package]]
)
def test_imports_point_one_way(package: str, module: str) -> None:
    mine = [path for path in SOURCES if package_of(path) == package]
    assert mine
    assert names([path for path in mine if uses(path, module)]) == []


def test_no_import_is_relative_or_names_a_folder_as_a_module() -> None:
    assert names([path for path in SOURCES if any(name.startswith(".") for name in imports(path))]) == []
    assert names([path for path in SOURCES if any(uses(path, folder) for folder in LINKS)]) == []


def test_every_module_says_what_it_is_and_is_short_enough_to_read() -> None:
    assert names([path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]) == []
    assert names([path for path in SOURCES if len(path.read_text().splitlines()) > 350]) == []


@pytest.mark.parametrize("lock", ["requirements.lock", "bootstrap.lock"])
def test_the_lock_pins_every_package_by_hash_and_names_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if entry.strip() and not entry.startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==[^ ;]+( ; [^-]+?)? +--hash=sha256:[0-9a-f]{64}", entry), entry
        assert re.fullmatch(r"( +--hash=sha256:[0-9a-f]{64})+ *", re.sub(r"^.*?(?= +--hash)", "", entry)), entry
    assert "://" not in text
    assert "index" not in text


def committed() -> Iterator[tuple[str, str]]:
    """Name and text of each file that is in the repository, or would be after ``git add .``."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout: this is an unpacked source archive")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            yield name, content.decode()


def found_in_committed(pattern: str) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in committed()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_no_committed_file_names_a_package_registry() -> None:
    hosts = ("pypi", "pythonhosted", "npmjs", "anaconda", "crates", "proxy.golang", "download.pytorch")
    assert found_in_committed(rf"({'|'.join(map(re.escape, hosts))})\.(org|com|io)\b") == []


def test_no_committed_file_names_a_folder_of_one_machine() -> None:
    assert found_in_committed(r"(?<![\w.~$}*-])/(work|root|home|Users)/") == []


def test_committed_links_lead_somewhere_inside() -> None:
    for name, _ in committed():
        path = ROOT / name
        assert path.resolve().is_relative_to(ROOT), name


def wheel_of(path: Path, files: list[str], commands: set[str]) -> Path:
    scripts = "".join(f"{name} = rgp.x:main\n" for name in sorted(commands))
    with zipfile.ZipFile(path, "w") as archive:
        for name in files:
            archive.writestr(name, "")
        archive.writestr("rgp-0.1.0.dist-info/entry_points.txt", f"[console_scripts]\n{scripts}")
        archive.writestr("rgp-0.1.0.dist-info/METADATA", "")
    return path


def test_the_check_of_the_wheel_notices_what_is_missing_and_what_is_too_much(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "rgp").mkdir(parents=True)
    (root / "code").mkdir()
    (root / "rgp" / "linked").symlink_to(Path("..") / "code")
    for name in ("rgp/__init__.py", "rgp/py.typed", "code/__init__.py", "code/page.html", "code/notes.txt"):
        (root / name).touch()
    files = ["rgp/__init__.py", "rgp/py.typed", "rgp/linked/__init__.py", "rgp/linked/page.html"]

    whole = wheel_of(tmp_path / "whole.whl", files, check_wheel.COMMANDS)
    assert check_wheel.differences(whole, root) == []

    broken = wheel_of(tmp_path / "broken.whl", [*files[:2], "code/__init__.py"], {"rgp-graph", "rgp-x"})
    assert check_wheel.differences(broken, root) == [
        "only in the tree: rgp/linked/__init__.py",
        "only in the tree: rgp/linked/page.html",
        "only in the wheel: code/__init__.py",
        *(f"no such command in the wheel: {name}" for name in sorted(check_wheel.COMMANDS - {"rgp-graph"})),
        "unknown command in the wheel: rgp-x",
    ]


def test_the_check_of_the_wheel_runs_as_make_calls_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.check_wheel", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert (ran.returncode, ran.stdout) == (1, f"{tmp_path}: no wheel: build one with make wheel\n")


def test_the_results_page_is_what_the_results_say() -> None:
    assert PAGE.read_text() == page(), "run python -m benchmarks.results_page"
    for picture in PICTURES:
        if (RESULTS / picture).is_file():
            shown = PAGE.parent / "images" / picture
            assert shown.read_bytes() == (RESULTS / picture).read_bytes(), "run python -m benchmarks.results_page"
