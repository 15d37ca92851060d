"""From the settings to the command line and the environment: each is declared once, in ``Settings``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import Any

from rgp.errors import UsageError
from rgp.serve.settings import Settings

PREFIX = "RGP_SERVE_"
OTHERS = {
    "XDG_CACHE_HOME": "below it, in rgp/, lies what was measured, and TensorRT's engines (default: ~/.cache)",
    "RGP_ISA": "instruction set of rgp's own kernels, as avx2 or portable (default: the best that the CPU has)",
    "OTEL_...": "with --otel, OpenTelemetry's own: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER and so on",
    "OMP_WAIT_POLICY": "PASSIVE unless it is set: torch's threads do not spin while they wait",
    "ORT_DISABLE_TELEMETRY": "1 unless it is set: ONNX Runtime tells nobody of its use",
    "RAY_USAGE_STATS_ENABLED": "0 unless it is set: nor does Ray, under rgp-classify --ray",
}
"""Variables that are no settings of the service, with what they do to it."""
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def add(parser: argparse.ArgumentParser, environment: Mapping[str, str] = os.environ) -> None:
    """An option for each setting; what it defaults to comes from the environment first.

    Raises UsageError if the environment names a value that is none.
    """
    for field in fields(Settings):
        variable = PREFIX + field.name.upper()
        default = field.default if variable not in environment else _from(variable, environment[variable], field)
        text = f"{field.metadata['help']} (default: {_spelt(field.default)}; or {variable})".replace("%", "%%")
        flag = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            parser.add_argument(flag, action="store_true", default=default, help=text)
        else:
            metavar = field.metadata.get("metavar", "N")
            parser.add_argument(flag, type=_type(field), default=default, metavar=metavar, help=text)


def settings(arguments: argparse.Namespace) -> Settings:
    """What was given, or the defaults."""
    return Settings(**{field.name: getattr(arguments, field.name) for field in fields(Settings)})


def _from(variable: str, text: str, field: Field[Any]) -> Any:
    try:
        return _type(field)(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{variable}: {error}") from error


def _type(field: Field[Any]) -> Callable[[str], Any]:
    if isinstance(field.default, bool):
        return _switch
    if isinstance(field.default, int):
        return _whole(field.metadata["low"], field.metadata.get("high", 1 << 31))
    if isinstance(field.default, float):
        return _share(field.metadata["low"], field.metadata["high"])
    return str


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


def _share(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: give a share from {low} to {high}")
        return value

    return parse


def _switch(text: str) -> bool:
    if text.lower() not in (*TRUE, *FALSE):
        raise argparse.ArgumentTypeError(f"{text!r}: give 1 or 0")
    return text.lower() in TRUE


def _spelt(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) or "none"
