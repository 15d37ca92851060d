"""``rgp-serve``: serve one bundle over HTTP."""

from __future__ import annotations

import argparse
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.environment import available_cores
from rgp.errors import RgpError
from rgp.serve.app import MAX_BODY_BYTES, create_app

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75  # must outlast the proxy's, and 60 is the proxies' usual figure
SHUTDOWN_SECONDS = 10

DESCRIPTION = """\
Serve a bundle that rgp-compile wrote: POST an image to /classify, get its most probable classes, where the
milliseconds went, and the dense baseline that was measured beside the compiled engine.
"""
EXAMPLES = """\
examples:
  rgp-serve runs/demo/bundle
  curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' 'http://127.0.0.1:8000/classify?top_k=3'
  curl -F image=@cat.jpg http://127.0.0.1:8000/classify

One line is printed once the service listens. /readyz answers 200 when a first inference was right, /openapi.json
describes every request and answer. SIGTERM and Ctrl-C let running requests end and exit with 0.
"""


def serve(argv: Sequence[str] | None) -> None:
    """Serve until SIGTERM or Ctrl-C; raises RgpError for what a user can mend."""
    arguments = _parser().parse_args(argv)
    _on_stop_signals(_leave)
    bundle = Bundle.open(arguments.bundle)
    bundle.require_images()
    with _listen(arguments.host, arguments.port) as listener:  # before the engine: a port in use is known at once
        engine = bundle.target.start(bundle.files["compiled.onnx"], threads=arguments.threads)
        _run(bundle, engine, listener, arguments)


def _run(bundle: Bundle, engine: Engine, listener: socket.socket, arguments: argparse.Namespace) -> None:
    about = engine.describe()
    address = f"{_in_url(arguments.host)}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        create_app(bundle, engine, max_body_bytes=arguments.max_body_bytes),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        backlog=BACKLOG,
    )
    server = _Server(
        config,
        f"rgp-serve: {bundle.name} on http://{address} "
        f"(engine {about['engine']} {about['version']}, {about['threads']} threads)",
    )
    # uvicorn raises the signal that stopped it once more when it has ended: then nothing more shall happen
    _on_stop_signals(server.handle_exit)
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Prints one line once it listens, for people and for scripts that asked for a free port."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self.announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.announcement, flush=True)


def _on_stop_signals(handler: Callable[..., None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no host can have
        raise RgpError(f"no host is called '{host}': give --host an address of this machine") from error
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise RgpError(
            f"cannot listen on {_in_url(host)}:{port}: {os.strerror(error.errno or 0)}: "
            "give another --port (0: a free one) or --host"
        ) from error


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "rgp-serve",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", metavar="DIR", type=Path, help="a bundle; its files are checked against their hashes")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is every network (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=_whole(0, 65535), default=8000, help="0 takes a free one and prints it (default: %(default)s)"
    )
    parser.add_argument(
        "--threads",
        type=_whole(1, 1024),
        default=available_cores(),
        metavar="N",
        help="threads that one inference uses (default: the cores this process may use, %(default)s)",
    )
    parser.add_argument(
        "--max-body-bytes",
        type=_whole(1, 1 << 40),
        default=MAX_BODY_BYTES,
        metavar="N",
        help="larger requests are refused with 413 (default: %(default)s)",
    )
    return parser


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from {low} to {high}")
        return value

    return parse
