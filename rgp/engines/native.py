"""Our own kernels for ONNX Runtime: a shared library that the package was built with, where there was a compiler.

A file that uses them has operators of the domain ``rgp``, each beside a function of stock operators that computes the
same (ONNX's model-local functions): where the library is missing or refused, ONNX Runtime runs those.
"""

from __future__ import annotations

import hashlib
from ctypes import CDLL, c_char_p
from functools import cache
from pathlib import Path

import onnxruntime as ort

from rgp.errors import EngineError

DOMAIN = "rgp"
LIBRARY = Path(__file__).parents[1] / "compile" / "kernels" / "librgp_kernels.so"
INT8 = "QLinearGraphConv"
"""The operator for int8, which fewer CPUs have."""
_IMPORTS = b"\x0a\x03rgp"
"""How a file that imports the domain says so: field 1 of an operator set, three bytes long."""


def used_by(model: bytes) -> bool:
    """Whether ``model`` (an ONNX file's bytes) asks for the kernels; never wrongly no."""
    return _IMPORTS in model


@cache
def missing() -> str | None:
    """Why the kernels cannot run here, None if they can. Raises EngineError if RGP_ISA names what the CPU has not."""
    if not LIBRARY.is_file():
        return "rgp was installed without a C++ compiler: install one (gcc), then rgp again"
    try:
        found = _named("rgp_instruction_set")
    except (OSError, AttributeError) as error:
        return f"{LIBRARY.name} does not load ({error}): install rgp again"
    if found.startswith("RGP_ISA"):
        raise EngineError(f"{found}: set RGP_ISA to one of these, or not at all")
    try:
        ort.SessionOptions().register_custom_ops_library(str(LIBRARY))
    except Exception as error:  # ONNX Runtime's exceptions share no base class but Exception
        return f"ONNX Runtime {ort.__version__} does not take {LIBRARY.name}: {error}"
    return None


def missing_int8() -> str | None:
    """Why the int8 kernel cannot run here, None if it can; raises as ``missing`` does."""
    if (reason := missing()) is not None:
        return reason
    return None if _named("rgp_int8_instruction_set") else "it needs AVX-512 with VNNI, and RGP_ISA, if set, at avx512"


def register(options: ort.SessionOptions) -> None:
    """Let a session that is made with ``options`` run the kernels, if they can run at all."""
    if missing() is not None:
        return
    try:
        options.register_custom_ops_library(str(LIBRARY))
    except Exception as error:  # it took the library before: RGP_ISA has changed since
        raise EngineError(f"ONNX Runtime {ort.__version__} does not take {LIBRARY.name}: {error}") from error


def identity() -> str:
    """What decides how fast the kernels are: their instruction set, and the library's own bytes."""
    return describe() if missing() else f"{describe()} {hashlib.sha256(LIBRARY.read_bytes()).hexdigest()[:16]}"


def describe(model: bytes = b"") -> str:
    """What runs the operators of a file that uses the kernels: an instruction set, or stock operators and why.

    ``model``: that file's bytes, where it may have the operator for int8.
    """
    int8 = INT8.encode() in model
    reason = missing_int8() if int8 else missing()
    if reason is not None:
        return f"stock operators: {reason}"
    return _named("rgp_int8_instruction_set" if int8 else "rgp_instruction_set")


def _named(function: str) -> str:
    """What a function of the library that gives a string gives."""
    asked = CDLL(str(LIBRARY))[function]
    asked.restype = c_char_p
    return str(asked().decode())
