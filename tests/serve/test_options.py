"""Each setting is declared once, and can be given by a flag, by the environment, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.bundle import Bundle
from rgp.cli import Parser
from rgp.errors import UsageError
from rgp.serve import options
from rgp.serve.__main__ import main
from rgp.serve.settings import Settings
from tests.serve.serving import run_to_end

FIELDS = fields(Settings)
EXAMPLES = {"host": "0.0.0.0", "port": "81", "baseline": "0.25", "keys": "a.toml", "otel": "1"}
"""A value of each that is not its default; "7" for the others."""


def parsed(*arguments: str, environment: Mapping[str, str] | None = None) -> Settings:
    parser = Parser(prog="rgp-serve")
    options.add(parser, environment or {})
    return options.settings(parser.parse_args(arguments))


def example(field: Field[Any]) -> tuple[str, Any]:
    text = EXAMPLES.get(field.name, "7")
    kind: Callable[[str], Any] = type(field.default)
    return text, True if kind is bool else kind(text)


def flag(field: Field[Any]) -> str:
    return "--" + field.name.replace("_", "-")


def variable(field: Field[Any]) -> str:
    return "RGP_SERVE_" + field.name.upper()


@pytest.fixture
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RGP_SERVE_")]:
        monkeypatch.delenv(name)


def test_what_is_not_given_is_the_default() -> None:
    assert parsed() == Settings()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_each_setting_can_be_given_by_its_flag_and_changes_no_other(field: Field[Any]) -> None:
    text, value = example(field)
    given = [flag(field)] if isinstance(field.default, bool) else [f"{flag(field)}={text}"]
    assert parsed(*given) == Settings(**{field.name: value})
    assert value != field.default


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_each_setting_can_be_given_by_the_environment(field: Field[Any]) -> None:
    text, value = example(field)
    assert parsed(environment={variable(field): text, "RGP_SERVE_UNKNOWN": "x"}) == Settings(**{field.name: value})


@pytest.mark.parametrize(
    "field", [field for field in FIELDS if not isinstance(field.default, bool)], ids=lambda field: field.name
)
def test_the_flag_wins_over_the_environment(field: Field[Any]) -> None:
    text, value = example(field)
    default = str(field.default)
    assert getattr(parsed(flag(field), text, environment={variable(field): default}), field.name) == value
    assert getattr(parsed(flag(field), default, environment={variable(field): text}), field.name) == field.default


def test_a_switch_that_is_off_in_the_environment_is_on_by_its_flag() -> None:
    assert parsed("--otel", environment={"RGP_SERVE_OTEL": "off"}).otel


@pytest.mark.parametrize("text", ["1", "true", "YES", "On"])
@pytest.mark.parametrize("other", ["0", "false", "NO", "Off", ""])
def test_a_switch_understands_what_people_write(text: str, other: str) -> None:
    assert parsed(environment={"RGP_SERVE_OTEL": text}).otel
    assert not parsed(environment={"RGP_SERVE_OTEL": other}).otel


@pytest.mark.usefixtures("_no_variables")
@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_help_names_flag_variable_text_and_default(field: Field[Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = unbroken(capsys.readouterr().out)
    assert flag(field) in text
    assert unbroken(field.metadata["help"]) in text
    default = {True: "on", False: "off"}.get(field.default) if isinstance(field.default, bool) else field.default
    assert unbroken(f"(default: {default if str(default) else 'none'}; or {variable(field)})") in text


def unbroken(text: str) -> str:
    """Without spaces: help is broken into lines at spaces and dashes."""
    return "".join(text.split())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "'http': give a whole number from 0 to 65535"),
        ("PORT", "", "'': give a whole number from 0 to 65535"),
        ("PORT", "65536", "'65536': give a whole number from 0 to 65535"),
        ("MAX_IMAGES", "0", "'0': give a whole number from 1 to 1024"),
        ("BASELINE", "0.6", "'0.6': give a share from 0 to 0.5"),
        ("BASELINE", "nan", "'nan': give a share from 0 to 0.5"),
        ("BASELINE", "2%", "'2%': give a share from 0 to 0.5"),
        ("OTEL", "maybe", "'maybe': give 1 or 0"),
        ("TIMEOUT_MS", "1e3", "'1e3': give a whole number"),
    ],
)
def test_a_value_in_the_environment_that_is_none_is_one_line_that_names_it_and_code_2(
    name: str, value: str, message: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(os.environ, f"RGP_SERVE_{name}", value)
    assert main([str(bundle.path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rgp-serve: error: RGP_SERVE_{name}: {message}")


def test_the_process_reads_its_own_environment(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RGP_SERVE_KEYS", "/no/such/file")
    ended = run_to_end(str(bundle.path), "--port", "0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "rgp-serve: error: /no/such/file: No such file or directory: give --keys a file that this user can read\n"
    )


NUMBERS = [field for field in FIELDS if type(field.default) is int]


@given(field=st.sampled_from(NUMBERS), value=st.integers(-(1 << 41), 1 << 41))
def test_a_number_is_taken_if_and_only_if_it_is_in_its_bounds(field: Field[Any], value: int) -> None:
    low, high = field.metadata["low"], field.metadata.get("high", 1 << 31)
    if low <= value <= high:
        assert getattr(parsed(environment={variable(field): str(value)}), field.name) == value
    else:
        with pytest.raises(UsageError, match=f"give a whole number from {low} to {high}"):
            parsed(f"{flag(field)}={value}")


@given(text=st.text(max_size=20).filter(lambda text: "\0" not in text), field=st.sampled_from(FIELDS))
def test_any_text_is_taken_or_refused_in_one_line(text: str, field: Field[Any]) -> None:
    environment = {variable(field): text}
    try:
        found = parsed(environment=environment)
    except UsageError:
        with pytest.raises(UsageError, match=rf"^{variable(field)}: .*: give "):
            parsed(environment=environment)
    else:
        assert type(getattr(found, field.name)) is type(field.default)
