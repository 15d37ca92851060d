"""``rgp-serve`` as a process: how it starts, refuses to start, and ends."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rgp.bundle import Bundle
from rgp.serve.__main__ import main
from tests.serve.serving import run_to_end, serving
from tests.serve.tiny import encoded, picture, write_bundle

JPEG = encoded(picture(), "JPEG")
WITHOUT_TORCH = """
import sys
forbidden = {"torch", "torchvision", "onnx", "onnx_ir", "onnxscript", "rgp.train", "rgp.compile", "rgp.models"}

def is_forbidden(name):
    return any(name == root or name.startswith(root + ".") for root in forbidden)

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if is_forbidden(name):
            raise ImportError(f"{name} must not be imported by the service")

sys.meta_path.insert(0, Blocker())
from rgp.serve.__main__ import main
code = main(sys.argv[1:])
print([name for name in sys.modules if is_forbidden(name)])
sys.exit(code)
"""


@pytest.fixture(autouse=True)
def _signal_handlers_as_before() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def test_it_says_what_it_serves_and_where(bundle: Bundle, tmp_path: Path) -> None:
    with serving(bundle.path, tmp_path / "log") as server:
        assert server.announcement.startswith(f"rgp-serve: tiny-net on http://127.0.0.1:{server.port} (engine ort ")
        assert server.announcement.endswith(" x 1 threads)\n")
        assert httpx.get(f"{server.url}/readyz").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_it_with_code_0_though_connections_are_open(
    number: int, bundle: Bundle, tmp_path: Path
) -> None:
    with serving(bundle.path, tmp_path / "log") as server, httpx.Client(base_url=server.url) as client:
        assert client.post("/classify", content=JPEG).status_code == 200
        assert server.stop(number) == 0
        (line,) = server.log.read_text().splitlines()
        assert {"message": "request", "path": "/classify", "status": 200}.items() <= json.loads(line).items()


def test_it_serves_where_torch_and_onnx_cannot_be_imported(bundle: Bundle, tmp_path: Path) -> None:
    command = (sys.executable, "-c", WITHOUT_TORCH)
    with serving(bundle.path, tmp_path / "log", command=command) as server:
        response = httpx.post(f"{server.url}/classify", content=JPEG)
        assert (response.status_code, len(response.json()["predictions"])) == (200, 5)
        assert server.stop() == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == "[]\n"


def test_a_port_in_use_is_one_line_and_code_1(bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_to_end(str(bundle.path), "--port", str(port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"rgp-serve: error: cannot listen on 127.0.0.1:{port}: Address already in use: "
        "give another --port (0: a free one) or --host\n"
    )


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "203.0.113.1"])
def test_a_host_that_is_not_ours_is_one_line_and_code_1(
    host: str, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle.path), "--host", host, "--port", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert host in line
    assert "--host" in line


def test_a_missing_bundle_is_one_line_and_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing"), "--port", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"rgp-serve: error: {tmp_path}/nothing: no such folder: make a bundle with rgp-compile"


@pytest.mark.parametrize("file", ["dense.onnx", "compiled.onnx", "report.json"])
def test_a_changed_bundle_is_one_line_and_code_1(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path / "b").path
    with (path / file).open("r+b") as opened:
        opened.seek(20)
        opened.write(b"!")
    assert main([str(path), "--port", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rgp-serve: error: {path / file}: changed since the bundle was written")


def test_a_bundle_whose_network_is_none_is_one_line_and_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_bundle(tmp_path / "b", model=b"not ONNX").path
    assert main([str(path), "--port", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "refuses the model" in line


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--port", "65536", "'65536': give a whole number from 0 to 65535"),
        ("--port", "-1", "'-1': give a whole number from 0 to 65535"),
        ("--port", "http", "'http': give a whole number from 0 to 65535"),
        ("--threads", "-1", "'-1': give a whole number from 0"),
        ("--max-body-bytes", "0", "'0': give a whole number from 1"),
        ("--colour", "red", "unrecognized arguments"),
    ],
)
def test_a_wrong_option_is_code_2(
    option: str, value: str, message: str, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle.path), f"{option}={value}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_help_shows_how_to_send_an_image(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "curl -F image=@cat.jpg" in capsys.readouterr().out
