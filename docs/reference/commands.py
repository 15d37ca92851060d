"""The commands, from their own parsers: each is asked for ``--help``, and its parser is read instead of printed."""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from docs.reference.markdown import code, fence, paragraphs, prose, table
from rgp.train.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
LED = {"rgp-train": tuple(COMMANDS), "rgp-bench": ("serve",)}
"""Subcommands that a command's main hands on by itself, before any parser knows of them."""


def scripts() -> dict[str, str]:
    """What ``pyproject.toml`` installs: command -> module:function."""
    found: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    return found


def pages() -> dict[str, str]:
    """A page for each command that is installed, its subcommands included."""
    return {command: _page(command) for command in scripts()}


def parsers(command: str) -> Iterator[argparse.ArgumentParser]:
    """The parser of a command, then those of its subcommands."""
    first = _parser(command)
    yield first
    for action in first._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()
    for name in LED.get(command, ()):
        yield _parser(command, name)


class _AskedError(Exception):
    """Carries the parser that was to print its help."""


def _parser(command: str, *subcommand: str) -> argparse.ArgumentParser:
    module, _, function = scripts()[command].partition(":")
    main: Callable[[list[str]], int] = getattr(import_module(module), function)

    def ask(parser: argparse.ArgumentParser, file: object = None) -> NoReturn:
        raise _AskedError(parser)

    with patch.object(argparse.ArgumentParser, "print_help", ask):
        try:
            main([*subcommand, "--help"])
        except _AskedError as asked:
            parser: argparse.ArgumentParser = asked.args[0]
            return parser
    raise AssertionError(f"{command} {' '.join(subcommand)} --help printed no help")


def _page(command: str) -> str:
    first, *rest = parsers(command)
    return "\n\n".join([f"# {command}", *_described(first), *(part for each in rest for part in _subcommand(each))])


def _subcommand(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {parser.prog}"
    yield from _described(parser)


def _described(parser: argparse.ArgumentParser) -> Iterator[str]:
    if parser.description:
        yield prose(inspect.cleandoc(parser.description))
    usage = " ".join(parser.format_usage().removeprefix("usage:").split())
    yield fence(textwrap.fill(usage, 100, subsequent_indent="    ", break_on_hyphens=False))
    for group in parser._action_groups:
        rows = [_row(parser, action) for action in group._group_actions if action.help != argparse.SUPPRESS]
        if rows:
            title = {"positional arguments": "argument", "options": "option"}.get(group.title or "", group.title or "")
            yield table([title, "what it does"], rows)
    if parser.epilog:
        yield paragraphs(parser.epilog)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    """One option with its value, and its text."""
    if isinstance(action, argparse._SubParsersAction):
        listed = "; ".join(f"`{each.dest}`: {prose(each.help or '')}" for each in action._choices_actions)
        return [code(str(action.metavar)), listed]
    formatter: Any = parser._get_formatter()
    default = str(action.metavar or action.dest) if not action.option_strings else action.dest.upper()
    value = formatter._format_args(action, default) if action.nargs != 0 else ""
    text = formatter._expand_help(action) if action.help else ""
    names = ", ".join(code(name) for name in action.option_strings)
    return [f"{names} {code(value)}".strip(), prose(re.sub(r"\s+", " ", text))]
