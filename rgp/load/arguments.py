"""The arguments of ``rgp-bench serve``."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from rgp.bench_cli import picture
from rgp.cli import Parser
from rgp.load.images import SIZE

DESCRIPTION = f"""Send images to a running rgp-serve at a given rate, whether or not earlier ones have been answered (an
open loop), and time each answer from the moment at which its request was meant to leave. Without --images it sends
JPEGs that it makes, {SIZE[0]} x {SIZE[1]}, which cost a decoder what photographs cost."""

EPILOG = """examples:
  rgp-bench serve http://127.0.0.1:8000 --rate 50 --duration 30
  rgp-bench serve http://127.0.0.1:8000 --rates 10,20,40,80 --plot sweep.svg -o sweep.json
  rgp-bench serve http://127.0.0.1:8000 --p99 15      the highest rate whose p99 is at most 15 ms, nothing refused"""

KEY = "RGP_API_KEY"


def parser() -> Parser:
    """The command's."""
    layout = argparse.RawDescriptionHelpFormatter
    new = Parser(prog="rgp-bench serve", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout)
    add = new.add_argument
    add("url", metavar="URL", help="where rgp-serve listens")
    rate = new.add_mutually_exclusive_group()
    rate.add_argument("--rate", type=above_zero, default=50.0, help="requests a second (default: 50)")
    rate.add_argument("--rates", type=rate_list, help="several, one after the other, separated by commas")
    rate.add_argument("--p99", type=above_zero, metavar="MS", help="search the highest rate whose p99 is within MS")
    add("--duration", type=above_zero, default=30.0, help="seconds at each rate (default: 30)")
    add("--warmup", type=not_negative, default=2.0, help="seconds before that, not counted (default: 2)")
    add(
        "--arrivals",
        choices=("poisson", "constant"),
        default="poisson",
        help="the pauses between requests: random, or all alike (default: poisson)",
    )
    add("--timeout", type=above_zero, default=10.0, help="seconds that a request waits for its answer (default: 10)")
    add("--bound", type=above_zero, metavar="MS", help="goodput counts answers within MS (default: --p99 or --timeout)")
    add("--images", type=Path, metavar="DIR", help="send the JPEG, PNG and WebP files of this folder")
    add("--seed", type=whole, default=0, help="of the arrivals and the images (default: 0)")
    add("--key", help=f"the service's API key (default: ${KEY}, which other users of the machine cannot see)")
    add("--json", action="store_true", help="print JSON instead of tables")
    add("-o", "--output", type=_output, metavar="FILE", help="write the JSON into a file")
    add("--plot", type=picture, metavar="FILE", help="draw it into a file that ends in .svg or .png")
    return new


def above_zero(text: str) -> float:
    """A number above zero, for argparse."""
    if (value := _number(text)) <= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return value


def not_negative(text: str) -> float:
    """A number from zero, for argparse."""
    if (value := _number(text)) < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0")
    return value


def whole(text: str) -> int:
    """A whole number from zero, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0")
    return int(text)


def rate_list(text: str) -> tuple[float, ...]:
    """Rates separated by commas, for argparse."""
    return tuple(above_zero(part.strip()) for part in text.split(","))


def _number(text: str) -> float:
    """-1 for what is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return -1.0
    return value if math.isfinite(value) else -1.0


def _output(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"'{text}' cannot be written: name a file in a folder that can be")
    return path
