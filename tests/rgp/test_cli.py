"""guarded: what a command's failures become."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from rgp import errors
from rgp.cli import guarded


def raising(error: BaseException) -> int:
    def command(argv: Sequence[str] | None) -> None:
        raise error

    return guarded(command, [], "rgp-x")


def test_success_is_0_and_arguments_pass_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(print, ["--seed", "3"], "rgp-x") == 0
    assert capsys.readouterr() == ("['--seed', '3']\n", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("bad flag"), 2),
        (errors.RgpError("bad flag"), 1),
        (errors.GraphError("bad flag"), 1),
        (errors.VerificationError("bad flag"), 1),
        (errors.ImageTooLargeError("bad flag"), 1),
    ],
)
def test_an_error_of_ours_is_one_line_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], error: errors.RgpError, code: int
) -> None:
    assert raising(error) == code
    assert capsys.readouterr() == ("", "rgp-x: error: bad flag\n")


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    raising(errors.RgpError("size mismatch:\n\tgot 3\r\n\twanted 4"))
    assert capsys.readouterr().err == "rgp-x: error: size mismatch: got 3 wanted 4\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.npy"), "a.npy: No such file or directory"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError("cannot"), "cannot"),
    ],
)
def test_an_error_of_the_system_names_its_file(
    capsys: pytest.CaptureFixture[str], error: OSError, message: str
) -> None:
    assert raising(error) == 1
    assert capsys.readouterr().err == f"rgp-x: error: {message}\n"


def test_ctrl_c_is_130_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "rgp-x: error: interrupted\n"


@pytest.mark.parametrize("error", [ZeroDivisionError(), AssertionError(), SystemExit(2)])
def test_a_bug_of_ours_and_an_exit_keep_their_way(error: BaseException) -> None:
    with pytest.raises(type(error)):
        raising(error)


@pytest.mark.parametrize("lines", [1, 100_000])  # less than a buffer, which is written at exit, and more
def test_a_reader_that_went_away_is_no_error(lines: int) -> None:
    program = (
        "import sys; from rgp.cli import guarded\n"
        "sys.stdin.readline()  # until the reader has gone\n"
        f"sys.exit(guarded(lambda argv: [print('line', i) for i in range({lines})], [], 'rgp-x'))"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, env=buffered
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, complaints = process.communicate(b"\n")
    assert (process.returncode, complaints) == (0, b"")


def test_a_missing_package_names_the_extra_that_brings_it(capsys: pytest.CaptureFixture[str]) -> None:
    def needs(_: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch._C")

    assert guarded(needs, None, "rgp-train") == 1
    assert capsys.readouterr().err == (
        "rgp-train: error: needs torch, which is not installed: pip install 'rgp[train]'\n"
    )


def test_a_missing_module_of_our_own_is_our_bug() -> None:
    def broken(_: object) -> None:
        raise ModuleNotFoundError("No module named 'rgp.nothing'", name="rgp.nothing")

    with pytest.raises(ModuleNotFoundError):
        guarded(broken, None, "rgp-train")
