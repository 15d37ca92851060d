"""The tutorial keeps its word: its commands, run in order by one shell in an empty folder, say what it shows."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import Block, blocks

PAGE = "tutorial.md"
MARK = "=== block"
PORT = "8000"
EPOCHS = "epochs: 6"


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def run(folder: Path, commands: list[str], seconds: float) -> list[str]:
    """What each block of commands printed; nothing of them is left running."""
    script = "\n".join(f"echo '{MARK}'\n{command}" for command in commands)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",  # the machine is shared
        "XDG_CACHE_HOME": str(folder / "cache"),
        "COLUMNS": "120",
    }
    shell = subprocess.Popen(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=seconds)
    finally:
        with suppress(ProcessLookupError):  # the service, where a command after it failed
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert shell.returncode == 0, output
    return output.split(f"{MARK}\n")[1:]


def shape(value: Any) -> Any:
    """Names and types, of a list those of its first entry; numbers are numbers."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return float if isinstance(value, int | float) else type(value)


def words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]{3,}", text))


@pytest.mark.parametrize("epochs", [pytest.param(6, marks=pytest.mark.slow), 2])
def test_every_command_of_the_tutorial_works_and_prints_what_the_page_shows(tmp_path: Path, epochs: int) -> None:
    page = blocks(PAGE)
    claimed: list[tuple[int, Block]] = []  # which run of commands an output belongs to
    commands: list[str] = []
    for block in page:
        if block.language == "bash":
            commands.append(block.text)
        elif block.language in ("text", "json") and commands:
            claimed.append((len(commands) - 1, block))
    script = "\0".join(commands)
    assert script.count(EPOCHS) == 1
    script = script.replace(f":{PORT}", f":{(port := free_port())}").replace(f"--port {PORT}", f"--port {port}")
    printed = run(tmp_path, script.replace(EPOCHS, f"epochs: {epochs}").split("\0"), seconds=900)

    assert len(printed) == len(commands)
    assert len(claimed) >= 4
    for index, block in claimed:
        if block.language == "json":
            answer = json.loads(printed[index])
            assert shape(answer) == shape(json.loads(block.text))
        else:
            assert words(block.text) <= words(printed[index]), printed[index]
    if epochs > 2:
        right = [float(found) for found in re.findall(r"top-1 ([\d.]+)%", "".join(printed))]
        assert max(right) > 85  # the page says about 92
        report = json.loads((tmp_path / "bundle" / "report.json").read_text())
        assert report["equivalence"]["top1_agreement"] == 1


def test_the_tutorial_shows_no_command_that_is_not_run() -> None:
    for block in blocks(PAGE):
        assert block.language in ("bash", "text", "json", "sh")
        if block.language == "sh":  # the installation, which is where these tests run
            assert words(block.text) <= words("make install source venv bin activate mkdir tutorial")
        if block.language != "bash":
            assert not re.search(r"^(rgp-\w+|curl|python|kill) ", block.text, re.MULTILINE)
