"""rgp-graph: help, command lines, make; what is refused, in one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rgp
from rgp.families import parse
from rgp.graph import Graph
from rgp.graph_cli import COMMANDS, main
from rgp.graph_cli.spellings import SPELLINGS


@pytest.mark.parametrize("spelling", ["ring:16_4", "random:16_4?seed=3", "affine:16_7?first=2"])
def test_make_writes_the_graph_that_the_spelling_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spelling: str
) -> None:
    path = tmp_path / "g.npy"
    assert main(["make", spelling, "-o", str(path)]) == 0
    (graph,) = parse(spelling)
    assert np.array_equal(Graph.load(path).adjacency, graph.adjacency)
    assert capsys.readouterr().out.startswith(f"{path}: {graph.spelling}, ASPL {graph.aspl:.4f}")


@pytest.mark.parametrize(
    "arguments", ["make ring:16_4 -o g.npy", "plot ring:16_4 -o g.png", "compare ring:8_4 ring:8_2 -o g.svg"]
)
def test_a_file_is_replaced_only_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(arguments.split()[-1])
    path.write_bytes(b"mine")
    assert main(arguments.split()) == 2
    assert capsys.readouterr().err == (
        f"rgp-graph: error: {path}: exists: choose another name with -o, or add --force to replace it\n"
    )
    assert path.read_bytes() == b"mine"
    assert main([*arguments.split(), "--force"]) == 0
    assert path.read_bytes() != b"mine"
    assert [path] == list(Path().iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            "make affine:16_7?rotate=1 -o g.npy",
            2,
            "5 graphs that layers take in turn, a file holds one: make one of",
        ),
        ("make affine:16_4?rotate=1 -o g.npy", 2, "a file holds one, and these mix only together: give the spelling"),
        ("make affine:16_4 -o g.npy", 1, "not connected"),
        ("make ring:9_3 -o g.npy", 1, "ring:9_3: N * d is 27, which is odd"),
        ("make ring:16_4 -o g.txt", 2, "g.txt: the name must end in .npy: give -o g.txt.npy"),
        ("make ring:16_4 -o no/where/g.npy", 2, "no/where/g.npy: there is no folder no/where: make it, or choose"),
        ("make ring:16_4 -o text.npy/g.npy", 2, "text.npy/g.npy: there is no folder text.npy"),
        ("make ring:16_4 -o folder.npy --force", 2, "folder.npy: is not a regular file, so nothing replaces it"),
        ("make ring:16_4 -o pipe.npy --force", 2, "pipe.npy: is not a regular file"),
        ("make ring:16_4 -o dangling.npy", 2, "dangling.npy: exists"),
        ("make ring:16_4", 2, "the following arguments are required: -o/--output (see rgp-graph make --help)"),
        ("plot ring:16_4", 2, "the following arguments are required: -o/--output (see rgp-graph plot --help)"),
        ("plot ring:16_4 -o g.jpg", 2, "g.jpg: the name must end in .png or .svg: give -o g.jpg.png"),
        ("plot ring:16_4 -o g", 2, "g: the name must end in .png or .svg: give -o g.png"),
        ("plot ring:16_4 -o no/g.svg", 2, "no/g.svg: there is no folder no"),
        ("plot rnig:16_4 -o g.png", 2, "did you mean 'ring'?"),
        ("plot missing.npy -o g.png", 1, "missing.npy: No such file or directory"),
        ("compare ring:16_4", 2, "compare needs two graphs or more, this is one: rgp-graph info ring:16_4"),
        ("compare ring:16_4 rnig:16_4", 2, "did you mean 'ring'?"),
        ("compare ring:16_4 text.npy -o g.png", 1, "text.npy: not a .npy matrix"),
        ("compare " + 9 * "ring:16_4 " + "-o g.png", 2, "-o draws at most 8 graphs, these are 9: leave some out"),
        ("compare ring:8_4 ring:8_2 -o g.pdf", 2, "g.pdf: the name must end in .png or .svg"),
        ("info missing.npy", 1, "missing.npy: No such file or directory"),
        ("info folder.npy", 1, "folder.npy: Is a directory"),
        ("info text.npy", 1, "text.npy: not a .npy matrix"),
        ("info pipe.npy", 1, "pipe.npy: not a regular file"),
        ("info directed.npy --json", 1, "directed.npy: not symmetric: (0, 1) is 1 but (1, 0) is 0"),
        ("info ring:8_4 --channels 64,,2", 2, "argument --channels: '64,,2' is not a list of channel counts"),
        ("info ring:8_4 --channels 0", 2, "argument --channels: '0' is not a list of channel counts such as 64,256"),
        ("info ring:8_4 --channels ٣", 2, "argument --channels: '٣' is not a list"),
        ("info", 2, "the following arguments are required: GRAPH (see rgp-graph info --help)"),
        ("info --jsn ring:8_4", 2, "unrecognized arguments: --jsn"),
        ("inof ring:8_4", 2, "'inof'"),
        ("", 2, "the following arguments are required: COMMAND (see rgp-graph --help)"),
    ],
)
def test_bad_input_is_one_line_that_leaves_no_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.npy").mkdir()
    Path("text.npy").write_text("0 1\n1 0\n")
    Path("dangling.npy").symlink_to("nowhere")
    os.mkfifo("pipe.npy")
    np.save("directed.npy", np.roll(np.eye(3, dtype=int), 1, axis=1))
    before = sorted(tmp_path.rglob("*"))
    assert main(shlex.split(arguments)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rgp-graph: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("arguments", ["plot ring:8_4 -o g.png", "compare ring:8_4 ring:8_2 -o g.png"])
def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "rgp.graph_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(arguments.split()) == 1
    assert capsys.readouterr().err == (
        "rgp-graph: error: needs matplotlib, which is not installed: pip install 'rgp[graph]'\n"
    )


@pytest.mark.parametrize("arguments", ["--help", *(f"{name} --help" for name in COMMANDS)])
def test_help_is_help(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(arguments))
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 120
    if arguments == "--help":
        assert all(f"  {name} " in shown for name in COMMANDS)
    else:
        assert f"rgp-graph {arguments.split()[0]}" in shown.partition("examples:")[2]


@pytest.mark.parametrize("arguments", ["--help", *(f"{name} --help" for name in ("info", "make", "plot", "compare"))])
def test_help_teaches_the_spelling(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    with pytest.raises(SystemExit):
        main(shlex.split(arguments))
    assert SPELLINGS in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"rgp {rgp.__version__}\n")


@pytest.fixture
def with_a_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("path/to").mkdir(parents=True)
    (graph,) = parse("ring:16_4")
    graph.save(Path("path/to/M0.npy"))


@pytest.mark.usefixtures("with_a_matrix")
def test_every_spelling_in_the_help_is_one() -> None:
    taught = re.findall(r"^  (\S+)   ", SPELLINGS, re.MULTILINE) + re.findall(r"'(.*)'", SPELLINGS)
    assert len(taught) == 10
    for spelling in taught:
        parse(spelling)


@pytest.mark.usefixtures("with_a_matrix")
@pytest.mark.parametrize("name", ["info", "make", "plot", "compare"])
def test_every_example_in_the_help_runs(name: str) -> None:
    examples = COMMANDS[name].EPILOG.partition("examples:\n")[2].splitlines()
    assert examples
    for example in examples:
        command, *arguments = shlex.split(example)
        assert command == "rgp-graph"
        assert main(arguments) == 0, example


@pytest.mark.parametrize("letter", ["\udcff", "\n", "\x1b"])  # the first: a byte that is no UTF-8
def test_a_name_that_cannot_be_shown_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], letter: str
) -> None:
    assert main(["plot", f"{tmp_path}/{letter}.npy", "-o", f"{tmp_path}/g.png"]) == 2
    assert capsys.readouterr() == (
        "", "rgp-graph: error: an argument has letters that cannot be printed: rename the file\n",
    )  # fmt: skip


def test_measuring_needs_neither_matplotlib_nor_numba() -> None:
    program = (
        "import sys; sys.modules.update(matplotlib=None, numba=None); from rgp.graph_cli import main; "
        "sys.exit(main(['compare', 'ring:8_4', 'random:8_4']))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "rgp.graph_cli", "info", "--json", "ring:8_4", "rnig:8_4"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith("rgp-graph: error: ")
    assert ran.stderr.count("\n") == 1
    assert [found["nodes"] for found in json.loads(ran.stdout)] == [8]
