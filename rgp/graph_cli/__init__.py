"""``rgp-graph``: search, measure, draw, compare and write regular graphs. One module a subcommand.

A subcommand's module has HELP (one line), EPILOG (examples), ``configure(parser)`` that adds its arguments, and
``run(options)`` that returns the exit code. To add one: write the module, name it in COMMANDS.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Protocol

import rgp
from rgp.cli import Parser, guarded
from rgp.errors import UsageError
from rgp.graph_cli import compare, export, info, listing, make, plot, search
from rgp.graph_cli.spellings import SPELLINGS


class Command(Protocol):
    """What a subcommand's module provides."""

    HELP: str
    EPILOG: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Do it; returns the exit code."""
        ...


COMMANDS: dict[str, Command] = {
    "list": listing,
    "info": info,
    "compare": compare,
    "plot": plot,
    "search": search,
    "make": make,
    "export": export,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``rgp-graph``; returns the exit code."""
    code = 0

    def run(argv: Sequence[str] | None) -> None:
        nonlocal code
        if not all(argument.isprintable() for argument in (sys.argv[1:] if argv is None else argv)):
            raise UsageError("an argument has letters that cannot be printed: rename the file")
        options = _parser().parse_args(argv)
        code = COMMANDS[options.command].run(options)

    return guarded(run, argv, "rgp-graph") or code


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="rgp-graph",
        description="Search, measure, draw, compare and write regular graphs.",
        epilog=f"{SPELLINGS}\n`rgp-graph COMMAND --help` has examples.",
        formatter_class=layout,
    )
    parser.add_argument("--version", action="version", version=f"rgp {rgp.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        described = f"{module.HELP[0].upper()}{module.HELP[1:]}."
        module.configure(
            commands.add_parser(
                name, help=module.HELP, description=described, epilog=module.EPILOG, formatter_class=layout
            )
        )
    return parser
