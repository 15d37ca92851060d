"""``rgp-serve``: serve one bundle over HTTP."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rgp.bundle import Bundle
from rgp.cli import Parser
from rgp.errors import RgpError, UsageError
from rgp.serve import logs, options
from rgp.serve.engine_threads import ended
from rgp.serve.keys import Keys, new_key
from rgp.serve.metrics import Metrics
from rgp.serve.models import Models
from rgp.serve.server import BACKLOG, Server
from rgp.serve.service import Service
from rgp.serve.settings import Settings

SWITCH_SECONDS = 0.0005
"""How long a thread may hold the interpreter while the event loop waits for it; Python's own 5 ms would delay a 429."""

ENGINE_SECONDS = 5.0
"""For what engines still run when all requests have been answered: a pair of the baseline lane."""

DESCRIPTION = """\
Serve a bundle that rgp-compile wrote: POST an image to /classify, get its most probable classes, where the
milliseconds went, and the dense network's time, measured live beside the compiled one's. A page for people is at /.
"""
EXAMPLES = """\
examples:
  rgp-serve runs/demo/bundle
  curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' 'http://127.0.0.1:8000/classify?top_k=3'
  curl -F image=@cat.jpg http://127.0.0.1:8000/classify
  curl http://127.0.0.1:8000/latency
  rgp-serve --new-key shop >> keys.toml; rgp-serve runs/demo/bundle --keys keys.toml --host 0.0.0.0

One line is printed once the service listens. How to share the cores is measured at the first start, which takes some
seconds, and kept. /readyz answers 200 while a canary inference is right, /openapi.json describes every request and
answer. SIGTERM lets running requests end and exits with 0; SIGHUP loads the bundle's folder anew. docs/serving.md says
how to size, secure and watch it.
"""


def serve(argv: Sequence[str] | None) -> None:
    """Serve until SIGTERM or Ctrl-C; raises RgpError for what a user can mend."""
    arguments = _parser().parse_args(argv)
    if arguments.new_key is not None:
        key, table = new_key(arguments.new_key)
        print(f"the key, for its user alone: {key}", file=sys.stderr)  # stdout goes into the file of hashes
        print(table, end="")
        return
    if arguments.bundle is None:
        raise UsageError("name the folder of a bundle: rgp-serve DIR")
    settings = options.settings(arguments)
    _on_stop_signals(_leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # till there is something to reload
    Bundle.open(arguments.bundle).require_images()
    keys = Keys.read(Path(settings.keys)) if settings.keys else Keys()
    with _listen(settings.host, settings.port) as listener:  # before the engines: a port in use is known at once
        _run(arguments.bundle, settings, keys, listener)


def _run(bundle: Path, settings: Settings, keys: Keys, listener: socket.socket) -> None:
    metrics = Metrics()
    models = Models.of(bundle, settings, metrics.batch)
    service = Service(models, settings, metrics, keys)
    about, plan = models.active.engine.describe(), models.active.plan
    address = f"{_in_url(settings.host)}:{listener.getsockname()[1]}"
    server = Server(
        service,
        f"rgp-serve: {models.active.model.name} on http://{address} "
        f"(engine {about['engine']} {about['version']}, {plan.lanes} x {plan.threads} threads)",
    )
    logs.install()
    sys.setswitchinterval(SWITCH_SECONDS)
    # uvicorn raises the signal that stopped it once more when it has ended: then nothing more shall happen
    _on_stop_signals(server.handle_exit)
    signal.signal(signal.SIGHUP, server.handle_hangup)
    gc.collect()
    gc.freeze()  # what is there now stays: to look through it again and again would hold up answers
    server.run(sockets=[listener])
    if not ended(ENGINE_SECONDS):
        logging.shutdown()
        os._exit(0)  # all were answered; what hangs in an engine must not see the interpreter end


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
    parser = Parser(
        prog="rgp-serve",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bundle", metavar="DIR", type=Path, nargs="?", help="a bundle; its files are checked against their hashes"
    )
    parser.add_argument(
        "--new-key", metavar="NAME", help="make an API key, print its table for --keys (the key: on stderr), then end"
    )
    options.add(parser)
    return parser
