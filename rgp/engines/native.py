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
BF16 = "Bf16"
"""What the operators for bfloat16 are called before the name of those for float32; fewer CPUs have them."""
INT8 = "QLinearGraphConv"
"""The operator for int8, likewise."""
_NEEDED = {"fp32": "", "bf16": "AVX-512 with BF16", "int8": "AVX-512 with VNNI"}
_IMPORTS = b"\x0a\x03rgp"
"""How a file that imports the domain says so: field 1 of an operator set, three bytes long."""


def used_by(model: bytes) -> bool:
    """Whether ``model`` (an ONNX file's bytes) asks for the kernels; never wrongly no."""
    return _IMPORTS in model


@cache
def missing(precision: str = "fp32") -> str | None:
    """Why the kernels for fp32, bf16 or int8 cannot run here, None if they can; any other precision has none.

    Raises EngineError if RGP_ISA names what the CPU has not.
    """
    if precision not in _NEEDED:
        return f"there are none for {precision}"
    if (reason := _missing()) is not None:
        return reason
    return None if _set_for(precision) else f"{precision} needs {_NEEDED[precision]}, and RGP_ISA, if set, at avx512"


def _missing() -> str | None:
    if not LIBRARY.is_file():
        return "rgp was installed without a C++ compiler: install one (gcc), then rgp again"
    try:
        found = _set_for("fp32")
    except (OSError, AttributeError) as error:
        return f"{LIBRARY.name} does not load ({error}): install rgp again"
    if found.startswith("RGP_ISA"):
        raise EngineError(f"{found}: set RGP_ISA to one of these, or not at all")
    try:
        ort.SessionOptions().register_custom_ops_library(str(LIBRARY))
    except Exception as error:  # ONNX Runtime's exceptions share no base class but Exception
        return f"ONNX Runtime {ort.__version__} does not take {LIBRARY.name}: {error}"
    return None


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

    ``model``: that file's bytes, where it may have operators for bf16 or int8.
    """
    operators = {"int8": INT8, "bf16": f"{BF16}GraphConv"}
    precision = next((each for each, name in operators.items() if name.encode() in model), "fp32")
    reason = missing(precision)
    return _set_for(precision) if reason is None else f"stock operators: {reason}"


def _set_for(precision: str) -> str:
    """The instruction set that the library has for a precision here; empty if none, its complaint of RGP_ISA if any."""
    asked = CDLL(str(LIBRARY)).rgp_instruction_set
    asked.argtypes, asked.restype = [c_char_p], c_char_p
    return str(asked(precision.encode()).decode())
